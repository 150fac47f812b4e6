"""What the pages tell their readers to do is done, on a database with a campaign that has ended."""

from __future__ import annotations

import csv
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from campaigns import run_all, small_campaign
from fireworks import LaunchPad
from pages import EXECUTED, ROOT, Reader, blocks, pages
from pymatgen.core import Lattice, Structure

from workflows.campaign.settings import CampaignSettings, parse_settings
from workflows.store.embedded import EmbeddedDatabase

SHOWN = ("text", "yaml", "toml", "json", "html", "csv")
"""Languages of blocks that are looked at and not run; in braces, Sphinx's own."""
COMMANDS = ("gnome ", "lpad ", "rlaunch ", "make ", "pip ", "$ ")
ALL = [block for page in pages() for block in blocks(page)]


# ---- the desk of a reader


@pytest.fixture(scope="module")
def campaign(database: EmbeddedDatabase, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of a database with a small campaign, called quickstart, that has ended."""
    pad = LaunchPad(host=database.host, port=database.port, name="gnome_docs", strm_lvl="WARNING")
    pad.reset("", require_password=False)
    directory = tmp_path_factory.mktemp("campaign")
    run_all(pad, small_campaign(directory, name="quickstart"), directory / "launches")
    pad.connection.close()
    return "gnome_docs"


@pytest.fixture
def reader(
    campaign: str, database: EmbeddedDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Reader]:
    """A reader in a checkout, with a database and the files that the pages speak of."""
    home = tmp_path / "home"
    home.mkdir()
    desk = tmp_path / "gnome-torch"
    lay(desk, database, campaign)
    for name, value in {
        "HOME": str(home),
        "GNOME_HOME": str(home / "gnome"),
        "MPLBACKEND": "agg",
        "MPLCONFIGDIR": str(Path("~/.cache/matplotlib").expanduser()),  # its list of fonts takes long to make
        "PATH": os.pathsep.join([str(desk / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": f"{desk}{os.pathsep}{ROOT}",
        "PIP_NO_INDEX": "1",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("GNOME_MONGODB_URI", "GNOME_MONGODB_NAME", "GNOME_SITE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("workflows.store.connection.LAUNCHPAD_LOC", str(desk / "my_launchpad.yaml"))
    monkeypatch.setattr("fireworks.fw_config.LAUNCHPAD_LOC", str(desk / "my_launchpad.yaml"))
    monkeypatch.chdir(desk)
    monkeypatch.syspath_prepend(str(desk))
    return lambda: Reader(desk)


def lay(desk: Path, database: EmbeddedDatabase, name: str) -> None:
    """A checkout with a reader's own files in it."""
    desk.mkdir()
    for folder in ("workflows", "benchmarks", "tests", "gnome_torch"):
        (desk / folder).symlink_to(ROOT / folder)
    connection = {"host": database.host, "port": database.port, "name": name, "strm_lvl": "WARNING"}
    (desk / "my_launchpad.yaml").write_text(yaml.safe_dump(connection))
    shutil.copy(ROOT / "my_fworker.yaml", desk)
    settings = small_campaign(desk, name="mine").model_dump(mode="json")
    document = yaml.safe_load((ROOT / "workflows" / "examples" / "quickstart.yaml").read_text())
    document["name"], document["spec"]["campaign"] = "mine: start", settings
    (desk / "mine.yaml").write_text(yaml.safe_dump(document))

    compounds = [("MgO", -3.0), ("Al2O3", -3.3), ("MgAl2O4", -3.25), ("Li2O", -2.0), ("SiO2", -3.0), ("LiF", -3.1)]
    compounds += [(f"{a}{b}", -1.0 - 0.1 * i) for i, a in enumerate(("Na", "K", "Rb", "Cs")) for b in ("F", "Cl", "Br")]
    table(desk / "known.csv", ["formula", "target"], compounds)
    table(desk / "formulas.csv", ["formula", "e_form"], compounds)
    table(desk / "candidates.csv", ["formula", "target"], [("Mg2Al2O5", -3.2), ("MgAl2O4", -3.26)])
    table(desk / "new.csv", ["formula"], [("Mg2Al2O5",), ("NaKCl2",)])
    (desk / "bin").mkdir()
    (desk / "bin" / "sbatch").write_text("#!/bin/sh\nexit 0\n")  # a SLURM that would take every job
    (desk / "bin" / "sbatch").chmod(0o755)
    (desk / "my_crystals").mkdir()
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    salt.to(str(desk / "my_crystals" / "MgO.cif"))


def table(path: Path, header: list[str], rows: list[tuple[object, ...]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


# ---- the tests


@pytest.mark.xdist_group("docs")
@pytest.mark.parametrize(
    "page",
    sorted({block.page for block in ALL if block.language in EXECUTED and not block.reason}),
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_what_a_page_says_works(page: Path, reader: Callable[[], Reader]) -> None:
    someone = reader()
    for block in blocks(page):
        someone.follow(block)


def test_every_block_is_executed_or_says_why_not_or_is_only_shown() -> None:
    by_name = (*EXECUTED, *SHOWN)
    strange = [f"{b.name}: {b.language!r}" for b in ALL if b.language not in by_name and not b.language.startswith("{")]
    assert not strange, "neither run nor shown: name the language of the fence"
    needless = [block.name for block in ALL if block.reason and block.language not in EXECUTED]
    assert not needless, "a reason why it is not executed, of a block that never is"
    executed = [block for block in ALL if block.language in EXECUTED and not block.reason]
    excused = [block for block in ALL if block.reason]
    assert len(executed) > len(excused), "most of what the pages show should run"


def test_commands_are_not_hidden_in_text() -> None:
    hidden = [
        block.name
        for block in ALL
        if block.language == "text" and any(line.startswith(COMMANDS) for line in block.text.split("\n"))
    ]
    assert not hidden, "commands in a block of text: make it bash"


def test_files_that_pages_show_are_used_by_them() -> None:
    for block in ALL:
        if block.file and block.language == "python":
            stem = Path(block.file).stem
            later = [b.text for b in blocks(block.page) if b.line > block.line and b.language != "text"]
            assert any(stem in text for text in later), f"{block.name}: {block.file} is written and never used"


def test_yaml_is_yaml() -> None:
    shown = [block for block in ALL if block.language == "yaml"]
    assert shown
    for block in shown:
        assert isinstance(yaml.safe_load(block.text), dict), block.name


def test_campaign_settings_that_are_shown_can_be_used() -> None:
    shown = [(block, yaml.safe_load(block.text)) for block in ALL if block.language == "yaml"]
    settings = [(block, data) for block, data in shown if data.keys() <= CampaignSettings.model_fields.keys()]
    assert len(settings) > 4
    for block, data in settings:
        elements = data.get("theory", {}).get("elements", ["Li", "O"])
        parse_settings({"name": "shown", "elements": elements, **data}, block.name)
