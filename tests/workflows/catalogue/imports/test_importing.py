"""Batch after batch: nothing twice, nothing lost, theories apart."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from outside import Listed, record, rejects_in, salt

from gnome_torch.data.energy_files import EnergyFile
from gnome_torch.data.outside import OutsideRecord, SourceError
from gnome_torch.data.rejects import Reject
from workflows.catalogue.hulls import renew
from workflows.catalogue.imports import import_source
from workflows.store import Store, StoreError


def test_stopped_and_resumed_and_repeated(store: Store, tmp_path: Path) -> None:
    items: list[OutsideRecord | Reject] = [
        record("a", salt("Mg"), -5.0),
        Reject("listed", "b", "", "broken"),
        record("c", salt("Ca"), -5.5),
        Reject("listed", "d", "", "broken"),
        record("e", salt("Sr"), -5.6),
    ]
    rejects = tmp_path / "r.csv"
    seen: list[tuple[int, float | None]] = []
    with pytest.raises(SourceError, match="went dead"):
        import_source(store, Listed(items, breaks_after=2), "t", rejects)
    assert [d["outside"]["key"] for d in store.database["entries"].find({})] == ["a"]
    with rejects.open("a") as file:
        file.write("listed,written behind the last batch by a run that was killed,,\n")
    done = import_source(store, Listed(items), "t", rejects, report=lambda i, d: seen.append((i.read, d)))
    assert (done.read, done.new, done.rejected) == (5, 3, 2)
    assert seen == [(4, 0.8), (5, 1.0)]  # the first batch was not read again
    assert rejects_in(rejects) == ["b", "d"]
    again = import_source(store, Listed(items), "t", rejects)
    assert (again.read, again.new, again.rejected) == (5, 3, 2)
    assert store.database["entries"].count_documents({}) == 3
    assert rejects_in(rejects) == ["b", "d"]


def test_a_later_version_replaces_a_record_and_may_bring_it_back(store: Store, tmp_path: Path) -> None:
    first, second = [record("a", salt(), -5.0)], [record("a", salt(), -5.2)]
    for items in (first, second):
        import_source(store, Listed(list(items)), "t", tmp_path / "r.csv")
    assert [e.energy_per_atom for e in store.entries.energies("t")] == [-5.2]
    assert store.database["entries"].count_documents({}) == 2  # nothing is lost
    import_source(store, Listed(list(first)), "t", tmp_path / "r.csv")
    assert [e.energy_per_atom for e in store.entries.energies("t")] == [-5.0]


def test_a_file_is_read_once_and_a_changed_file_again(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("formula,target\nMgO,-3.0\nCaO,-3.2\n")
    first = import_source(store, EnergyFile(path), "mp", tmp_path / "r.csv")
    assert (first.theories, first.new, first.repeated) == (["mp:formation"], 2, False)
    assert import_source(store, EnergyFile(path), "mp", tmp_path / "r.csv").repeated
    path.write_text("formula,target\nMgO,-3.0\nCaO,-3.2\nSrO,-3.3\n")
    assert import_source(store, EnergyFile(path), "mp", tmp_path / "r.csv").new == 1
    assert {e.reduced_formula: e.energy_per_atom for e in store.entries.energies("mp:formation")} == {
        "MgO": -3.0, "CaO": -3.2, "SrO": -3.3
    }  # fmt: skip
    points = renew(store, "mp:formation").points  # elements are at 0
    assert all(point.e_above_hull == 0 for point in points.values())
    assert {round(point.formation_energy, 6) for point in points.values()} == {-3.0, -3.2, -3.3}


def test_nothing_to_import(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("formula,target\nQq,1\n")
    with pytest.raises(SourceError, match="all 1 records are refused"):
        import_source(store, EnergyFile(path), "mp", tmp_path / "r.csv")
    path.write_text("formula,target\n")
    with pytest.raises(SourceError, match="no record in it"):
        import_source(store, EnergyFile(path), "mp", tmp_path / "r.csv")
    path.write_text("formula,target\nMgO,1\n")
    with pytest.raises(StoreError, match="letters, digits"):
        import_source(store, EnergyFile(path), "mp:formation", tmp_path / "r.csv")


def test_a_campaigns_theory_is_not_mixed_unasked(store: Store, tmp_path: Path) -> None:
    store.campaigns.create("c", {"elements": ["Mg", "O"]}, "theory-1", "none", "/d", "uid")
    with pytest.raises(StoreError, match=r"'theory-1' is that of campaign 'c'.*--compatible"):
        import_source(store, Listed([record("a", salt(), -5.0)]), "theory-1", tmp_path / "r.csv")
    import_source(store, Listed([record("a", salt(), -5.0)]), "theory-1", tmp_path / "r.csv", compatible=True)
    assert len(store.entries.energies("theory-1", ["Mg", "O"])) == 1


def test_killed_in_the_middle(here: Path, store: Store) -> None:
    """kill -9, twice; then everything is there once, and so are the rejects."""
    rows = [f"Mg{n}O{1 + n % 7},-{1 + n / 1000}" if n % 10 else f"Xx{n},1" for n in range(1, 3001)]
    (here / "f.csv").write_text("formula,target\n" + "\n".join(rows) + "\n")
    command = [sys.executable, "-m", "workflows.cli", "data", "import", "file", "f.csv", "--theory", "t"]
    for least in (1, 1200):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while store.database["entries"].count_documents({}) < least:
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()
        process.wait()
    there = store.database["entries"].count_documents({})
    assert there < 2700
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "2,700 of 3,000 records used" in done.stdout
    assert store.database["entries"].count_documents({}) == len(store.entries.energies("t:formation")) == 2700
    (file,) = here.glob("f.csv.*.rejects.csv")
    assert rejects_in(file) == [f"line {n + 1}" for n in range(10, 3001, 10)]
