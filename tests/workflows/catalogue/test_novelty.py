"""What is new about finds, beside what is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from outside import Listed, record, salt
from pymatgen.core import Lattice, Structure

from gnome_torch.records import Candidate, Entry, HullPoint, Lineage
from workflows.catalogue.imports import import_source
from workflows.catalogue.novelty import join_mirror_images, judge
from workflows.catalogue.phases import PhaseQuery, phases
from workflows.catalogue.phases.doubts import doubts
from workflows.store import CandidateState, Store, now
from workflows.store.collections.finds import Finds


def test_novelty_beside_what_was_imported(store: Store, tmp_path: Path) -> None:
    """A found rock salt is no new prototype once one is known; the same crystal is found again; older ones lead."""
    store.campaigns.create("c", {"elements": ["Mg", "O"]}, "t", "none", "/d", "uid")
    items = [record("mp-1", salt("Ca"), -5.0), record("mp-2", salt("Ba"), -5.0)]
    import_source(store, Listed(list(items)), "other", tmp_path / "r.csv")
    for key, crystal in (("found", salt("Mg")), ("again", salt("Mg", 4.25)), ("known", salt("Ca", 4.3))):
        store.entries.add(Entry(key, crystal, -40.0, 0.0, "t", Lineage("saps", "x", "y", 1)), "c")
    judge(store, ["found", "again", "known"])
    documents = {key: (store.entries.get(key) or {})["novelty"] for key in ("found", "again", "known")}
    calcium = next(d["_id"] for d in store.database["entries"].find({"outside.key": "mp-1"}))
    assert [documents[key]["new_prototype"] for key in documents] == [False, False, False]
    assert documents["found"]["analogue"] == calcium  # nearer to magnesium than barium is
    assert documents["found"]["duplicate_of"] is None
    assert documents["again"]["duplicate_of"] == "found"
    assert documents["known"]["duplicate_of"] == calcium
    assert [documents[key]["new_composition"] for key in documents] == [True, True, False]  # nobody had MgO
    # of a prototype that nobody has, the library's crystal is the analogue
    perovskite = Structure(
        Lattice.cubic(4), ["K", "Mg", "F", "F", "F"],
        [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
    )  # fmt: skip
    store.entries.add(Entry("perovskite", perovskite, -20.0, 0.0, "t", Lineage("saps", "x", "y", 1)), "c")
    judge(store, ["perovskite"])
    novelty = (store.entries.get("perovskite") or {})["novelty"]
    assert novelty["new_prototype"] is False
    assert novelty["analogue"].startswith("aflow:")


def silica(symbol: str, length: float, left: bool) -> Structure:
    """Quartz of another element, of one hand."""
    places = np.array([[0.4697, 0, 1 / 3], [0.4135, 0.2669, 0.4524]])
    group, coords = ("P3_221", -places) if left else ("P3_121", places)
    return Structure.from_spacegroup(group, Lattice.hexagonal(length, 1.1 * length), [symbol, "O"], coords)


def test_both_hands_of_a_crystal_are_joined(store: Store) -> None:
    """An earlier version wrote a prototype for each: what it said of them is put right, without their crystals."""
    quartz = "AB2_hP9_152_a_c"
    store.entries.add(Entry("known", silica("Si", 4.916, False), -9.0, 0.0, "t", Lineage("file", "x", "y", 0)), "c")
    changes = {"prototype_before": quartz, "transformed": False}
    found = Entry("found", silica("Ge", 4.987, True), -9.0, 0.0, "t", Lineage("saps", "x", "y", 1))
    store.entries.add(found, "c", change=dict(changes))
    judge(store, ["found"])

    def said() -> Any:
        document = store.entries.get("found") or {}
        return document["novelty"], document["change"]

    right = said()
    assert right[0] == {**right[0], "prototype": quartz, "new_prototype": False, "analogue": "known"}
    assert join_mirror_images(store) == 0
    old = {"novelty.prototype": quartz.replace("152", "154"), "novelty.new_prototype": True, "novelty.analogue": None}
    documents = store.database["entries"]
    documents.update_one({"_id": "found"}, {"$set": {**old, "change.transformed": True, "structure": None}})
    assert said() != right
    assert join_mirror_images(store) == 1
    assert said() == right
    assert join_mirror_images(store) == 0


class Counting(Finds):
    """Finds that note what they are asked for."""

    def __init__(self, database: Any) -> None:
        super().__init__(database)
        self.asked: list[str] = []

    def known_of_prototype(self, prototype: str) -> list[tuple[str, str]]:
        self.asked.append(prototype)
        return super().known_of_prototype(prototype)


def test_known_crystals_of_a_prototype_are_read_once(store: Store) -> None:
    keys = ["MgO", "CaO", "SrO"]
    for key in keys:
        store.entries.add(Entry(key, salt(key[:2]), -40.0, 0.0, "t", Lineage("saps", "x", "y", 1)), "c")
    store.finds = Counting(store.database)
    judge(store, keys)
    assert len(store.finds.asked) == 1


def test_new_is_what_nobody_had(store: Store, tmp_path: Path) -> None:
    """Imports, first data (also what failed there), the campaign that came first: one truth, wherever it is read."""
    for name in ("a", "b"):
        store.campaigns.create(name, {"elements": ["Mg", "O"]}, "t", "none", "/d", "uid")
    seed = salt("Sr")
    species = tuple(site.specie.symbol for site in seed)
    candidate = Candidate("seed", "x", species, seed.volume, Lineage("file", "x", "", 0))
    store.candidates.select("a", 0, [(candidate, seed, None, None)], None)
    store.candidates.end("a/seed", CandidateState.FAILED, reason="broken")

    def find(key: str, crystal: Structure, campaign: str, number: int) -> None:
        store.entries.add(Entry(key, crystal, -40.0, 0.0, "t", Lineage("saps", "x", "y", number)), campaign)

    find("first data of b", salt("Mg"), "b", 0)
    find("in b's first data", salt("Mg", 4.3), "a", 1)
    find("by a", salt("Ba"), "a", 1)
    find("a's polymorph", salt("Ba", 5.0), "a", 2)
    find("by b, later", salt("Ba", 4.9), "b", 1)
    find("failed in a's first data", salt("Sr", 4.4), "b", 1)
    find("imported", salt("Ca"), "b", 1)
    import_source(store, Listed([record("mp-1", salt("Ca", 4.8), -5.0)]), "other", tmp_path / "r.csv")

    def new() -> set[str]:
        return {d["_id"] for d in store.database["entries"].find({"novelty.new_composition": True})}

    assert "imported" not in new()  # at once
    store.finds.settle_compositions()
    assert new() == {"by a", "a's polymorph"}
    assert store.finds.settle_compositions() == 0
    keys = ("by a", "a's polymorph", "by b, later", "imported")
    store.entries.set_stability("t", dict.fromkeys(keys, HullPoint(-1.0, 0.0, -3.0, {})), now(), 7)
    for campaign, listed in ((None, set(keys)), ("a", set(keys[:2])), ("b", set(keys[2:]))):
        rows = phases(store, PhaseQuery(campaign))
        assert {row.entry for row in rows} == listed
        assert {row.entry for row in rows if row.new} == listed & new()
    store.entries.share(["by a"], "b")  # which proposed it, too, and took what was computed
    assert {row.entry: row.new for row in phases(store, PhaseQuery("b"))}["by a"] is False


def test_the_same_crystal_is_listed_once(store: Store) -> None:
    """At its lowest energy, with the round that came to it first, which is no doubt about it."""
    store.campaigns.create("c", {"elements": ["Mg", "O"]}, "t", "none", "/d", "uid")
    for key, number, e_above_hull in (("first", 1, 0.03), ("again", 2, 0.0), ("once more", 3, 0.01)):
        lineage = Lineage("saps", "x", "y", number)
        store.entries.add(Entry(key, salt("Mg", 4.2 + number / 100), -40.0, 0.0, "t", lineage), "c")
        store.entries.set_stability("t", {key: HullPoint(-1.0, e_above_hull, -3.0, {})}, now(), 3)
    judge(store, ["first", "again", "once more"])
    for listed_down_to in (0.1, 0.0):  # the first is one truth, whether it is listed itself or not
        (row,) = phases(store, PhaseQuery("c", max_e_above_hull=listed_down_to))
        assert (row.entry, row.round, row.duplicate_of) == ("again", 1, "")
        assert doubts(row) == []
    # at another theory it stands on another hull, and hides nothing
    store.entries.add(Entry("other", salt("Mg", 4.21), -40.0, 0.0, "u", Lineage("saps", "x", "y", 1)), "c")
    store.entries.set_stability("u", {"other": HullPoint(-1.0, 0.0, -3.0, {})}, now(), 1)
    judge(store, ["other"])
    assert {row.entry for row in phases(store, PhaseQuery("c"))} == {"again", "other"}
    store.finds.set_novelty("first", duplicate_of="once more")  # a broken record: a circle
    assert {row.theory for row in phases(store, PhaseQuery("c"))} == {"t", "u"}
