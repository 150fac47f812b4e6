"""What a round brought, counted from its candidates and their places on the hull."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from statistics import fmean
from typing import Any

from gnome_torch.records import HullPoint
from gnome_torch.stability.hull import STABLE_TOLERANCE
from workflows.campaign.campaign import Campaign
from workflows.catalogue.hits import Hits, new_stable
from workflows.store import CandidateState, SearchState
from workflows.store.base import Document


def result_of(campaign: Campaign, number: int, points: Mapping[str, HullPoint]) -> dict[str, Any]:
    """What a round brought: relaxed, failed, its hits, error of the predictions (eV/atom).

    Args:
        campaign: whose.
        number: of the round; the novelty of its entries has been judged.
        points: entry -> place on the hull.
    """
    candidates = campaign.store.candidates.of_round(campaign.name, number)
    relaxed = [c for c in candidates if c["state"] == CandidateState.RELAXED and c["entry"] in points]
    single = [c for c in relaxed if c.get("search") is None]
    waiting = [c for c in candidates if c["state"] == CandidateState.SELECTED]
    lowest = _lowest(relaxed, points, {c["search"] for c in waiting if c.get("search") is not None})
    results = [[c["entry"] for c in single], list(lowest.values())]
    structural, searched = _hits(campaign, number, results, points)
    errors = [
        abs(c["prediction"]["formation_energy"] - points[c["entry"]].formation_energy)
        for c in single
        if c["prediction"]
    ]
    searches = _searches(campaign, number, {f: points[entry] for f, entry in lowest.items()}, searched)
    return {
        "relaxed": len(relaxed),
        "failed": sum(c["state"] == CandidateState.FAILED for c in candidates),
        "outstanding": len(waiting) + searches.get("outstanding", 0),
        **(structural + searched).stored(),
        "prediction_mae": fmean(errors) if errors else None,
        "searches": searches,
    }


def recount(campaign: Campaign, document: Document) -> bool:
    """Say which of the stable phases were new of a round that an earlier version closed, from what is stored.

    On the hull then: what is there now, and what was taken off it since. Where these are not as many as were counted
    then, nothing is changed.

    Args:
        campaign: whose.
        document: of the round; the novelty of all entries is settled.

    Returns:
        Whether the round says so now, and did not before.
    """
    result, number = document.get("result"), document["number"]
    if not result or "rediscovered" in result:
        return False
    counted = result_of(campaign, number, _points_then(campaign, document))
    told = _told(result, counted, number)
    searches = _told(result["searches"], counted["searches"], number) if result.get("searches") else {}
    if told is None or searches is None:
        return False
    campaign.store.rounds.close(campaign.name, number, {**told, "searches": searches})
    return True


def _told(old: Document, new: Document, number: int) -> Document | None:
    """An old result with what was new of it; None where it was counted from others than can be found by now."""
    before, now = Hits.read(old), Hits.read(new)
    if number and before.on_hull and (before.on_hull, before.trials) != (now.on_hull, now.trials):
        return None
    return {**old, **Hits(now.trials, before.on_hull, now.stable if before.on_hull else 0).stored()}


def _points_then(campaign: Campaign, document: Document) -> dict[str, HullPoint]:
    """Places of a round's entries, those on the hull that have been taken off it since the round closed."""
    relaxed = campaign.store.candidates.of_round(campaign.name, document["number"], CandidateState.RELAXED)
    entries = campaign.store.entries.documents_of({c["entry"] for c in relaxed}, ("stability", "displaced"))
    points = {}
    for key, entry in entries.items():
        if stability := entry["stability"]:
            point = HullPoint(**{field.name: stability[field.name] for field in fields(HullPoint)})
            since = entry.get("displaced") and entry["displaced"]["until"] > document["closed"]
            points[key] = replace(point, e_above_hull=0.0) if since else point
    return points


def _hits(
    campaign: Campaign, number: int, results: list[list[str]], points: Mapping[str, HullPoint]
) -> tuple[Hits, ...]:
    """Hits of each pipeline of a round.

    Args:
        campaign: whose.
        number: of the round.
        results: for each pipeline the entry of every trial.
        points: entry -> place on the hull.
    """
    on_hull = [[entry for entry in some if points[entry].e_above_hull <= STABLE_TOLERANCE] for some in results]
    new = new_stable(campaign.store, campaign.name, number, {entry for some in on_hull for entry in some})
    hits = []
    for some, stable in zip(results, on_hull, strict=True):
        hits.append(Hits(len(some) if number else 0, len(stable), len(new.intersection(stable))))
        new = new.difference(stable)  # counted once, whichever pipelines came to it
    return tuple(hits)


def _lowest(relaxed: list[Document], points: Mapping[str, HullPoint], going_on: set[str]) -> dict[str, str]:
    """Entry of the lowest crystal of each random search, by formula, but of those with outstanding relaxations."""
    lowest: dict[str, str] = {}
    for candidate in relaxed:
        formula, entry = candidate.get("search"), candidate["entry"]
        if formula is None or formula in going_on:
            continue
        if formula not in lowest or points[entry].formation_energy < points[lowest[formula]].formation_energy:
            lowest[formula] = entry
    return lowest


def _searches(campaign: Campaign, number: int, lowest: Mapping[str, HullPoint], hits: Hits) -> dict[str, Any]:
    """What the random searches of a round brought; empty where there were none."""
    searches = campaign.store.searches.of_round(campaign.name, number)
    if not searches:
        return {}
    predicted = {s["formula"]: s["prediction"]["formation_energy"] for s in searches}
    errors = [abs(predicted[formula] - point.formation_energy) for formula, point in lowest.items()]
    return {
        "searched": len(searches),
        "finished": len(lowest),
        "failed": sum(s["state"] == SearchState.FAILED for s in searches),
        "outstanding": sum(s["state"] == SearchState.SELECTED for s in searches),
        **hits.stored(),
        "prediction_mae": fmean(errors) if errors else None,
    }
