"""Relax many candidates in one Firework, for theories that are cheap: what FireWorks costs is shared."""

from __future__ import annotations

from typing import Any

from fireworks import FWAction, explicit_serialize

from workflows.campaign.rounds import advance
from workflows.campaign.stages.relax_many import check_all_ended, relax_candidates
from workflows.firetasks.task import CampaignTask, Spec


@explicit_serialize
class RelaxMany(CampaignTask):
    """Relax candidates one after another, and write each result when it is there; those that have ended are passed by.

    Required parameters:
        campaign: name.
        round: number.
        candidates: their keys.
    """

    required_params = ("campaign", "round", "candidates")

    def run_task(self, fw_spec: Spec) -> FWAction:
        """Relax them."""
        campaign, keys = self.campaign, self["candidates"]

        def relax(stopped: Any) -> dict[str, int]:
            relax_candidates(campaign, keys, stopped)
            return {"candidates": len(keys)}

        return self.until_stopped(fw_spec, f"{campaign.name}: crystals of round {self.number}, goes on", relax)


@explicit_serialize
class Resume(CampaignTask):
    """Let the campaign go on after a chunk of relaxations; whatever broke it off is told.

    Required parameters: as `RelaxMany`.
    """

    required_params = ("campaign", "round", "candidates")

    def run_task(self, fw_spec: Spec) -> FWAction:
        """See whether the round is full."""
        campaign = self.campaign
        check_all_ended(campaign, self["candidates"], self.fw_id)
        advance(campaign)
        return FWAction()
