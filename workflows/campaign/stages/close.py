"""The close of a round: the hull is renewed, what the round brought is summed up, rechecks are sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gnome_torch.records import HullPoint
from gnome_torch.stability.hull import MissingReferenceError
from workflows.campaign.campaign import Campaign
from workflows.campaign.pipelines import COMPOSITIONAL, STRUCTURAL, pipelines_of
from workflows.campaign.settings import CampaignSettings
from workflows.campaign.stages.confirm import unconfirmed
from workflows.campaign.stages.rechecks import launch_rechecks, renew_recheck_hull
from workflows.campaign.stages.results import result_of
from workflows.catalogue.hulls import renew
from workflows.catalogue.novelty import NEAR, judge
from workflows.store import CampaignState, CandidateState


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
    result = _sum_up(campaign, number, points)
    for earlier in store.rounds.all(name):  # what had not ended when they closed
        if earlier["number"] < number and earlier.get("result", {}).get("outstanding"):
            _sum_up(campaign, earlier["number"], points)
    renew_recheck_hull(campaign)
    launch_rechecks(campaign, number)
    last = number >= settings.last_round or (number >= settings.rounds and not unconfirmed(campaign))
    empty = number > 0 and not store.candidates.count(name, number) and not store.searches.count(name, number)
    if last or (empty and number > settings.rounds):
        store.campaigns.set_over(name, f"all {settings.rounds} rounds done")
    elif empty:
        store.campaigns.set_over(name, f"round {number}: nothing predicted near the hull ({_thresholds(settings)})")
    elif problem := _nothing_to_learn(campaign, number + 1):
        return _failed(campaign, problem)
    return Closed(result, nothing_follows=(empty or last) and number < settings.last_round)


def _nothing_to_learn(campaign: Campaign, number: int) -> str | None:
    """Why the networks of a round cannot be trained; None if all can."""
    problems = (pipeline.nothing_to_learn(campaign, number) for pipeline in pipelines_of(campaign.settings, number))
    return next((problem for problem in problems if problem), None)


def _failed(campaign: Campaign, reason: str) -> Closed:
    """End a campaign that cannot go on."""
    campaign.store.campaigns.end(campaign.name, CampaignState.FAILED, reason)
    return Closed({"campaign": CampaignState.FAILED.value}, nothing_follows=True)


def _sum_up(campaign: Campaign, number: int, points: Mapping[str, HullPoint]) -> dict[str, Any]:
    """Say what is new about a round's crystals, and what the round has brought."""
    if number > 0:
        _judge_novelty(campaign, number, points)
    result = result_of(campaign, number, points)
    campaign.store.rounds.close(campaign.name, number, result)
    return result


def _judge_novelty(campaign: Campaign, number: int, points: Mapping[str, HullPoint]) -> None:
    """Say what is new about a round's crystals; of a search's hundred nobody asks it of those far from the hull."""
    relaxed = campaign.store.candidates.of_round(campaign.name, number, CandidateState.RELAXED)
    campaign.store.finds.settle_compositions({c["formula"] for c in relaxed})
    asked = {c["entry"] for c in relaxed if c.get("search") is None or _is_near(points.get(c["entry"]))}
    judge(campaign.store, campaign.store.finds.uncompared(asked))


def _is_near(point: HullPoint | None) -> bool:
    return point is not None and point.e_above_hull <= NEAR


def _thresholds(settings: CampaignSettings) -> str:
    """How near each pipeline wants its candidates."""
    limits = {STRUCTURAL: settings.screening.threshold, COMPOSITIONAL: settings.compositional.threshold}
    return ", ".join(f"{pipeline.name}: {limits[pipeline]} eV/atom" for pipeline in pipelines_of(settings, 1))
