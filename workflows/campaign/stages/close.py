"""The close of a round: the hull is renewed, what the round brought is summed up, rechecks are sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from gnome_torch.records import HullPoint
from gnome_torch.stability.hull import STABLE_TOLERANCE, MissingReferenceError
from workflows.campaign.campaign import Campaign
from workflows.campaign.pipelines import COMPOSITIONAL, STRUCTURAL, pipelines_of
from workflows.campaign.settings import CampaignSettings
from workflows.campaign.stages.rechecks import launch_rechecks, renew_recheck_hull
from workflows.catalogue.hulls import renew
from workflows.catalogue.novelty import NEAR, judge
from workflows.store import CampaignState, CandidateState, SearchState
from workflows.store.base import Document


@dataclass(frozen=True)
class Closed:
    """A round that has been closed.

    Attributes:
        result: what it brought; of a campaign that has failed, that it has.
        nothing_follows: the rest of the next round is not to run: there is nothing to go on with.
    """

    result: dict[str, Any]
    nothing_follows: bool


def close_round(campaign: Campaign, number: int) -> Closed:
    """Place every entry on the current hull, and count what the round brought.

    After the last round, and after one that chose nothing, the campaign is over; it ends when its rechecks have. It
    fails where its networks could not be trained.
    """
    store, name, settings = campaign.store, campaign.name, campaign.settings
    # campaigns share entries, so one that has ended needs to hear of phases that others find in its systems: every
    # entry of the theory that shares an element with this campaign is placed anew
    try:
        points = renew(store, campaign.theory_id, settings.elements).points
    except MissingReferenceError as error:
        failed = store.candidates.count(name, number, [CandidateState.FAILED])
        return _failed(campaign, f"{error} ({failed} relaxations of round {number} failed)")
    if number > 0:
        _judge_novelty(campaign, number, points)
    result = summary(campaign, number, points)
    store.rounds.close(name, number, result)
    for earlier in store.rounds.all(name):  # what had not ended when they closed
        if earlier["number"] < number and earlier.get("result", {}).get("outstanding"):
            store.rounds.close(name, earlier["number"], summary(campaign, earlier["number"], points))
    renew_recheck_hull(campaign)
    launch_rechecks(campaign, number)
    last = number >= settings.rounds
    empty = number > 0 and not store.candidates.count(name, number) and not store.searches.count(name, number)
    if last:
        store.campaigns.set_over(name, f"all {settings.rounds} rounds done")
    elif empty:
        store.campaigns.set_over(name, f"round {number}: nothing predicted near the hull ({_thresholds(settings)})")
    elif problem := _nothing_to_learn(campaign, number + 1):
        return _failed(campaign, problem)
    return Closed(result, nothing_follows=empty and not last)


def _nothing_to_learn(campaign: Campaign, number: int) -> str | None:
    """Why the networks of a round cannot be trained; None if all can."""
    problems = (pipeline.nothing_to_learn(campaign, number) for pipeline in pipelines_of(campaign.settings))
    return next((problem for problem in problems if problem), None)


def _failed(campaign: Campaign, reason: str) -> Closed:
    """End a campaign that cannot go on."""
    campaign.store.campaigns.end(campaign.name, CampaignState.FAILED, reason)
    return Closed({"campaign": CampaignState.FAILED.value}, nothing_follows=True)


def _judge_novelty(campaign: Campaign, number: int, points: Mapping[str, HullPoint]) -> None:
    """Say what is new about a round's crystals; of a search's hundred nobody asks it of those far from the hull."""
    relaxed = campaign.store.candidates.of_round(campaign.name, number, CandidateState.RELAXED)
    campaign.store.finds.settle_compositions({c["formula"] for c in relaxed})
    asked = {c["entry"] for c in relaxed if c.get("search") is None or _is_near(points.get(c["entry"]))}
    judge(campaign.store, sorted(asked))


def _is_near(point: HullPoint | None) -> bool:
    return point is not None and point.e_above_hull <= NEAR


def _thresholds(settings: CampaignSettings) -> str:
    """How near each pipeline wants its candidates."""
    limits = {STRUCTURAL: settings.screening.threshold, COMPOSITIONAL: settings.compositional.threshold}
    return ", ".join(f"{pipeline.name}: {limits[pipeline]} eV/atom" for pipeline in pipelines_of(settings))


def summary(campaign: Campaign, number: int, points: Mapping[str, HullPoint]) -> dict[str, Any]:
    """What a round brought: relaxed, failed, on the hull, share on the hull, error of the predictions (eV/atom).

    The crystals of one random search count as one trial, whose result is the lowest of them.
    """
    candidates = campaign.store.candidates.of_round(campaign.name, number)
    relaxed = [c for c in candidates if c["state"] == CandidateState.RELAXED and c["entry"] in points]
    single = [(c, points[c["entry"]]) for c in relaxed if c.get("search") is None]
    stable = sum(point.e_above_hull <= STABLE_TOLERANCE for _, point in single)
    errors = [
        abs(c["prediction"]["formation_energy"] - point.formation_energy) for c, point in single if c["prediction"]
    ]
    waiting = [c for c in candidates if c["state"] == CandidateState.SELECTED]
    going_on = {c["search"] for c in waiting if c.get("search") is not None}
    searches = _searches(campaign, number, _lowest(relaxed, points, going_on))
    trials = len(single) + searches.get("finished", 0)
    return {
        "relaxed": len(relaxed),
        "failed": sum(c["state"] == CandidateState.FAILED for c in candidates),
        "outstanding": len(waiting) + searches.get("outstanding", 0),
        "stable": stable + searches.get("stable", 0),
        "hit_rate": (stable + searches.get("stable", 0)) / trials if trials else None,
        "prediction_mae": fmean(errors) if errors else None,
        "searches": searches,
    }


def _lowest(relaxed: list[Document], points: Mapping[str, HullPoint], going_on: set[str]) -> dict[str, HullPoint]:
    """Lowest crystal of each random search, but of those with outstanding relaxations."""
    lowest: dict[str, HullPoint] = {}
    for candidate in relaxed:
        formula, point = candidate.get("search"), points[candidate["entry"]]
        if formula is None or formula in going_on:
            continue
        if formula not in lowest or point.formation_energy < lowest[formula].formation_energy:
            lowest[formula] = point
    return lowest


def _searches(campaign: Campaign, number: int, lowest: Mapping[str, HullPoint]) -> dict[str, Any]:
    """What the random searches of a round brought; empty where there were none."""
    searches = campaign.store.searches.of_round(campaign.name, number)
    if not searches:
        return {}
    predicted = {s["formula"]: s["prediction"]["formation_energy"] for s in searches}
    errors = [abs(predicted[formula] - point.formation_energy) for formula, point in lowest.items()]
    stable = sum(point.e_above_hull <= STABLE_TOLERANCE for point in lowest.values())
    return {
        "searched": len(searches),
        "finished": len(lowest),
        "failed": sum(s["state"] == SearchState.FAILED for s in searches),
        "outstanding": sum(s["state"] == SearchState.SELECTED for s in searches),
        "stable": stable,
        "hit_rate": stable / len(lowest) if lowest else None,
        "prediction_mae": fmean(errors) if errors else None,
    }
