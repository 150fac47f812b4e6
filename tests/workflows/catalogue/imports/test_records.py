"""Records as entries of a theory: their corrections, their functionals."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from outside import Listed, computed, record, salt

from gnome_torch.data.energy_files import EnergyFile
from gnome_torch.data.kinds import Corrections
from gnome_torch.data.outside import OutsideRecord, SourceError
from gnome_torch.data.rejects import Reject
from workflows.catalogue.imports import import_source
from workflows.store import Store


def test_corrections_of_total_energies(store: Store, tmp_path: Path) -> None:
    """-0.687 eV per oxygen; a formation energy has none."""
    import_source(store, Listed([record("a", salt(), -5.0)]), "t", tmp_path / "r.csv", Corrections.MP2020)
    (entry,) = store.entries.energies("t")
    assert entry.correction == pytest.approx(-0.687 / 2)
    assert entry.uncorrected == pytest.approx(-5.0)
    import_source(store, Listed([record("a", salt(), -5.0)]), "u", tmp_path / "r.csv", Corrections.GNOME)
    assert store.entries.energies("u")[0].correction == pytest.approx(0.0924014 / 2)
    path = tmp_path / "f.csv"
    path.write_text("formula,target\nMgO,-3\n")
    with pytest.raises(SourceError, match="all 1 records are refused"):
        import_source(store, EnergyFile(path), "v", tmp_path / "r.csv", Corrections.MP2020)
    assert "need a crystal and a total energy" in (tmp_path / "r.csv").read_text()


def test_corrections_of_calculations_without_u(store: Store, tmp_path: Path) -> None:
    items: list[OutsideRecord | Reject] = [
        computed("a", salt("Fe"), "GGA+U", Fe=5.3),
        computed("b", salt("Fe", 4.3), "GGA"),
    ]
    # nor does a record that is refused say what the theory holds
    items.insert(0, computed("c", salt("Fe", 4.4), "R2SCAN"))
    done = import_source(store, Listed(items), "t", tmp_path / "r.csv", Corrections.MP2020)
    assert (done.new, done.rejected) == (1, 2)
    assert store.imports.functional_of("t") == "GGA"
    assert store.entries.energies("t")[0].correction == pytest.approx((-0.687 - 2.256) / 2, abs=0.01)


def test_functionals_do_not_meet_in_a_theory(store: Store, tmp_path: Path) -> None:
    items: list[OutsideRecord | Reject] = [
        computed("a", salt("Mg"), "GGA"),
        computed("b", salt("Fe"), "PBE+U", Fe=5.3),
        computed("c", salt("Ca"), "R2SCAN"),
    ]
    rejects = tmp_path / "r.csv"
    done = import_source(store, Listed(items), "t", rejects)
    assert (done.new, done.rejected) == (2, 1)
    (row,) = csv.DictReader(rejects.open(newline=""))
    assert (row["file"], row["place"]) == ("e.json", "entry c")
    assert "computed with R2SCAN, but theory 't' holds GGA" in row["reason"]
    later = import_source(store, Listed(items[2:], name="other"), "r2scan", tmp_path / "s.csv")
    assert later.new == 1
    with pytest.raises(SourceError, match="all 1 records are refused"):
        import_source(store, Listed(items[2:], name="third", version="2"), "t", tmp_path / "u.csv")
