"""Generate a round's candidates."""

from __future__ import annotations

from fireworks import FWAction, explicit_serialize

from workflows.campaign.stages.generate import generate_candidates
from workflows.firetasks.task import CampaignTask, Spec


@explicit_serialize
class GenerateCandidates(CampaignTask):
    """Substitute in the prototypes and in the campaign's own best crystals, or draw from the campaign's pool or source.

    Writes the shards of the round.

    Required parameters:
        campaign: name.
        round: number.
    """

    def run_task(self, fw_spec: Spec) -> FWAction:
        """Write them."""
        return FWAction(stored_data=generate_candidates(self.campaign, self.number))
