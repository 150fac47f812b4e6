"""Entries: what is written, who finds them again, by which index."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from pymatgen.core import Lattice, Structure

from gnome_torch.records import Entry, EntryEnergy, HullPoint, Lineage
from workflows.store import (
    OutsideEntry,
    Store,
    now,
)

SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.21), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def entry(key: str = "e", energy: float = -48.0, theory: str = "theory-1", number: int = 0) -> Entry:
    return Entry(key, SALT, energy, -2.0, theory, Lineage("prototype", "aflow:x", "Na->Mg", number))


def test_an_entry_round_trips_and_is_written_once(store: Store) -> None:
    store.entries.add(entry(), "c")
    store.entries.add(entry(energy=-1.0), "d")  # the same computation, from another campaign: the first result stays
    (found,) = store.entries.energies("theory-1", ["Mg", "O"])
    assert found == entry().without_crystal()
    document = store.entries.get("e")
    assert document is not None
    assert document["campaigns"] == ["c", "d"]
    assert (document["formula"], document["chemsys"], document["nsites"]) == ("MgO", "Mg-O", 8)
    assert document["spacegroup"] == {"number": 225, "symbol": "Fm-3m"}
    assert document["energy_per_atom"] == pytest.approx(-50.0 / 8)


def test_every_write_of_an_entry_is_found_by_its_time(store: Store) -> None:
    """What is served is renewed from this alone; a write that changes nothing is no change."""
    outside = OutsideEntry("mp-1", None, EntryEnergy("outside", "MgO", -6.0, 0.0, "theory-2"))
    newer = OutsideEntry("mp-1", None, EntryEnergy("newer", "MgO", -6.1, 0.0, "theory-2"))
    place = {"a": HullPoint(-3.0, 0.0, -0.1, {"a": 1.0})}
    writes: list[tuple[Callable[[], object], set[str]]] = [
        (lambda: store.entries.add(entry("a", number=1), "c"), {"a"}),
        (lambda: store.entries.add(entry("a", number=1), "c"), set()),
        (lambda: store.entries.add(entry("a", number=1), "d"), {"a"}),
        (lambda: store.entries.share(["a"], "d"), set()),
        (lambda: store.entries.share(["a"], "e"), {"a"}),
        (lambda: store.entries.add(entry("again", theory="theory-2"), "c", recheck_of="a"), {"a"}),
        (lambda: store.entries.set_stability("theory-1", place, now(), 1), {"a"}),
        (lambda: store.entries.set_stability("theory-1", place, now(), 1), set()),
        (lambda: store.finds.set_novelty("a", duplicate_of="b"), {"a"}),
        (lambda: store.entries.add_outside([outside], "there", "1", replaces=True), {"a"}),
        (lambda: store.entries.add_outside([outside], "there", "1", replaces=True), set()),
        # its composition is known by now
        (lambda: store.entries.add_outside([newer], "there", "2", replaces=True), set()),
        (lambda: store.entries.add_outside([outside], "there", "1", replaces=True), set()),
        (lambda: store.entries.share(["again"], "d"), {"a", "again"}),
        (lambda: store.entries.set_doubtful({"a": "no such energy"}), {"a"}),
        (lambda: store.entries.set_doubtful({"a": "no such energy"}), set()),
    ]
    for write, touched in writes:
        time.sleep(0.002)
        before = now()
        write()
        assert store.published.touched(before) == touched
    assert [d["_id"] for d in store.published.found_crystals(["a", "again", "outside", "newer"])] == ["again"]
    store.entries.set_stability("theory-1", place, now(), 1)  # with what has come since, its energy can be believed
    assert len(store.published.found_crystals(["a"])) == 1
    plan = store.database["entries"].find({"changed": {"$gte": now()}}).explain()
    assert "COLLSCAN" not in str(plan["queryPlanner"]["winningPlan"])


def test_theories_and_elements_are_kept_apart(store: Store) -> None:
    store.entries.add(entry("a"), "c")
    store.entries.add(entry("b", theory="theory-2"), "c")
    assert [e.id for e in store.entries.energies("theory-1", ["Mg", "O", "Li"])] == ["a"]
    assert store.entries.energies("theory-1", ["Mg", "Li"]) == []
    many = ["Mg", "O", "Li", "Na", "K", "Rb", "Cs", "F"]  # more elements than are looked up by chemical system
    assert [e.id for e in store.entries.energies("theory-2", many)] == ["b"]
    assert store.entries.energies("theory-2", [s for s in many if s != "O"]) == []


def test_stability_and_the_list_of_stable_phases(store: Store) -> None:
    for key, number in (("a", 0), ("b", 1), ("far", 1)):
        store.entries.add(entry(key, number=number), "c")
    point = HullPoint(-3.0, 0.0, -0.5, {"a": 1.0})
    far = HullPoint(-2.0, 1.0, 1.0, {"a": 1.0})
    store.entries.set_stability(
        "theory-1", {"a": HullPoint(-3.0, 0.0, -0.1, {"a": 1.0}), "b": point, "far": far}, now(), 3
    )
    assert [d["_id"] for d in store.finds.phases("c", 1e-4)] == ["b", "a"]
    assert [d["_id"] for d in store.finds.phases(None, 2.0)] == ["b", "a", "far"]
    assert store.finds.phases("other", 2.0) == []
    assert [key for key, _ in store.entries.near_hull("theory-1", ["Mg", "O"], 0.1)] == ["a", "b"]
    # what stands where it stood keeps the date of the hull that put it there
    date = store.database["entries"].find_one({"_id": "b"})["stability"]["hull_date"]
    store.entries.set_stability("theory-1", {"b": point}, now(), 4, {"b": 0.2})
    stability = store.database["entries"].find_one({"_id": "b"})["stability"]
    assert (stability["hull_date"], stability["e_above_hull_uncorrected"]) == (date, 0.2)
    # an earlier hull that comes late overwrites neither this, nor what has been retired meanwhile
    store.entries.set_stability("theory-1", {"b": point}, now() - timedelta(minutes=1), 3, {"b": 0.1})
    assert store.database["entries"].find_one({"_id": "b"})["stability"]["e_above_hull_uncorrected"] == 0.2
    store.database["entries"].update_one({"_id": "far"}, {"$set": {"replaced_by": "b", "stability": None}})
    store.entries.set_stability("theory-1", {"far": far}, now(), 3)
    assert store.database["entries"].find_one({"_id": "far"})["stability"] is None
    # a hull of entries read earlier does not overwrite what a later one said
    store.entries.set_stability("theory-1", {"a": far}, now() - timedelta(minutes=1), 2)
    assert [d["_id"] for d in store.finds.phases("c", 1e-4)] == ["b", "a"]
    store.entries.set_doubtful({"b": "formation energy -9.0 eV/atom"})
    assert [d["_id"] for d in store.finds.phases("c", 1e-4)] == ["a"]


def test_crystals_near_any_hull_by_one_index(store: Store) -> None:
    store.prepare()
    for key, theory in (("a", "theory-1"), ("b", "theory-2"), ("far", "theory-1"), ("old", "theory-1")):
        store.entries.add(entry(key, theory=theory), "c")
    store.entries.add(entry("checked", theory="theory-2"), "c", recheck_of="a")
    store.entries.add(entry("unplaced"), "c")
    distances = {"a": 0.05, "b": 0.0, "far": 0.3, "old": 0.0, "checked": 0.0}
    for theory in ("theory-1", "theory-2"):
        points = {key: HullPoint(-3.0, distance, 0.0, {"a": 1.0}) for key, distance in distances.items()}
        store.entries.set_stability(theory, points, now(), 5)
    store.database["entries"].update_one({"_id": "old"}, {"$set": {"replaced_by": "a"}})
    found = store.entries.near_any_hull(0.1, 20, 3)
    assert [(crystal.key, crystal.formula, crystal.e_above_hull) for crystal in found] == [
        ("b", "MgO", 0.0), ("a", "MgO", 0.05)
    ]  # fmt: skip
    assert all(crystal.prototype for crystal in found)
    assert store.entries.near_any_hull(0.1, 7, 3) == []  # its cell has eight atoms
    assert store.entries.near_any_hull(0.1, 20, 1) == []
    assert [crystal.key for crystal in store.entries.near_any_hull(0.5, 20, 2)] == ["b", "a", "far"]
    query = {"stability.e_above_hull": {"$lte": 0.1}}
    plan = store.database["entries"].find(query).sort([("stability.e_above_hull", 1), ("_id", 1)]).explain()
    assert "IXSCAN" in str(plan["queryPlanner"]["winningPlan"])


def test_phases_are_asked_for_by_one_index(store: Store) -> None:
    """What the query leaves out is looked at afterwards: equal to one pass over everything."""
    store.prepare()
    store.database["campaigns"].insert_one({"_id": "d"})
    other = replace(
        entry("other"), structure=Structure.from_spacegroup("Fm-3m", SALT.lattice, ["Li", "F"], [[0, 0, 0], [0.5] * 3])
    )
    for some, campaign in ((entry("a"), "c"), (entry("b"), "d"), (other, "c"), (entry("outside"), None)):
        store.entries.add(some, campaign or "c")
    store.database["entries"].update_one({"_id": "outside"}, {"$set": {"campaigns": []}})
    distances = {"a": 0.0, "b": 0.03, "other": 0.01, "outside": 0.0}
    points = {key: HullPoint(-3.0, distance, distance - 0.1, {"a": 1.0}) for key, distance in distances.items()}
    store.entries.set_stability("theory-1", points, now(), 4)
    elements = {"a": {"Mg", "O"}, "b": {"Mg", "O"}, "other": {"Li", "F"}, "outside": {"Mg", "O"}}
    campaigns = {"a": "c", "b": "d", "other": "c"}
    for campaign in (None, "c", "d"):
        for limit in (0.0, 0.02, 1.0):
            for held, system in ((), ()), (("O",), ()), (("Mg", "O"), ()), ((), ("Li", "F")), (("F",), ("F", "Li")):
                expected = [
                    key
                    for key in sorted(campaigns, key=lambda key: distances[key])
                    if campaign in (None, campaigns[key])
                    and distances[key] <= limit
                    and {*held} <= elements[key]
                    and (not system or elements[key] == {*system})
                ]
                assert [d["_id"] for d in store.finds.phases(campaign, limit, held, system)] == expected
                for query in store.finds.queries(campaign, limit, held, system):
                    plan = store.database["entries"].find(query).explain()
                    assert "IXSCAN" in str(plan["queryPlanner"]["winningPlan"])
                    assert "COLLSCAN" not in str(plan["queryPlanner"]["winningPlan"])
    assert store.finds.phases(None, 1.0, since=now() + timedelta(hours=1)) == []


def test_training_data_hold_the_start_of_a_relaxation(store: Store) -> None:
    """8 atoms at -48 eV: a start at -40 eV lies 1 eV/atom above; one at 0 eV is too far to be learnt from."""
    for key, own in (("a", -40.0), ("b", 0.0), ("c", None)):
        store.entries.add(entry(key), "c", initial={"structure": SALT.as_dict(), "energy": own})
    store.entries.add(entry("imported"), "c")
    store.entries.add(entry("not on a hull yet"), "c")
    drawn = replace(entry("random"), lineage=Lineage("random"))
    store.entries.add(drawn, "c", initial={"structure": SALT.as_dict(), "energy": -40.0})
    keys = ("a", "b", "c", "imported", "random")
    store.entries.set_stability("theory-1", {key: HullPoint(-3.0, 0.0, -0.1, {"a": 1.0}) for key in keys}, now(), 3)
    ends = [(key, -3.0) for key in keys]
    for starts, expected in (
        ("none", []),
        ("own", [("a:initial", -2.0)]),
        ("relaxed", [("a:initial", -3.0), ("c:initial", -3.0)]),
    ):
        data = store.learning.training_data("theory-1", ["Mg", "O"], now(), starts)
        assert sorted((key, energy) for key, _, energy in data) == sorted([*ends, *expected])
    assert store.learning.training_data("theory-1", ["Mg", "O"], now() - timedelta(hours=1), "own") == []
