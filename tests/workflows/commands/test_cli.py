"""The command line as a user meets it: help, results, and one clear line for every mistake."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import typer
import yaml
from fireworks import Firework, LaunchPad
from fireworks.core.rocket_launcher import launch_rocket
from pymatgen.core import Lattice, Structure

from gnome_torch.records import Candidate, Entry, HullPoint, Lineage
from workflows import cli
from workflows.catalogue.phases import PhaseQuery, computed_entries, frame
from workflows.catalogue.phases import phases as some_phases
from workflows.firetasks.start import StartCampaign
from workflows.store import Store, now

Gnome = Callable[..., tuple[int, str, str]]
GOOD: dict[str, Any] = {"name": "c", "elements": ["Al", "Ni"], "theory": {"name": "emt"}}


@pytest.fixture
def gnome(gnome: Gnome, launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gnome:
    """The command against the test's own database."""
    monkeypatch.setenv("GNOME_MONGODB_URI", f"mongodb://{launchpad.host}:{launchpad.port}/")
    monkeypatch.setenv("GNOME_MONGODB_NAME", launchpad.name)
    monkeypatch.setenv("GNOME_HOME", str(tmp_path / "home"))
    return gnome


def campaign_file(directory: Path, **changes: Any) -> Path:
    path = directory / "c.yaml"
    path.write_text(yaml.safe_dump({"spec": {"campaign": {**GOOD, **changes}}}))
    return path


# ---- help


