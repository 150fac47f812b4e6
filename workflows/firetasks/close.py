"""Close a round: renew the hull, sum up, hand the data to the networks."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from fireworks import FiretaskBase, FWAction, explicit_serialize

from gnome_torch.records import HullPoint
from gnome_torch.stability.hull import STABLE_TOLERANCE, MissingReferenceError
from workflows.campaign import campaign_settings
from workflows.hulls import renew
from workflows.novelty import judge
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
            points = renew(store, store.campaign(name)["theory"], settings.elements).points
        except MissingReferenceError as error:
            failed = store.count_candidates(name, number, ["failed"])
            reason = f"{error} ({failed} relaxations of round {number} failed)"
            store.end_campaign(name, "failed", reason)
            return FWAction(stored_data={"campaign": "failed"}, defuse_children=True)
        if number > 0:
            judge(store, sorted(c["entry"] for c in store.round_candidates(name, number, "relaxed")))
        result = summary(store, name, number, points)
        store.close_round(name, number, result)
        if number >= settings.rounds:
            store.end_campaign(name, "finished", f"all {settings.rounds} rounds done")
        elif number > 0 and not store.count_candidates(name, number):
            store.end_campaign(
                name,
                "finished",
                f"round {number}: no candidate predicted within {settings.screening.threshold} eV/atom of the hull",
            )
            return FWAction(stored_data=result, defuse_children=True)
        return FWAction(stored_data=result)


def summary(store: Store, name: str, number: int, points: Mapping[str, HullPoint]) -> dict[str, Any]:
    """What a round brought: relaxed, failed, on the hull, share on the hull, error of the predictions (eV/atom)."""
    candidates = store.round_candidates(name, number)
    relaxed = [c for c in candidates if c["state"] == "relaxed" and c["entry"] in points]
    stable = [c for c in relaxed if points[c["entry"]].e_above_hull <= STABLE_TOLERANCE]
    errors = [
        abs(c["prediction"]["formation_energy"] - points[c["entry"]].formation_energy)
        for c in relaxed
        if c["prediction"]
    ]
    return {
        "relaxed": len(relaxed),
        "failed": sum(c["state"] == "failed" for c in candidates),
        "stable": len(stable),
        "hit_rate": len(stable) / len(relaxed) if relaxed else None,
        "prediction_mae": fmean(errors) if errors else None,
    }
