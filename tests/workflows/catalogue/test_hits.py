"""New stable compounds of a round, and rediscoveries."""

from __future__ import annotations

from datetime import timedelta

from pymatgen.core import Lattice, Structure

from gnome_torch.records import Candidate, Entry, HullPoint, Lineage
from workflows.catalogue.hits import Hits, new_stable
from workflows.catalogue.novelty import judge
from workflows.store import Store, now

THEORY = "t"


def rock_salt(cation: str, length: float = 4.2) -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(length), [cation, "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def caesium_chloride(cation: str, length: float = 2.7) -> Structure:
    return Structure(Lattice.cubic(length), [cation, "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def add(store: Store, key: str, crystal: Structure, campaign: str, number: int, e_above_hull: float = 0.0) -> None:
    lineage = Lineage("saps", "x", "y", number)
    species = tuple(site.specie.symbol for site in crystal)
    candidate = Candidate(key, "x", species, crystal.volume, lineage)
    store.candidates.select(campaign, number, [(candidate, crystal, None, None)], None)
    store.entries.add(Entry(key, crystal, -40.0, 0.0, THEORY, lineage), campaign)
    place(store, key, e_above_hull)


def place(store: Store, key: str, e_above_hull: float) -> None:
    store.entries.set_stability(THEORY, {key: HullPoint(-1.0, e_above_hull, -3.0, {})}, now(), 3)


def test_what_is_new_of_a_round(store: Store) -> None:
    """Not: first data, another campaign's entry or composition, an imported crystal, what was on the hull already."""
    for name in ("other", "c"):
        store.campaigns.create(name, {"elements": ["Mg", "O"]}, THEORY, "none", "/d", "uid")
    add(store, "first data", rock_salt("Mg"), "c", 0)
    add(store, "of another", rock_salt("Ca"), "other", 1)
    store.entries.share(["of another"], "c")
    add(store, "composition of another", caesium_chloride("Ca"), "c", 1)
    add(store, "polymorph of first data", caesium_chloride("Mg"), "c", 1)
    add(store, "new", rock_salt("Sr"), "c", 1)
    add(store, "twice in a round", rock_salt("Sr", 4.25), "c", 1)
    add(store, "above the hull", rock_salt("Ba"), "c", 1, 0.02)
    store.finds.settle_compositions()
    judge(store, store.finds.near_hull(0.1))
    on_hull = {"of another", "composition of another", "polymorph of first data", "new", "twice in a round"}
    assert new_stable(store, "c", 1, on_hull) == {"new"}
    assert new_stable(store, "other", 1, {"of another"}) == {"of another"}

    # later rounds: the same crystal again, one that was not stable before, a deeper crystal of the same composition
    add(store, "again", rock_salt("Sr", 4.22), "c", 2)
    add(store, "deeper now", rock_salt("Ba", 4.24), "c", 2)
    add(store, "polymorph", caesium_chloride("Sr"), "c", 2)
    judge(store, ["again", "deeper now", "polymorph"])
    second = {"again", "deeper now", "polymorph"}
    assert new_stable(store, "c", 2, second) == {"deeper now", "polymorph"}
    place(store, "new", 0.01)  # the hull has moved: it was stable, all the same
    place(store, "twice in a round", 0.01)
    assert new_stable(store, "c", 2, second) == {"deeper now", "polymorph"}
    assert new_stable(store, "c", 2, set()) == set()


def test_first_data_of_a_campaign_that_begins_later_take_nothing_away(store: Store) -> None:
    """A find that others begin with is not their rediscovery."""
    store.campaigns.create("c", {"elements": ["Mg", "O"]}, THEORY, "none", "/d", "uid")
    add(store, "find", rock_salt("Mg"), "c", 1)
    store.campaigns.create("later", {"elements": ["Mg", "O"]}, THEORY, "none", "/d", "uid")
    add(store, "seed", rock_salt("Mg", 4.3), "later", 0)
    store.finds.settle_compositions()
    judge(store, ["find"])
    assert new_stable(store, "c", 1, {"find"}) == {"find"}
    # but what a campaign begins with is known to others that find it later, or while it is being relaxed
    earlier = now() - timedelta(days=1)
    store.database["campaigns"].update_one({"_id": "later"}, {"$set": {"created": earlier}})
    store.finds.settle_compositions()
    judge(store, ["find"])
    assert new_stable(store, "c", 1, {"find"}) == set()


def test_rates() -> None:
    hits = Hits(trials=8, on_hull=4, stable=1)
    assert (hits.rediscovered, hits.hit_rate, hits.hull_rate) == (3, 1 / 8, 0.5)
    assert Hits.read(hits.stored()) == hits
    assert hits + Hits(2, 1, 1) == Hits(10, 5, 2)
    first_data = Hits(0, 5, 0)
    assert (first_data.hit_rate, first_data.hull_rate, first_data.rediscovered) == (None, None, 5)
    # of an earlier version
    old = Hits.read({"relaxed": 20, "stable": 3, "hit_rate": 0.25})
    assert (old.trials, old.on_hull, old.hull_rate) == (12, 3, 0.25)
    assert (old.stable, old.rediscovered, old.hit_rate, (old + hits).stable) == (None, None, None, None)
    assert Hits.read({"relaxed": 20, "stable": 0, "hit_rate": 0.0}) == Hits(20, 0, None)
