"""The compositional pipeline's first stages: formulas, and which of them are searched for crystals."""

from __future__ import annotations

from fireworks import FWAction, explicit_serialize

from workflows.campaign.rounds import advance
from workflows.campaign.stages.generate import generate_compositions
from workflows.campaign.stages.screen import screen_compositions
from workflows.firetasks.task import CampaignTask, Spec


@explicit_serialize
class GenerateCompositions(CampaignTask):
    """Write the formulas that oxidation states can balance, and that nobody has computed, into the round's shards.

    Required parameters:
        campaign: name.
        round: number.
    """

    def run_task(self, fw_spec: Spec) -> FWAction:
        """Write them."""
        return FWAction(stored_data=generate_compositions(self.campaign, self.number))


@explicit_serialize
class ScreenCompositions(CampaignTask):
    """Predict every formula, keep those near the hull, and add a random search for each.

    Required parameters:
        campaign: name.
        round: number.
    """

    def run_task(self, fw_spec: Spec) -> FWAction:
        """Choose, once, and send the searches."""
        campaign, number = self.campaign, self.number
        name = f"{campaign.name}: screen {number} compositions, goes on"
        action = self.until_stopped(fw_spec, name, lambda stopped: screen_compositions(campaign, number, stopped))
        advance(campaign)
        return action
