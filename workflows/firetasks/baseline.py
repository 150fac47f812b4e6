"""Compute a round's candidates with the baseline's potential."""

from __future__ import annotations

from fireworks import FWAction, explicit_serialize

from workflows.campaign.stages.judge import judge_candidates
from workflows.firetasks.task import CampaignTask, Spec


@explicit_serialize
class JudgeCandidates(CampaignTask):
    """Single points of every candidate, each kept when it is done; what earlier rounds computed stays.

    Required parameters:
        campaign: name.
        round: number.
    """

    def run_task(self, fw_spec: Spec) -> FWAction:
        """Compute them."""
        campaign, number = self.campaign, self.number
        name = f"{campaign.name}: baseline {number}, goes on"
        return self.until_stopped(fw_spec, name, lambda stopped: judge_candidates(campaign, number, stopped))
