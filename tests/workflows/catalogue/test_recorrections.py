"""Corrections of another pymatgen, or of nobody knows which: made anew from what is stored."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from fireworks import LaunchPad
from outside import Listed, computed, record, salt
from pymatgen.core import Structure
from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
from pymatgen.entries.computed_entries import ComputedStructureEntry

from gnome_torch.data.kinds import Corrections
from gnome_torch.records import Entry, Lineage
from workflows.catalogue.imports import import_source
from workflows.catalogue.recorrections import recorrect
from workflows.operate.doctor import examine
from workflows.operate.lost import Patience
from workflows.store import Store

MARK = {"name": "MP2020", "pymatgen": version("pymatgen")}


def test_corrections_of_another_pymatgen_are_made_anew(store: Store, tmp_path: Path) -> None:
    """From the stored crystal, energy and parameters; a hull never has two versions."""
    items = [computed("a", salt("Fe"), "GGA+U", Fe=5.3), record("mg", salt("Mg"), -5.0)]
    import_source(store, Listed(list(items)), "t", tmp_path / "r.csv", Corrections.MP2020)
    documents = store.database["entries"]
    right = {d["formula"]: d["correction"] for d in documents.find({"correction_scheme": MARK})}
    assert set(right) == {"FeO", "MgO"}
    old = {"name": "MP2020", "pymatgen": "2020.1.1"}
    documents.update_one({"formula": "FeO"}, {"$set": {"correction": 0.0, "correction_scheme": old}})
    assert recorrect(store, "t").renewed == 1
    assert {d["formula"]: d["correction"] for d in documents.find({"correction_scheme": MARK})} == right
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


# ---- imports of before corrections were marked


def make_old(store: Store, source: str, corrections: str, correction: float) -> None:
    """Make what a source has brought as a version wrote it that marked nothing, with a correction of eV per cell."""
    documents = store.database["entries"]
    for document in documents.find({"outside.source": source}, {"energy": 1, "nsites": 1}):
        per_atom = (document["energy"] + correction) / document["nsites"]
        change = {"$set": {"correction": correction, "energy_per_atom": per_atom}}
        documents.update_one({"_id": document["_id"]}, change)
    unmarked = {"$unset": {"correction_scheme": "", "outside.parameters": ""}}
    documents.update_many({"outside.source": source}, unmarked)
    store.database["imports"].update_many({"source": source}, {"$set": {"identity.corrections": corrections}})


def told(store: Store, launchpad: LaunchPad) -> list[str]:
    """What the doctor says of corrections."""
    findings = examine(store, launchpad, None, Patience(settled=0.0, silent=0.0, unnamed=0.0))
    return [str(finding) for finding in findings if "orrection" in finding.what]


def by_pymatgen(document: dict[str, Any], **parameters: Any) -> float:
    """Correction of an entry's cell, eV."""
    scheme = MaterialsProject2020Compatibility(check_potcar=False, strict_anions="require_bound")
    given = {"run_type": "GGA", "hubbards": {}, "software": "vasp", **parameters}
    entry = ComputedStructureEntry(Structure.from_dict(document["structure"]), document["energy"], parameters=given)
    processed = scheme.process_entry(entry, inplace=False)
    assert processed is not None
    return float(processed.correction)


