"""What is new about finds, beside what is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from outside import Listed, record, salt
from pymatgen.core import Lattice, Structure

from gnome_torch.records import Entry, Lineage
from workflows.catalogue.imports import import_source
from workflows.catalogue.novelty import judge
from workflows.store import Store
from workflows.store.collections.entries import Entries


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
    assert store.finds.known_outside({"CaO", "MgO"}) == {"CaO"}
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


class Counting(Entries):
    """Entries that note what they are asked for."""

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
    store.entries = Counting(store.database)
    judge(store, keys)
    assert len(store.entries.asked) == 1
