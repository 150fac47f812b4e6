"""What is served of an entry, and when it is written."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import requests
from servers import structures

from gnome_torch.records import EntryEnergy
from workflows.catalogue.serving.documents import refresh
from workflows.catalogue.serving.fields import PROPERTIES
from workflows.store import OutsideEntry, Store, now


def test_properties(address: str, store: Store) -> None:
    rows = structures(address, filter="nelements=2", sort="_gnome_e_above_hull")
    distances = [row["attributes"]["_gnome_e_above_hull"] for row in rows]
    assert distances == sorted(distances)
    for row in rows:
        entry = store.entries.get(row["id"])
        assert entry is not None
        served = row["attributes"]
        assert served["_gnome_e_above_hull"] == entry["stability"]["e_above_hull"]
        assert served["_gnome_energy_per_atom"] == entry["energy_per_atom"]
        assert served["_gnome_campaigns"] == ["emt"]
        assert served["_gnome_new_composition"] == (entry["lineage"]["round"] > 0)
        assert served["space_group_it_number"] == entry["spacegroup"]["number"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", served["last_modified"])
        assert row["relationships"]["references"]["data"] == [{"type": "references", "id": "merchant2023"}]


def test_definitions(address: str) -> None:
    properties = requests.get(f"{address}/v1/info/structures", timeout=30).json()["data"]["properties"]
    for served in PROPERTIES:
        definition = served.definition()
        shown = properties[served.key]
        assert shown["description"] == definition["description"]
        assert (shown["type"], shown.get("unit")) == (definition["type"], definition.get("unit"))
    assert {name for name in properties if name.startswith("_")} == {served.key for served in PROPERTIES}
    assert properties["_gnome_e_above_hull"]["unit"] == "eV/{atom}"


def test_only_what_changed_is_written(store: Store) -> None:
    refresh(store)
    published = store.published.collection("structures")
    assert refresh(store).changed == 0
    before = {d["_id"]: d for d in published.find({})}
    first, second, *_ = sorted(before)
    published.update_many({}, {"$set": {"untouched": True}})
    try:
        store.database["entries"].update_one({"_id": first}, {"$set": {"stability.e_above_hull": 0.5}})
        store.database["entries"].update_one({"_id": second}, {"$set": {"doubtful": "no crystal has such an energy"}})
        seen = refresh(store)
        assert seen.changed == 2
        after = {d["_id"]: d for d in published.find({})}
        assert after.keys() == before.keys() - {second}
        assert after[first]["_gnome_e_above_hull"] == 0.5
        assert [key for key, d in after.items() if "untouched" not in d] == [first]
        assert refresh(store).state == seen.state
    finally:
        store.database["entries"].update_one({"_id": first}, {"$set": {"stability": store_stability(before[first])}})
        store.database["entries"].update_one({"_id": second}, {"$unset": {"doubtful": ""}})
        published.delete_many({"untouched": True})
        refresh(store)
    assert {d["_id"] for d in published.find({})} == before.keys()


def test_a_look_at_what_changed_sees_what_a_full_one_does(store: Store) -> None:
    refresh(store)
    published = store.published.collection("structures")
    before = {d["_id"]: d for d in published.find({})}
    entries = list(store.published.found_crystals(before))
    formula = next(d["formula"] for d in entries if d["novelty"]["new_composition"])
    of_formula = {d["_id"] for d in entries if d["formula"] == formula}
    rest = sorted(before.keys() - of_formula)
    moment = now()
    imported = OutsideEntry("1", None, EntryEnergy("imported", formula, -1.0, 0.0, "other"))
    store.entries.add_outside([imported], "elsewhere", "", replaces=False)
    store.finds.set_novelty(rest[0], prototype="another")
    store.entries.set_doubtful({rest[1]: "no crystal has such an energy"})
    store.entries.share([rest[2]], "another")
    try:
        assert refresh(store, since=now() + timedelta(seconds=1)).changed == 0
        assert refresh(store, since=moment).changed == len(of_formula) + 3
        assert refresh(store).changed == 0
        after = {d["_id"]: d for d in published.find({})}
        assert before.keys() - after.keys() == {rest[1]}
        changed = {key for key, document in after.items() if document["digest"] != before[key]["digest"]}
        assert changed == of_formula | {rest[0], rest[2]}
    finally:
        store.database["entries"].delete_one({"_id": "imported"})
        store.finds.settle_compositions()
        for entry in (store.entries.get(key) or {} for key in rest[:3]):
            old = before[entry["_id"]]
            kept = {"stability": store_stability(old), "novelty.prototype": old["_gnome_prototype"]}
            change = {"$set": {**kept, "campaigns": ["emt"]}, "$unset": {"doubtful": ""}}
            store.database["entries"].update_one({"_id": entry["_id"]}, change)
        refresh(store)
    assert {d["_id"]: d["digest"] for d in published.find({})} == {k: d["digest"] for k, d in before.items()}


def test_what_is_not_on_a_hull_yet_is_served(store: Store) -> None:
    found = store.database["entries"].find_one({"nelements": 2})
    store.database["entries"].update_one({"_id": found["_id"]}, {"$set": {"stability": None}})
    try:
        refresh(store)
        shown = store.published.collection("structures").find_one({"_id": found["_id"]})
        assert shown["species_at_sites"]
        assert {shown[served.key] for served in PROPERTIES if "hull" in served.name} == {None}
    finally:
        store.database["entries"].replace_one({"_id": found["_id"]}, found)
        refresh(store)


def test_rechecks_and_imports_are_told(store: Store) -> None:
    """A phase at another theory is no structure of its own, but a property of the phase."""
    entry = store.database["entries"].find_one({"lineage.round": 1})
    assert entry is not None
    key = entry["_id"]
    again = {**entry, "_id": "again", "recheck_of": key, "campaigns": [], "theory": "better"}
    again["stability"] = {**entry["stability"], "e_above_hull": 0.25}
    outside = {"source": "elsewhere", "key": "1", "version": "", "record": "r"}
    known = {**entry, "_id": "known", "campaigns": [], "theory": "other", "outside": outside}
    published = store.published.collection("structures")
    refresh(store)
    assert published.find_one({"_id": key})["_gnome_new_composition"] is True
    store.database["entries"].insert_many([again, known])
    try:
        store.finds.settle_compositions()
        refresh(store)
        told = published.find_one({"_id": key})
        assert (told["_gnome_second_opinion_theory"], told["_gnome_second_opinion_e_above_hull"]) == ("better", 0.25)
        assert told["_gnome_new_composition"] is False
        assert published.count_documents({"_id": {"$in": ["again", "known"]}}) == 0
    finally:
        store.database["entries"].delete_many({"_id": {"$in": ["again", "known"]}})
        store.finds.settle_compositions()
        refresh(store)


def store_stability(document: dict[str, Any]) -> dict[str, Any]:
    names = ("e_above_hull", "phase_separation_energy", "formation_energy")
    return {name: document[f"_gnome_{name}"] for name in names}
