"""Every command that is given something wrong: one line that names it, status 1, no traceback, nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fireworks import LaunchPad

from workflows.campaign.settings import parse_settings
from workflows.commands import errors
from workflows.store import Store, StoreError
from workflows.store.collections.campaigns import Campaigns

Gnome = Callable[..., tuple[int, str, str]]


@pytest.fixture
def here(own_database: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with some files, on the test's own database."""
    directory = tmp_path / "here"
    directory.mkdir()
    monkeypatch.chdir(directory)
    (directory / "good.csv").write_text("formula,target\nMgO,-3.0\nLi2O,-2.0\n")
    (directory / "bad.csv").write_text("formula,target\nQq7,-2.0\nMgO,\n")
    (directory / "noise").write_bytes(bytes(range(256)))
    (directory / "empty.yaml").write_text("")
    (directory / "folder").mkdir()
    return directory


BAD = [
    ("stable --campaign nowhere", "no campaign 'nowhere'"),
    ("stable --elements Li,Xx", "--elements Li,Xx: 'Xx' is not an element"),
    ("stable --chemsys Li-Fe-Zz", "'Zz' is not an element"),
    ("stable --sort colour", "colour"),
    ("stable --format cif", "--out DIR"),
    ("campaign status nowhere", "no campaign 'nowhere'"),
    ("campaign run nowhere", "no campaign 'nowhere'"),
    ("campaign pause nowhere", "no campaign 'nowhere'"),
    ("campaign resume nowhere", "no campaign 'nowhere'"),
    ("campaign stop nowhere", "no campaign 'nowhere'"),
    ("campaign start none.yaml", "none.yaml: cannot be read"),
    ("campaign start empty.yaml", "empty.yaml: no 'spec: campaign:'"),
    ("campaign start noise", "noise: not a YAML file"),
    ("campaign start folder", "folder: cannot be read"),
    ("export nowhere --out out", "no campaign 'nowhere'"),
    ("report nowhere --out out", "no campaign 'nowhere'"),
    ("serve --campaign nowhere", "no campaign 'nowhere'"),
    ("hull --entries noise --query good.csv --out out", "noise"),
    ("hull --entries none.csv --query good.csv --out out", "none.csv"),
    ("hull --entries folder --query good.csv --out out", "folder"),
    ("hull --theory nothing --query good.csv --out out", "nothing"),
    ("flips --theory nothing", "nothing"),
    ("generate structural --parents none.cif --elements Li,O --out out", "none.cif: no such file"),
    ("generate structural --parents prototypes --elements Li,Xx --out out", "Xx"),
    ("generate compositions --elements Li,Xx --out out.csv", "Xx"),
    ("generate random --composition Qq7 --out out", "Qq7"),
    ("train composition --data none.csv --target target --out out", "none.csv"),
    ("train composition --data good.csv --target energy --out out", "energy"),
    ("train composition --data bad.csv --target target --out out", "Qq7"),
    ("predict --model folder --input good.csv --out out", "folder"),
    ("data import file none.json --theory t", "none.json"),
    ("data import file noise --theory t", "noise"),
    ("data import gnome none.csv", "none.csv"),
    ("doctor dft none.yaml", "none.yaml"),
]


def everything(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}


@pytest.mark.parametrize(("line", "message"), BAD, ids=[line for line, _ in BAD])
def test_one_line(gnome: Gnome, launchpad: LaunchPad, here: Path, line: str, message: str) -> None:
    before = everything(here)
    status, out, err = gnome(*line.split())
    assert (status, out) == (1, ""), err
    assert message in err
    assert err.startswith("gnome: ")
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    assert "unexpected" not in err
    assert everything(here) == before
    assert launchpad.workflows.count_documents({}) == 0
    assert Store(launchpad.db).database["campaigns"].count_documents({}) == 0


ON_THE_DATABASE = [
    "stable",
    "campaign list",
    "campaign status c",
    "campaign run c",
    "campaign pause c",
    "export c --out out",
    "report c --out out",
    "serve --campaign c",
    "flips --theory t",
    "hull --theory t --query good.csv --out out",
    "data list",
    "data import file good.csv --theory t",
    "doctor",
]


@pytest.mark.parametrize("line", ON_THE_DATABASE)
def test_the_database_is_down(gnome: Gnome, here: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setenv("GNOME_MONGODB_URI", "mongodb://127.0.0.1:1/")
    before = everything(here)
    status, out, err = gnome(*line.split())
    assert (status, out, err.count("\n")) == (1, "", 1), err
    assert err.startswith("gnome: no database answers at 127.0.0.1:1: start the embedded one with 'gnome db start'")
    assert everything(here) == before


def test_a_campaign_with_nothing_in_it(gnome: Gnome, launchpad: LaunchPad, here: Path) -> None:
    """It can be looked at; there is nothing to show of it."""
    store = Store(launchpad.db)
    store.prepare()
    settings = parse_settings({"name": "c", "elements": ["Cu", "Au"], "theory": {"name": "emt"}}, "test")
    store.campaigns.create("c", settings.model_dump(mode="json"), "emt-1", "none", str(here / "c"), "1")
    status, out, err = gnome("campaign", "status", "c")
    assert (status, err) == (0, "")
    assert "campaign 'c': running" in out
    for line in ("stable --campaign c", "stable --campaign c --format csv", "export c --out out", "report c --out out"):
        status, out, err = gnome(*line.split())
        assert (status, out, err.count("\n")) == (1, "", 1), (line, out, err)
        assert err.startswith("gnome: campaign 'c' has no")
    # all campaigns together are none that is empty
    assert gnome("stable", "--format", "json") == (0, "[]\n", "")
    assert not (here / "out").exists()


def test_the_traceback_is_for_those_who_ask(gnome: Gnome, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for line in ("--debug stable --campaign nowhere", "stable --campaign nowhere --debug"):
        status, _, err = gnome(*line.split())
        assert status == 1
        assert "Traceback" in err
        assert err.splitlines()[-1].startswith("gnome: no campaign 'nowhere'")
    monkeypatch.setenv("GNOME_DEBUG", "1")
    assert "Traceback" in gnome("stable", "--campaign", "nowhere")[2]
    monkeypatch.setenv("GNOME_DEBUG", "0")
    assert "Traceback" not in gnome("stable", "--campaign", "nowhere")[2]


def test_mistakes_of_ours_are_a_line_too(gnome: Gnome, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("lost\nand found")

    monkeypatch.setattr(Campaigns, "all", broken)
    status, _, err = gnome("campaign", "list")
    assert status == 1
    assert err.startswith("gnome: unexpected KeyError: ")
    assert "the same command with --debug" in err
    assert err.count("\n") == 1
    assert errors.lines(OSError(28, "No space left on device", "/data/x"))[0].startswith("/data/x: No space left")
    assert errors.lines(StoreError("a\nb")) == ["a", "b"]


def test_a_wrong_line_keeps_its_status(gnome: Gnome, here: Path) -> None:
    for line in ("stable --colour red", "campaign", "nonsense", "stable --limit -1"):
        assert gnome(*line.split())[0] == 2
