"""Screen a round's candidates with the ensemble, and send the chosen ones to relaxation."""

from __future__ import annotations

from fireworks import FWAction, explicit_serialize

from workflows.campaign.rounds import advance
from workflows.campaign.stages.screen import screen_candidates
from workflows.firetasks.task import CampaignTask, Spec


@explicit_serialize
class ScreenCandidates(CampaignTask):
    """Predict every candidate, keep those near the hull, one per composition, and add their relaxations.

    Required parameters:
        campaign: name.
        round: number.
    """

    def run_task(self, fw_spec: Spec) -> FWAction:
        """Choose, once, and send the relaxations."""
        campaign, number = self.campaign, self.number
        name = f"{campaign.name}: screen {number}, goes on"
        action = self.until_stopped(fw_spec, name, lambda stopped: screen_candidates(campaign, number, stopped))
        advance(campaign)
        return action
