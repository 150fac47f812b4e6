"""Corrections of another pymatgen: made anew from what is stored."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest
from outside import Listed, computed, record, salt

from gnome_torch.data.kinds import Corrections
from gnome_torch.records import Entry, Lineage
from workflows.catalogue.imports import import_source
from workflows.catalogue.recorrections import recorrect
from workflows.store import Store


def test_corrections_of_another_pymatgen_are_made_anew(store: Store, tmp_path: Path) -> None:
    """From the stored crystal, energy and parameters; a hull never has two versions."""
    items = [computed("a", salt("Fe"), "GGA+U", Fe=5.3), record("mg", salt("Mg"), -5.0)]
    import_source(store, Listed(list(items)), "t", tmp_path / "r.csv", Corrections.MP2020)
    documents = store.database["entries"]
    mark = {"name": "MP2020", "pymatgen": version("pymatgen")}
    right = {d["formula"]: d["correction"] for d in documents.find({"correction_scheme": mark})}
    assert set(right) == {"FeO", "MgO"}
    old = {"name": "MP2020", "pymatgen": "2020.1.1"}
    documents.update_one({"formula": "FeO"}, {"$set": {"correction": 0.0, "correction_scheme": old}})
    assert recorrect(store, "t").renewed == 1
    assert {d["formula"]: d["correction"] for d in documents.find({"correction_scheme": mark})} == right
    (iron,) = [entry for entry in store.entries.energies("t") if entry.reduced_formula == "FeO"]
    assert documents.find_one({"formula": "FeO"})["energy_per_atom"] == pytest.approx(iron.energy_per_atom)
    assert recorrect(store, "t").renewed == 0
    # of a campaign, before corrections were marked; of a source's own nothing is known
    store.campaigns.create("c", {"elements": ["Ca", "O"]}, "t", "MP2020", "/d", "uid")
    store.entries.add(Entry("bare", salt("Ca"), -40.0, 0.0, "t", Lineage("saps", "x", "y", 1)), "c")
    import_source(
        store, Listed([record("z", salt("Sr"), -5.0)], name="z", version="3"), "t", tmp_path / "r.csv", compatible=True
    )
    assert recorrect(store, "t").renewed == 1
    assert (store.entries.get("bare") or {})["correction"] == pytest.approx(-0.687 * 4)
    documents.update_one({"formula": "FeO"}, {"$set": {"correction_scheme": old, "outside.parameters.hubbards": {}}})
    assert "MP2020 has no correction for FeO" in next(iter(recorrect(store, "t").refused.values()))
