"""Which compositions teach the networks, and with which energy."""

from __future__ import annotations

from datetime import datetime

from fireworks import LaunchPad
from pymatgen.core import Lattice, Structure

from gnome_torch.records import Entry, HullPoint, Lineage, Prediction
from workflows.store import SearchState, Store, now


def test_labels_of_compositions(launchpad: LaunchPad) -> None:
    """Lowest energies; a composition known from random search alone counts with enough finished runs."""
    store = Store(launchpad.db)
    store.prepare()
    lattice = Lattice.cubic(4.0)

    def add(key: str, species: list[str], energy: float, source: str) -> None:
        structure = Structure(lattice, species, [[i / len(species), 0, 0] for i in range(len(species))])
        entry = Entry(key, structure, energy * len(species), 0.0, "emt-1", Lineage(source, round=1))
        store.entries.add(entry, "c")
        store.entries.set_stability("emt-1", {key: HullPoint(energy, 0.0, energy, {key: 1.0})}, now(), 1)

    add("cu", ["Cu"], 0.0, "element")
    for i in range(4):
        add(f"enough{i}", ["Cu", "Au"], -0.1 - i / 10, "random")
    for i in range(2):
        add(f"few{i}", ["Cu", "Cu", "Au"], -0.5 - i / 10, "random")
    add("pre", ["Cu", "Au", "Au"], -0.3, "random")
    add("mixed", ["Cu", "Cu", "Cu", "Au"], -0.2, "saps")
    add("lower", ["Cu", "Cu", "Cu", "Au"], -0.25, "random")
    add("other", ["Ag"], 0.0, "element")
    store.searches.select("c", 1, "emt-1", [("CuAu2", Prediction("CuAu2", -0.3, 0.0, 1.0), 0.0)], "m")
    store.searches.end("c", "CuAu2", SearchState.SEARCHED, counts={"pre_relaxed": 5})
    store.searches.select("d", 1, "emt-1", [("CuAu2", Prediction("CuAu2", -0.3, 0.0, 1.0), 0.0)], "m")
    store.searches.end("d", "CuAu2", SearchState.SEARCHED, counts={"pre_relaxed": 5})  # the same crystals again
    assert store.searches.pre_relaxed_runs("emt-1", datetime(2020, 1, 1)) == {}
    runs = store.searches.pre_relaxed_runs("emt-1", now())
    assert runs == {"CuAu2": 5}
    labels = store.learning.composition_labels("emt-1", ["Cu", "Au"], now(), 3, runs)
    assert labels == [("Cu", 0.0), ("Cu3Au", -0.25), ("CuAu", -0.4), ("CuAu2", -0.3)]
    assert [f for f, _ in store.learning.composition_labels("emt-1", ["Cu", "Au"], now(), 6, runs)] == ["Cu", "Cu3Au"]
    # a search that goes on has not found its lowest yet
    assert store.searches.unfinished("emt-1", now()) == set()
    store.database["candidates"].insert_one({"_id": "d/x", "campaign": "d", "search": "CuAu2", "state": "selected"})
    assert store.searches.unfinished("emt-1", now()) == {"CuAu2"}
    labels = store.learning.composition_labels("emt-1", ["Cu", "Au"], now(), 3, runs, {"CuAu2", "Cu3Au"})
    assert [formula for formula, _ in labels] == ["Cu", "Cu3Au", "CuAu"]
