"""Close a round: renew the hull, sum up, hand the data to the networks."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from fireworks import FiretaskBase, FWAction, explicit_serialize

from gnome_torch.records import HullPoint
from gnome_torch.stability.hull import STABLE_TOLERANCE, MissingReferenceError
from workflows.campaign.campaign import campaign_settings
from workflows.campaign.settings import CampaignSettings
from workflows.campaign.stages.rechecks import conclude, launch_rechecks, renew_second_hull
from workflows.catalogue.hulls import renew
from workflows.catalogue.novelty import NEAR, judge
from workflows.store import Store


@explicit_serialize
class CloseRound(FiretaskBase):
    """Place every entry on the current hull, and count what the round brought; end the campaign after the last.

    Required parameters:
        campaign: name.
        round: number of the round that is over.
    """

    required_params = ("campaign", "round")

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        store = Store(self.launchpad.db)
        name, number = self["campaign"], self["round"]
        settings = campaign_settings(store, name)
        # campaigns share entries, so one that has ended needs to hear of phases that others find in its systems: every
        # entry of the theory that shares an element with this campaign is placed anew
        try:
            points = renew(store, store.campaigns.get(name)["theory"], settings.elements).points
        except MissingReferenceError as error:
            failed = store.candidates.count(name, number, ["failed"])
            reason = f"{error} ({failed} relaxations of round {number} failed)"
            store.campaigns.end(name, "failed", reason)
            return FWAction(stored_data={"campaign": "failed"}, defuse_children=True)
        if number > 0:
            relaxed = store.candidates.of_round(name, number, "relaxed")
            # of a search's hundred crystals nobody asks what is new about those far from the hull
            asked = {c["entry"] for c in relaxed if c.get("search") is None or _is_near(points.get(c["entry"]))}
            judge(store, sorted(asked))
        result = summary(store, name, number, points)
        store.rounds.close(name, number, result)
        for earlier in store.rounds.all(name):  # what had not ended when they closed
            if earlier["number"] < number and earlier.get("result", {}).get("outstanding"):
                store.rounds.close(name, earlier["number"], summary(store, name, earlier["number"], points))
        renew_second_hull(store, name)
        launch_rechecks(store, self.launchpad, name, number)
        last = number >= settings.rounds
        empty = number > 0 and not store.candidates.count(name, number) and not store.searches.count(name, number)
        if last:
            store.campaigns.set_over(name, f"all {settings.rounds} rounds done")
        elif empty:
            store.campaigns.set_over(name, f"round {number}: nothing predicted near the hull ({_thresholds(settings)})")
        conclude(store, name)
        return FWAction(stored_data=result, defuse_children=empty and not last)


def _is_near(point: HullPoint | None) -> bool:
    return point is not None and point.e_above_hull <= NEAR


def _thresholds(settings: CampaignSettings) -> str:
    """How near each pipeline wants its candidates."""
    limits = {"structural": settings.screening.threshold, "compositional": settings.compositional.threshold}
    return ", ".join(f"{pipeline}: {limits[pipeline]} eV/atom" for pipeline in settings.pipelines)


def summary(store: Store, name: str, number: int, points: Mapping[str, HullPoint]) -> dict[str, Any]:
    """What a round brought: relaxed, failed, on the hull, share on the hull, error of the predictions (eV/atom).

    The crystals of one random search count as one trial, whose result is the lowest of them.
    """
    candidates = store.candidates.of_round(name, number)
    relaxed = [c for c in candidates if c["state"] == "relaxed" and c["entry"] in points]
    single = [(c, points[c["entry"]]) for c in relaxed if c.get("search") is None]
    stable = sum(point.e_above_hull <= STABLE_TOLERANCE for _, point in single)
    errors = [
        abs(c["prediction"]["formation_energy"] - point.formation_energy) for c, point in single if c["prediction"]
    ]
    waiting = {c["search"] for c in candidates if c["state"] == "selected" and c.get("search") is not None}
    searches = _searches(store, name, number, relaxed, points, waiting)
    trials = len(single) + searches.get("finished", 0)
    return {
        "relaxed": len(relaxed),
        "failed": sum(c["state"] == "failed" for c in candidates),
        "outstanding": sum(c["state"] == "selected" for c in candidates) + searches.get("outstanding", 0),
        "stable": stable + searches.get("stable", 0),
        "hit_rate": (stable + searches.get("stable", 0)) / trials if trials else None,
        "prediction_mae": fmean(errors) if errors else None,
        "searches": searches,
    }


def _searches(
    store: Store,
    name: str,
    number: int,
    relaxed: list[dict[str, Any]],
    points: Mapping[str, HullPoint],
    waiting: set[str],
) -> dict[str, Any]:
    """The same of the random searches; empty where there were none. Those with outstanding relaxations do not count."""
    searches = store.searches.of_round(name, number)
    if not searches:
        return {}
    lowest: dict[str, HullPoint] = {}
    for candidate in relaxed:
        formula, point = candidate.get("search"), points[candidate["entry"]]
        if formula is None or formula in waiting:
            continue
        if formula not in lowest or point.formation_energy < lowest[formula].formation_energy:
            lowest[formula] = point
    predicted = {s["formula"]: s["prediction"]["formation_energy"] for s in searches}
    errors = [abs(predicted[formula] - point.formation_energy) for formula, point in lowest.items()]
    stable = sum(point.e_above_hull <= STABLE_TOLERANCE for point in lowest.values())
    return {
        "searched": len(searches),
        "finished": len(lowest),
        "failed": sum(s["state"] == "failed" for s in searches),
        "outstanding": sum(s["state"] == "selected" for s in searches),
        "stable": stable,
        "hit_rate": stable / len(lowest) if lowest else None,
        "prediction_mae": fmean(errors) if errors else None,
    }