def test_the_doctor_renews_imports_that_do_not_say_how_they_were_corrected(
    launchpad: LaunchPad, tmp_path: Path
) -> None:
    """What was computed with U is known although it is not stored; what the source gave is left as it is."""
    store = Store(launchpad.db)
    store.prepare()
    items = [
        computed("a", salt("Fe"), "GGA+U", Fe=5.3),
        computed("b", salt("Mg"), "GGA"),
        record("c", salt("Ca"), -5.0),
    ]
    import_source(store, Listed(list(items)), "t", tmp_path / "r.csv", Corrections.MP2020)
    own = replace(record("z", salt("Sr"), -5.0), correction_per_atom=-0.2)
    import_source(store, Listed([own], name="given", version="3"), "t", tmp_path / "r.csv")
    make_old(store, "listed", "mp2020", -0.125)
    make_old(store, "given", "as-given", -0.2 * 8)
    documents = store.database["entries"]
    (finding,) = told(store, launchpad)
    assert finding == "theory t: 3 corrections were of another pymatgen, or did not say of which: made anew"
    for document in documents.find({"outside.source": "listed"}):
        with_u = {"run_type": "GGA+U", "hubbards": {"Fe": 5.3}} if document["formula"] == "FeO" else {}
        right = by_pymatgen(document, **with_u)
        assert right < -1
        assert document["correction"] == pytest.approx(right)
        assert document["energy_per_atom"] == pytest.approx((document["energy"] + right) / document["nsites"])
        assert document["correction_scheme"] == MARK
    strontium = documents.find_one({"outside.source": "given"})
    assert strontium is not None
    assert strontium["correction"] == pytest.approx(-0.2 * 8)
    before = contents(store)
    assert told(store, launchpad) == []
    assert contents(store) == before


def contents(store: Store) -> list[dict[str, Any]]:
    return sorted(store.database["entries"].find({}), key=lambda document: document["_id"])


@pytest.mark.parametrize(
    ("source", "corrections", "reason"),
    [
        ("gnome", "gnome", "whichever way they were meant, to-gnome or from-gnome"),
        ("listed", "mp2020-gnome", "whichever way they were meant, to-gnome or from-gnome"),
        ("gnome", "mp2020", "had the corrections of MP2020 before, and now have them twice"),
    ],
)
def test_what_nobody_can_make_anew_is_told_and_left(
    launchpad: LaunchPad, tmp_path: Path, source: str, corrections: str, reason: str
) -> None:
    store = Store(launchpad.db)
    store.prepare()
    import_source(store, Listed([record("a", salt("Mg"), -5.0)], name=source), "t", tmp_path / "r.csv")
    make_old(store, source, corrections, 0.37)
    for _ in range(2):
        (finding,) = told(store, launchpad)
        assert finding.startswith(f"theory t: {source}: 1 entry, imported with --corrections {corrections}: ")
        assert reason in finding
        assert finding.endswith("import it again under the name of another theory")
    assert [document["correction"] for document in contents(store)] == [0.37]


def test_two_imports_of_one_source_are_told_apart_by_their_times(store: Store, tmp_path: Path) -> None:
    """Where the times overlap, nobody knows which entry is of which, and none is changed."""
    first, second = (Listed([record(key, salt(key), -5.0)]) for key in ("Mg", "Ca"))
    import_source(store, first, "t", tmp_path / "r.csv", Corrections.MP2020)
    import_source(store, second, "t", tmp_path / "r.csv", Corrections.AS_GIVEN)
    records = {d["identity"]["corrections"]: d["_id"] for d in store.database["imports"].find({})}
    store.database["entries"].update_many(
        {}, {"$set": {"correction": 0.0}, "$unset": {"correction_scheme": "", "outside.parameters": ""}}
    )
    begun = store.database["imports"].find_one({"_id": records["as-given"]}) or {}
    store.database["imports"].update_one({"_id": records["as-given"]}, {"$set": {"started": datetime(2020, 1, 1)}})
    overlapping = recorrect(store, "t")
    assert overlapping.renewed == 0
    assert "at the same time it was imported with as-given" in overlapping.unclear["listed"]
    store.database["imports"].update_one({"_id": records["as-given"]}, {"$set": {"started": begun["started"]}})
    apart = recorrect(store, "t")
    assert (apart.renewed, apart.unclear) == (1, {})
    found = {d["formula"]: d["correction"] for d in store.database["entries"].find({})}
    assert found == {"MgO": pytest.approx(-0.687 * 4), "CaO": 0.0}
