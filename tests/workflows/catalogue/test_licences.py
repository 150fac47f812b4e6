"""Licences from the import to what is passed on: entries, lists, exports, reports, the OPTIMADE service."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from outside import Listed, record, salt
from reports import THEORY, write_relaxed

from gnome_torch.data.energy_files import EnergyFile
from gnome_torch.data.outside import OutsideRecord
from workflows.catalogue.hulls import renew
from workflows.catalogue.imports import import_source
from workflows.catalogue.licences import imported, warning
from workflows.catalogue.report.page import render
from workflows.catalogue.report.reading import read_report
from workflows.store import Store

Gnome = Callable[..., tuple[int, str, str]]
ELEMENTS = ["Mg", "O", "Ca"]


def licences(store: Store) -> dict[str, str]:
    return {
        d["outside"]["key"]: d["outside"]["licence"] for d in store.database["entries"].find({"outside": {"$ne": None}})
    }


@pytest.fixture
def campaign(store: Store, here: Path) -> Store:
    """A campaign whose hull holds entries of GNoME's release and of a file that nobody knows."""
    settings = {"elements": ELEMENTS, "theory": {"name": "potential"}}
    store.campaigns.create("c", settings, THEORY, "none", str(here / "c"), "uid")
    store.rounds.open("c", 0)
    for formula in [*ELEMENTS, "MgO2"]:
        write_relaxed(store, "c", 0, formula)
    release = Listed([record("000aaa", salt("Mg"), -3.0)], name="gnome", licence="CC BY-NC 4.0")
    import_source(store, release, THEORY, here / "r.csv", compatible=True)
    unknown = Listed([record("x", salt("Ca", 4.8), -3.0)], name="file:e.json", licence="not stated")
    import_source(store, unknown, THEORY, here / "r.csv", compatible=True)
    renew(store, THEORY)
    return store


def test_what_an_import_keeps(store: Store, here: Path) -> None:
    own = OutsideRecord(**{**vars(record("b", salt("Ca"), -5.5)), "licence": "CC BY-NC 4.0"})
    done = import_source(store, Listed([record("a", salt(), -5.0), own]), "t", here / "r.csv")
    assert licences(store) == {"a": "CC BY 4.0", "b": "CC BY-NC 4.0"}
    (document,) = store.database["imports"].find({})
    assert document["origin"] == {
        "title": "listed",
        "url": "https://listed.example",
        "licence": "CC BY 4.0",
        "licence_url": "",
        "citation": "Listed et al.",
    }
    assert document["version"] == ""
    assert done.origin == store.imports.origin_of("listed")


def test_a_licence_that_is_said_later(store: Store, here: Path, gnome: Gnome) -> None:
    """The same file again, with its licence: no entry is new, and each has it."""
    (here / "f.csv").write_text("formula,target\nMgO,-3.0\nCaO,-3.2\n")
    status, out, _ = gnome("data", "import", "file", "f.csv", "--theory", "mp")
    assert status == 0
    assert "file:f.csv: its licence is not stated" in out
    assert set(licences(store).values()) == {"not stated"}
    command = ("data", "import", "file", "f.csv", "--theory", "mp", "--licence", "CC BY-NC 4.0", "--cite", "A. Uthor")
    status, out, _ = gnome(*command)
    assert status == 0
    assert "0 of them new" in out
    assert "file:f.csv: CC BY-NC 4.0, cite A. Uthor" in out
    assert "not for commercial use" in out
    assert set(licences(store).values()) == {"CC BY-NC 4.0"}
    assert gnome("data", "list")[1] == "mp:formation  file:f.csv  2 entries  licence: CC BY-NC 4.0\n"
    assert "nothing to do" in gnome(*command)[1]
    gnome("data", "import", "file", "f.csv", "--theory", "mp")  # unsaid, it takes nothing away
    assert set(licences(store).values()) == {"CC BY-NC 4.0"}


def test_a_database_of_before(campaign: Store) -> None:
    """What is known of a source by its name alone."""
    before = imported(campaign, THEORY, ELEMENTS)
    campaign.database["entries"].update_many({"outside": {"$ne": None}}, {"$unset": {"outside.licence": 1}})
    campaign.database["imports"].update_many({}, {"$unset": {"origin": 1, "version": 1}})
    after = imported(campaign, THEORY, ELEMENTS)
    assert [(row.source, row.licence, row.count) for row in after] == [
        ("file:e.json", "not stated", 1),
        ("gnome", "CC BY-NC 4.0", 1),
    ]
    assert [(row.source, row.licence, row.count) for row in before] == [(r.source, r.licence, r.count) for r in after]
    assert after[1].cited.startswith("A. Merchant et al., Nature 624")
    assert [row.source for row in imported(campaign, THEORY, ["Ca", "O"])] == ["file:e.json"]


def test_exports_say_it(campaign: Store, here: Path, gnome: Gnome) -> None:
    status, _, err = gnome("export", "c", "--out", here / "release", "--distance", "0.5")
    assert status == 0, err
    assert "not for commercial use: gnome (gnome): CC BY-NC 4.0; its README says so" in err
    readme = (here / "release" / "README.md").read_text()
    assert "**Not for commercial use**" in readme
    assert "| `gnome` | CC BY-NC 4.0 | 1 | Listed et al. |" in readme
    assert "| `file:e.json` | not stated | 1 |" in readme
    about = json.loads((here / "release" / "campaign.json").read_text())
    assert {row["source"]: row["licence"] for row in about["imported"]} == {
        "gnome": "CC BY-NC 4.0",
        "file:e.json": "not stated",
    }
    table = (here / "release" / "entries.csv").read_text().splitlines()
    assert table[0].endswith(",licence")
    assert sum(line.endswith(",CC BY-NC 4.0") for line in table) == 1
    entries: list[dict[str, Any]] = json.loads(gzip.decompress((here / "release" / "entries.json.gz").read_bytes()))
    assert sorted(str(entry["data"].get("licence")) for entry in entries).count("CC BY-NC 4.0") == 1
    # and who reads it back has it still
    items = EnergyFile(here / "release" / "entries.json.gz").records()
    assert [item.licence for item in items if isinstance(item, OutsideRecord)].count("CC BY-NC 4.0") == 1


def test_reports_and_the_service_say_it(campaign: Store) -> None:
    page = render(read_report(campaign, "c"), [])
    assert "Some of these data are not for commercial use." in page
    assert "<td>gnome</td><td>CC BY-NC 4.0</td><td>1</td><td>Listed et al.</td>" in page
    pytest.importorskip("fastapi", reason="optimade[server] is not installed")
    from workflows.catalogue.serving.application import _configuration

    for name in ("c", None):
        description = _configuration(campaign, name).provider.description
        assert "rest on data of others (not for commercial use): " in description
        assert "gnome (gnome): CC BY-NC 4.0" in description


def test_nothing_imported_nothing_said(store: Store, here: Path) -> None:
    store.campaigns.create("d", {"elements": ["Li"]}, THEORY, "none", str(here), "uid")
    assert imported(store, THEORY, ["Li"]) == []
    assert warning([]) == ""
    assert "Data of others" not in render(read_report(store, "d"), [])