def commands(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    found = [(path, command)]
    for name, sub in getattr(command, "commands", {}).items():
        found += commands(sub, (*path, name))
    return found


def test_every_command_has_help_with_an_example() -> None:
    tree = commands(typer.main.get_command(cli.app))
    assert len(tree) > 10
    for path, command in tree:
        assert command.help, path
        if not getattr(command, "commands", None):
            assert (command.epilog or "").startswith(f"Example: gnome {' '.join(path)}"), path


def test_help_is_a_tour_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['gnome', '--help']\n"
        "from workflows.cli import main\n"
        "try: main()\n"
        "finally: print([m for m in ('torch', 'pymatgen', 'fireworks', 'pymongo') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "gnome campaign start" in done.stdout
    assert done.stdout.rstrip().endswith("[]")


# ---- campaigns


def test_start_adds_the_campaign_and_its_workflow(gnome: Gnome, launchpad: LaunchPad, tmp_path: Path) -> None:
    status, out, _ = gnome("campaign", "start", campaign_file(tmp_path))
    assert status == 0
    assert "campaign 'c' added" in out
    (workflow,) = launchpad.workflows.find({})
    assert workflow["metadata"]["campaign"] == "c"
    status, out, _ = gnome("campaign", "list")
    assert out.startswith("c  running  Al-Ni  emt-")
    status, out, _ = gnome("campaign", "status", "c")
    assert status == 0
    assert "campaign 'c': running" in out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"elements": ["Al", "Zz"]}, "elements: 'Zz' is not an element"),
        ({"colour": 1}, "unknown key 'colour'"),
        ({"elements": ["Al", "O"]}, "theory 'emt' has no O"),
    ],
)
def test_a_bad_file_is_one_line_and_writes_nothing(
    gnome: Gnome, launchpad: LaunchPad, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    status, out, err = gnome("campaign", "start", campaign_file(tmp_path, **changes))
    assert status == 1
    assert out == ""
    assert err.startswith("gnome: ")
    assert message in err
    assert len(err.splitlines()) == 1
    assert launchpad.workflows.count_documents({}) == 0
    assert Store(launchpad.db).database["campaigns"].count_documents({}) == 0
    assert not (tmp_path / "home").exists()


def test_a_name_already_taken(gnome: Gnome, launchpad: LaunchPad, tmp_path: Path) -> None:
    gnome("campaign", "start", campaign_file(tmp_path))
    status, _, err = gnome("campaign", "start", campaign_file(tmp_path, rounds=2))
    assert status == 1
    assert err.startswith("gnome: campaign 'c' exists already")
    assert launchpad.workflows.count_documents({}) == 1
    assert Store(launchpad.db).campaigns.get("c")["settings"]["rounds"] == 6


def test_no_such_campaign(gnome: Gnome) -> None:
    for command in (("campaign", "status", "x"), ("campaign", "run", "x"), ("stable", "--campaign", "x")):
        status, _, err = gnome(*command)
        assert status == 1
        assert err.startswith("gnome: no campaign 'x'")


def test_a_campaign_that_came_by_lpad_is_known(gnome: Gnome, launchpad: LaunchPad, tmp_path: Path) -> None:
    """`lpad add` writes a Firework and no campaign yet; one whose start failed says why."""
    for name, settings in (("good", GOOD), ("typo", {**GOOD, "colour": 1})):
        spec = {"campaign": {**settings, "name": name}, "_add_launchpad_and_fw_id": True}
        launchpad.add_wf(Firework(StartCampaign(), spec=spec, name=name))
    status, out, _ = gnome("campaign", "status", "good")
    assert status == 0
    assert "campaign 'good': running" in out
    status, _, err = gnome("campaign", "run", "typo")
    assert status == 1
    assert "unknown key 'colour'" in err
    launch_rocket(launchpad, fw_id=2, strm_lvl="WARNING")
    status, _, err = gnome("campaign", "status", "typo")
    assert status == 1
    assert (
        "campaign 'typo' could not start: workflows.ground.strict.SettingsError: campaign: unknown key 'colour'" in err
    )


def test_the_database_name_from_the_environment_alone(gnome: Gnome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GNOME_MONGODB_URI")
    monkeypatch.setenv("GNOME_MONGODB_NAME", "another")
    assert "name: another" in gnome("db", "launchpad")[1]


def test_database_down(gnome: Gnome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GNOME_MONGODB_URI", "mongodb://127.0.0.1:1/")
    status, _, err = gnome("campaign", "start", campaign_file(tmp_path))
    assert status == 1
    assert err.startswith("gnome: no database answers at 127.0.0.1:1: start the embedded one with 'gnome db start'")
    assert len(err.splitlines()) == 1


def test_a_wrong_connection_string(gnome: Gnome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GNOME_MONGODB_URI", "mysql://x")
    status, _, err = gnome("campaign", "list")
    assert status == 1
    assert err.startswith("gnome: GNOME_MONGODB_URI: ")


def test_data_of_another_version(gnome: Gnome, launchpad: LaunchPad) -> None:
    launchpad.db["schema"].insert_one({"_id": "gnome-torch", "version": 99})
    status, _, err = gnome("campaign", "list")
    assert status == 1
    assert "holds data of version 99" in err


# ---- the LaunchPad file


def test_the_connection_as_a_launchpad_file(gnome: Gnome, launchpad: LaunchPad, tmp_path: Path) -> None:
    """What the environment says reaches lpad through `gnome db launchpad`."""
    _, out, _ = gnome("db", "launchpad")
    file = tmp_path / "lp.yaml"
    file.write_text(out)
    assert LaunchPad.from_file(str(file)).name == launchpad.name
    lpad = Path(sys.executable).with_name("lpad")
    examples = Path(__file__).parents[3] / "workflows" / "examples"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GNOME_MONGODB")}
    for number, name in enumerate(("quickstart", "compositional_discovery"), start=1):
        command = [lpad, "-l", file, "add", examples / f"{name}.yaml"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stderr
        assert launchpad.get_fw_by_id(number).spec["campaign"]["name"] == name.removesuffix("_discovery")


# ---- stable phases


@pytest.fixture
def phases(launchpad: LaunchPad) -> None:
    """Rock salt from the first data on the hull, and a substituted crystal 20 meV/atom above it."""
    store = Store(launchpad.db)
    store.prepare()
    store.campaigns.create("c", GOOD, "t", "none", "/d", "uid")
    for key, symbol, number in (("a", "Mg", 0), ("b", "Ca", 1)):
        salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.5), [symbol, "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
        parent = "aflow:AB_cF8_225_a_b" if number == 0 else "a"
        lineage = Lineage("prototype" if number == 0 else "substitution", parent, f"Na->{symbol}", number)
        store.entries.add(Entry(key, salt, -48.0, 0.0, "t", lineage), "c")
    first = Candidate("x", "aflow:AB_cF8_225_a_b", ("Mg", "O"), 20.0, Lineage("prototype", "aflow:AB_cF8_225_a_b"))
    store.candidates.select("c", 0, [(first, salt, None, None)], None)
    points = {"a": HullPoint(-3.0, 0.0, -0.5, {"a": 1.0}), "b": HullPoint(-3.0, 0.02, 0.02, {"a": 1.0})}
    store.entries.set_stability("t", points, now(), 2)


@pytest.mark.usefixtures("phases")
@pytest.mark.parametrize(("options", "name"), [([], "MgO-a.cif"), (["--format", "poscar"], "MgO-a.poscar")])
def test_crystals_come_out_as_files(gnome: Gnome, tmp_path: Path, options: list[str], name: str) -> None:
    assert gnome("stable", "--out", tmp_path / "phases", *options)[0] == 0
    (file,) = (tmp_path / "phases").iterdir()
    assert file.name == name
    crystal = Structure.from_str(file.read_text(), fmt=file.suffix[1:])
    assert crystal.volume == pytest.approx(4.5**3, rel=1e-3)


@pytest.mark.usefixtures("phases")
def test_stable_in_every_format(gnome: Gnome) -> None:
    status, out, _ = gnome("stable", "--format", "json", "--max-ehull", "0.05")
    assert status == 0
    known, new = json.loads(out)
    assert (known["formula"], known["spacegroup"], known["e_above_hull"], known["new"]) == ("MgO", "Fm-3m", 0.0, False)
    assert known["parent"] == "aflow:AB_cF8_225_a_b"
    assert (new["formula"], new["new"], new["phase_separation_energy"]) == ("CaO", True, 0.02)
    assert new["lineage"] == ["aflow:AB_cF8_225_a_b", "Na->Mg", "Na->Ca"]
    _, out, _ = gnome("stable", "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(out))
    assert row["formula"] == "MgO"
    _, out, _ = gnome("stable")
    assert "MgO" in out
    assert "CaO" not in out
    _, out, _ = gnome("stable", "--new", "composition", "--max-ehull", "1", "--format", "json", "--campaign", "c")
    assert [row["formula"] for row in json.loads(out)] == ["CaO"]


@pytest.mark.usefixtures("phases")
@pytest.mark.parametrize(
    ("options", "formulas"),
    [
        (["--elements", "O"], ["MgO", "CaO"]),
        (["--elements", "O,Ca"], ["CaO"]),
        (["--elements", "Na"], []),
        (["--chemsys", "Ca-O"], ["CaO"]),
        (["--chemsys", "Ca-Mg-O"], []),
        (["--since", "2001-01-01"], ["MgO", "CaO"]),
        (["--since", "2999-01-01"], []),
        (["--sort", "-e_above_hull"], ["CaO", "MgO"]),
        (["--sort", "formula"], ["CaO", "MgO"]),
        (["--sort", "-round", "--limit", "1"], ["CaO"]),
        (["--new", "any"], ["CaO"]),
        (["--new", "prototype"], []),
    ],
)
def test_which_phases(gnome: Gnome, options: list[str], formulas: list[str]) -> None:
    status, out, _ = gnome("stable", "--format", "json", "--max-ehull", "0.05", *options)
    assert status == 0
    assert [row["formula"] for row in json.loads(out)] == formulas


@pytest.mark.usefixtures("phases")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--elements", "Li,Xx"], "gnome: --elements Li,Xx: 'Xx' is not an element: write Li,O"),
        (["--chemsys", "Li,O"], "gnome: --chemsys Li,O: 'Li,O' is not an element: write Li-O"),
        (["--sort", "beauty"], "gnome: sort = 'beauty': one of e_above_hull, "),
        (["--format", "cif"], "gnome: --format cif writes a file for each phase: say where with --out DIR"),
        (["--campaign", "none"], "gnome: no campaign 'none'"),
    ],
)
def test_questions_that_make_no_sense(gnome: Gnome, options: list[str], message: str) -> None:
    status, out, err = gnome("stable", *options)
    assert status == 1
    assert out == ""
    assert err.startswith(message)
    assert len(err.splitlines()) == 1


def test_a_phase_that_was_displaced_says_so(launchpad: LaunchPad, gnome: Gnome, phases: None) -> None:
    """A deeper phase of later: what was on the hull is updated, and remembers."""
    store = Store(launchpad.db)
    points = {"a": HullPoint(-3.0, 0.04, 0.04, {"b": 1.0}), "b": HullPoint(-3.1, 0.0, -0.4, {"b": 1.0})}
    store.entries.set_stability("t", points, now(), 2)
    rows = json.loads(gnome("stable", "--format", "json", "--max-ehull", "0.05")[1])
    assert [(row["formula"], row["displaced"] != "") for row in rows] == [("CaO", False), ("MgO", True)]
    assert rows[1]["decomposition"] == ["1.00 CaO"]
    assert "was on the hull until" in gnome("stable", "--max-ehull", "0.05")[1]
    back = {"a": HullPoint(-3.0, 0.0, -0.1, {"a": 1.0})}
    store.entries.set_stability("t", back, now(), 3)
    rows = json.loads(gnome("stable", "--format", "json")[1])
    assert all(row["displaced"] == "" for row in rows)


def test_phases_in_python(launchpad: LaunchPad, phases: None) -> None:
    store = Store(launchpad.db)
    rows = some_phases(store, PhaseQuery(campaign="c", max_e_above_hull=0.05))
    table = frame(rows)
    assert list(table["formula"]) == ["MgO", "CaO"]
    assert list(table.index) == ["a", "b"]
    assert frame([]).empty
    first, second = computed_entries(store, rows)
    assert (first.entry_id, first.energy, first.composition.reduced_formula) == ("a", -48.0, "MgO")
    assert second.structure.volume == pytest.approx(4.5**3)


def test_nothing_stable_is_no_error(gnome: Gnome) -> None:
    assert gnome("stable", "--format", "json")[:2] == (0, "[]\n")
    assert gnome("stable")[1] == "no stable compound yet\n"


# ---- the embedded database


def test_db_commands(gnome: Gnome, tmp_path: Path) -> None:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    directory = tmp_path / "data"
    assert gnome("db", "status", "--directory", directory)[0] == 1
    status, out, _ = gnome("db", "start", "--directory", directory, "--port", port)
    assert status == 0
    assert f"database started on 127.0.0.1:{port}" in out
    status, out, _ = gnome("db", "status", "--directory", directory)
    assert status == 0
    assert f"running on 127.0.0.1:{port}" in out
    status, _, err = gnome("db", "start", "--directory", tmp_path / "other", "--port", port)
    assert status == 1
    assert f"port {port}" in err
    assert len(err.splitlines()) == 1
    assert gnome("db", "stop", "--directory", directory)[1] == "database stopped\n"
    assert gnome("db", "stop", "--directory", directory)[1] == "no database was running\n"
