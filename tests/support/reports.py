"""Campaigns as the database holds them, written without a single relaxation: what a report is made of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import combinations, product
from math import gcd
from typing import Any

import numpy as np
from pymatgen.core import Composition, Lattice, Structure

from gnome_torch.records import Candidate, Entry, Lineage, Prediction
from gnome_torch.stability.hull import STABLE_TOLERANCE
from workflows.catalogue.hits import Hits, new_stable
from workflows.catalogue.hulls import renew
from workflows.store import CampaignState, CandidateState, NetworkKind, Store, model_id, now

THEORY = "potential-1"


def formulas(elements: Sequence[str], largest: int) -> list[str]:
    """Reduced binary and ternary compositions of at most so many atoms of each element, in an order of no meaning."""
    found = []
    for size in (2, 3):
        for system in combinations(elements, size):
            for amounts in product(range(1, largest + 1), repeat=size):
                if gcd(*amounts) == 1:
                    found += [Composition(dict(zip(system, amounts, strict=True))).reduced_formula]
    return [str(formula) for formula in np.random.default_rng(0).permutation(sorted(set(found)))]


def write_campaign(
    store: Store,
    name: str,
    elements: Sequence[str],
    per_round: Sequence[int],
    largest: int = 3,
    state: str = "finished",
) -> list[str]:
    """A campaign with rounds that are closed, each with its networks and its relaxed crystals.

    Args:
        store: the database.
        name: of the campaign.
        elements: of it; each has a reference.
        per_round: compounds that each round relaxes, from the first data on.
        largest: amount of an element in a formula.
        state: of the campaign.

    Returns:
        Keys of its compounds' entries, in the order they were computed.
    """
    store.campaigns.create(name, {"elements": list(elements)}, THEORY, "none", "/nowhere", "uid")
    todo, written = iter(formulas(elements, largest)), []
    for number, count in enumerate(per_round):
        store.rounds.open(name, number)
        new = [next(todo) for _ in range(count)]
        written += [
            write_relaxed(store, name, number, formula) for formula in ([*elements] if number == 0 else []) + new
        ]
        renew(store, THEORY)
        close(store, name, number)
    if state != "running":
        store.campaigns.end(name, CampaignState(state), f"all {len(per_round) - 1} rounds done")
    return [key for key in written if key.removeprefix(f"{name}-") not in elements]


def write_relaxed(store: Store, name: str, number: int, formula: str) -> str:
    """A candidate that was selected in a round and relaxed; returns the key of its entry."""
    energy = formation_energy(formula)
    error = 0.3 * (formation_energy(formula + formula) - energy)
    lineage = Lineage("substitution" if number else "prototype", "aflow:AB_cP2_221_b_a", f"X->{formula}", number)
    crystal = layers(formula)
    entry = Entry(f"{name}-{formula}", crystal, energy * len(crystal), 0.0, THEORY, lineage)
    prediction = Prediction(entry.id, energy + error, abs(error) + 0.01, 1.0) if number else None
    select(store, name, number, formula, prediction)
    store.entries.add(entry, name, prediction=None if prediction is None else vars(prediction))
    store.candidates.end(f"{name}/{formula}", CandidateState.RELAXED, entry=entry.id)
    return entry.id


def select(store: Store, name: str, number: int, formula: str, prediction: Prediction | None) -> None:
    """A candidate that waits for its relaxation."""
    crystal = layers(formula)
    species = tuple(site.specie.symbol for site in crystal)
    candidate = Candidate(formula, "aflow:AB_cP2_221_b_a", species, crystal.volume, Lineage("substitution"))
    store.candidates.select(name, number, [(candidate, crystal, prediction, 0.0)], model_id(name, number))


def write_networks(
    store: Store, name: str, number: int, n_train: int, mae: float, network: str = NetworkKind.STRUCTURE
) -> None:
    """An ensemble, with its calibration on the test part of the data."""
    bins = [{"iqr": 0.4 * k * mae, "mae": (0.3 + 0.25 * k) * mae} for k in range(1, 6)]
    store.models.add(
        model_id(name, number, network),
        kind=network,
        n_train=n_train,
        n_test=n_train // 8,
        test_mae=mae,
        test_mae_before=1.3 * mae if number > 1 else None,
        calibration={"bins": bins},
    )


def close(store: Store, name: str, number: int) -> None:
    """The end of a round, with the numbers that follow from its candidates."""
    candidates = store.candidates.of_round(name, number, CandidateState.RELAXED)
    places = store.entries.documents_of([candidate["entry"] for candidate in candidates])
    on_hull = {c["entry"] for c in candidates if places[c["entry"]]["stability"]["e_above_hull"] <= STABLE_TOLERANCE}
    new = len(new_stable(store, name, number, on_hull))
    result: dict[str, Any] = Hits(len(candidates) if number else 0, len(on_hull), new).stored()
    if number:
        write_networks(store, name, number, 40 + 60 * number, 0.12 / number)
        errors = [
            c["prediction"]["formation_energy"] - places[c["entry"]]["stability"]["formation_energy"]
            for c in candidates
        ]
        result["prediction_mae"] = float(np.mean(np.abs(errors)))
        store.rounds.update(name, number, counts={"generated": 5000 * number, "near_hull": 20 * len(candidates)})
    store.rounds.close(name, number, result)


def write_searches(store: Store, name: str, number: int, wanted: Sequence[str]) -> None:
    """Compositions of a round whose random searches have found a crystal each."""
    counts = store.rounds.get(name, number).get("counts", {})
    store.rounds.update(
        name, number, counts={**counts, "compositions": {"compositions": 900, "strict": 300, "near_hull": 80}}
    )
    predicted = [(f, Prediction(f, formation_energy(f) + 0.05, 0.06, 1.0), 0.01) for f in wanted]
    store.searches.select(name, number, THEORY, predicted, model_id(name, number, NetworkKind.COMPOSITION))
    for formula, prediction, _ in predicted:
        key = write_relaxed(store, name, number, formula)
        store.database["candidates"].update_one({"_id": f"{name}/{formula}"}, {"$set": {"search": formula}})
        store.database["searches"].update_one({"_id": f"{name}/{formula}"}, {"$set": {"state": "searched"}})
        assert key.endswith(prediction.candidate_id)
    write_networks(store, name, number, 30, 0.2, NetworkKind.COMPOSITION)
    renew(store, THEORY)


def write_launches(store: Store, name: str, launches: Sequence[tuple[str, float | None, dict[str, Any]]]) -> None:
    """What FireWorks remembers of launches: category, seconds (None: it runs), the worker's `env`."""
    database, first = store.database, store.database["launches"].count_documents({}) + 1
    ids = list(range(first, first + len(launches)))
    database["workflows"].insert_one({"metadata": {"campaign": name}, "nodes": ids, "state": "COMPLETED"})
    for number, (category, seconds, env) in zip(ids, launches, strict=True):
        database["fireworks"].insert_one({"fw_id": number, "spec": {"_category": category}})
        database["launches"].insert_one(
            {
                "launch_id": number,
                "fw_id": number,
                "state": "RUNNING" if seconds is None else "COMPLETED",
                "runtime_secs": seconds,
                "time_end": None if seconds is None else (now() + timedelta(seconds=number)).isoformat()[:26],
                "fworker": {"name": "w", "category": category, "query": "{}", "env": env},
            }
        )


def formation_energy(formula: str) -> float:
    """A made-up formation energy, eV/atom: elements that mix well, and a scatter that depends on the formula alone."""
    parts = Composition(formula).fractional_composition
    mixing = -sum(
        parts[a] * parts[b] * abs(a.X - b.X) for a, b in combinations(sorted(parts, key=lambda e: e.symbol), 2)
    )
    scatter = np.random.default_rng([ord(letter) for letter in formula]).normal()
    return float(1.5 * mixing + 0.03 * scatter) if len(parts) > 1 else 0.0


def layers(formula: str) -> Structure:
    """Layers of atoms, one element after the other, on the sites of a body-centred lattice."""
    species = [symbol for symbol, n in Composition(formula).get_el_amt_dict().items() for _ in range(round(n))]
    places = [[0.5 * (k % 2), 0.5 * (k % 2), k / len(species)] for k in range(len(species))]
    return Structure(Lattice.tetragonal(3.2, 1.8 * max(2, len(species))), species, places)
