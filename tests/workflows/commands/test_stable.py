"""`gnome stable`: which phases, in which format, and what it says of them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fireworks import LaunchPad
from pymatgen.core import Lattice, Structure

from gnome_torch.records import Candidate, Entry, HullPoint, Lineage
from workflows.catalogue.phases import PhaseQuery, computed_entries, frame
from workflows.catalogue.phases import phases as some_phases
from workflows.store import Store, now

Gnome = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("own_database")


@pytest.fixture
def phases(launchpad: LaunchPad) -> None:
    """Rock salt from the first data on the hull, and a substituted crystal 20 meV/atom above it."""
    store = Store(launchpad.db)
    store.prepare()
    store.campaigns.create("c", {"name": "c"}, "t", "none", "/d", "uid")
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
    assert name.endswith("poscar") or "_symmetry_Int_Tables_number   225" in file.read_text()
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
