"""Stable, unique, novel: against a count by StructureMatcher alone over all crystals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from campaigns import run_all, small_campaign
from fireworks import LaunchPad
from outside import Listed, record
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from gnome_torch.records import Candidate, Entry, HullPoint, Lineage
from gnome_torch.stability.hull import STABLE_TOLERANCE
from workflows.catalogue.imports import import_source
from workflows.catalogue.novelty import judge
from workflows.catalogue.sun import METASTABLE, Reference, sun_of
from workflows.store import CandidateState, Store, now

THEORY = "t"


def by_brute_force(store: Store, campaign: str, limit: float) -> int:
    """Crystals of a campaign within a limit of the hull that match no known one, and none that was counted before."""
    matcher = StructureMatcher()
    documents = sorted(
        store.database["entries"].find({"nelements": {"$gt": 1}}), key=lambda d: (d["created"], d["_id"])
    )
    crystals = {d["_id"]: Structure.from_dict(d["structure"]) for d in documents}
    begun = {d["_id"]: d["created"] for d in store.database["campaigns"].find({})}
    own = [
        d
        for d in documents
        if d["lineage"]["campaign"] == campaign
        and d["lineage"]["round"] > 0
        and d["stability"]
        and d["stability"]["e_above_hull"] <= limit
    ]
    counted: list[Structure] = []
    for find in sorted(own, key=lambda d: d["created"]):
        known = [
            d
            for d in documents
            if d["outside"]
            or (d["lineage"]["round"] == 0 and begun[d["lineage"]["campaign"]] <= find["created"])
            or (d["lineage"]["campaign"] != campaign and d["created"] < find["created"])
        ]
        crystal = crystals[find["_id"]]
        others = [crystals[d["_id"]] for d in known] + counted
        if not any(matcher.fit(crystal, other) for other in others):
            counted.append(crystal)
    return len(counted)


def reference(store: Store, campaign: str) -> Reference:
    """What is known of the compositions that a campaign has near the hull."""
    documents = list(store.database["entries"].find({}))
    formulas = {
        d["formula"]
        for d in documents
        if d["lineage"]["campaign"] == campaign and d["lineage"]["round"] > 0 and d["stability"]["e_above_hull"] <= 0.1
    }
    same = [d for d in documents if d["formula"] in formulas]
    return Reference(
        {"mp": 3},
        imported=sum(d["source"] == "outside" for d in same),
        first_data=sum(d["source"] != "outside" and d["lineage"]["round"] == 0 for d in same),
        others=sum(d["lineage"]["round"] > 0 and d["lineage"]["campaign"] != campaign for d in same),
    )


def decorated(kind: int, cation: str, length: float) -> Structure:
    """One of four arrangements of two elements."""
    if kind == 3:
        coords = [[1 / 3, 2 / 3, 0.0], [1 / 3, 2 / 3, 0.375]]
        return Structure.from_spacegroup("P6_3mc", Lattice.hexagonal(0.8 * length, 1.3 * length), [cation, "O"], coords)
    group, other = [("Fm-3m", [0.5, 0.5, 0.5]), ("F-43m", [0.25, 0.25, 0.25]), ("Pm-3m", [0.5, 0.5, 0.5])][kind]
    return Structure.from_spacegroup(group, Lattice.cubic(length), [cation, "O"], [[0, 0, 0], other])


def write_trial(store: Store, name: str, number: int, key: str, crystal: Structure, e_above_hull: float | None) -> None:
    """A candidate that was relaxed, or (None) failed."""
    species = tuple(site.specie.symbol for site in crystal)
    candidate = Candidate(key, "x", species, crystal.volume, Lineage("saps", "x", "y", number))
    store.candidates.select(name, number, [(candidate, crystal, None, None)], None)
    key = f"{name}/{candidate.id}"
    if e_above_hull is None:
        store.candidates.end(key, CandidateState.FAILED, reason="broken")
        return
    entry = f"{name} {candidate.id}"
    store.entries.add(Entry(entry, crystal, -40.0, 0.0, THEORY, Lineage("saps", "x", "y", number)), name)
    store.candidates.end(key, CandidateState.RELAXED, entry=entry)
    store.entries.set_stability(THEORY, {entry: HullPoint(-1.0, e_above_hull, -3.0, {})}, now(), 3)


def test_against_a_brute_force_count(store: Store, tmp_path: Path) -> None:
    """Two campaigns, imports, failures, four arrangements at random: with the same crystal again and again."""
    rng = np.random.default_rng(0)
    cations = ["Mg", "Ca", "Sr", "Ba", "Zn", "Cd"]

    def draw() -> Structure:
        crystal = decorated(int(rng.integers(4)), str(rng.choice(cations)), float(rng.uniform(4.0, 4.4)))
        crystal.scale_lattice(crystal.volume * float(rng.uniform(0.95, 1.05)))
        return crystal

    items = [record(f"mp-{n}", draw(), -5.0) for n in range(3)]
    import_source(store, Listed(items, name="mp"), "other", tmp_path / "r.csv")
    for name in ("a", "b"):
        store.campaigns.create(name, {"elements": [*cations, "O"]}, THEORY, "none", "/d", "uid")
    for number in range(3):
        for name in ("a", "b"):
            store.rounds.open(name, number)
            for n in range(6 if number else 1):
                far = float(rng.choice([0.0, 0.0, 0.05, 0.1, 0.3]))
                write_trial(store, name, number, f"{number}.{n}", draw(), None if n == 4 else far)
            store.rounds.close(name, number, {"outstanding": 0})
    judge(store, store.finds.near_hull(METASTABLE))
    for name in ("a", "b"):
        sun = sun_of(store, name)
        expected = [by_brute_force(store, name, limit) for limit in (STABLE_TOLERANCE, METASTABLE)]
        assert [sun.stable, sun.metastable] == expected
        assert 0 < sun.stable < sun.metastable < sun.tried == 12
        assert (sun.rate, sun.metastable_rate, sun.uncompared) == (sun.stable / 12, sun.metastable / 12, 0)
        assert sun.reference == reference(store, name)
        assert min(sun.reference.imported, sun.reference.first_data, sun.reference.others) > 0
        assert f"of 12 relaxations tried, on the hull {sun.stable}" in sun.text
        assert f"{sun.reference.others} found by other campaigns; imported in all: mp 3)" in sun.meaning
        assert "ltol 0.2, stol 0.3, angle_tol 5" in sun.meaning

    # a round that goes on is not counted yet; nor is a crystal that has not been compared
    before = sun_of(store, "a")
    store.rounds.open("a", 3)
    write_trial(store, "a", 3, "3.0", decorated(0, "Be", 4.2), 0.0)
    write_trial(store, "a", 3, "3.1", decorated(1, "Be", 4.2), None)
    assert sun_of(store, "a") == before
    store.rounds.close("a", 3, {"outstanding": 0})
    after = sun_of(store, "a")
    assert (after.tried, after.stable, after.uncompared) == (14, before.stable, 1)
    judge(store, ["a 3.0"])
    assert sun_of(store, "a").stable == before.stable + 1


def test_of_a_campaign_that_ran(launchpad: LaunchPad, tmp_path: Path, failing: Any, gnome: Any, here: Path) -> None:
    """From the first crystal to the last, on EMT; and a second campaign that finds what the first one found."""
    failing(lambda formula: formula == "CuAu3")
    store = run_all(launchpad, small_campaign(tmp_path, rounds=2), tmp_path / "launches")
    sun = sun_of(store, "emt")
    ended = store.database["candidates"].find({"campaign": "emt", "round": {"$gt": 0}})
    assert sun.tried == len(list(ended)) > 0
    limits = (STABLE_TOLERANCE, METASTABLE)
    assert [sun.stable, sun.metastable] == [by_brute_force(store, "emt", limit) for limit in limits]
    assert sun.metastable > 0
    status, out, _ = gnome("campaign", "status", "emt")
    assert status == 0
    assert f"stable, unique and novel crystals (S.U.N.): {sun.text}" in out
    assert sun.meaning in out

    again = small_campaign(tmp_path / "second", name="second", rounds=2)
    store = run_all(launchpad, again, tmp_path / "launches")
    second = sun_of(store, "second")
    assert [second.stable, second.metastable] == [by_brute_force(store, "second", limit) for limit in limits]
    for number in (1, 2):
        result = store.rounds.get("second", number)["result"]
        entries = {
            c["entry"]
            for c in store.database["candidates"].find({"campaign": "second", "round": number})
            if "entry" in c
        }
        own = [d for d in store.entries.documents_of(entries).values() if d["lineage"]["campaign"] == "second"]
        assert result["stable"] <= sum(d["novelty"]["new_composition"] for d in own)
