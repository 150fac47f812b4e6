"""Close a round: renew the hull, sum up, hand the data to the networks."""

from __future__ import annotations

from fireworks import FWAction, explicit_serialize

from workflows.campaign.rounds import advance
from workflows.campaign.stages.close import close_round
from workflows.firetasks.task import CampaignTask, Spec


@explicit_serialize
class CloseRound(CampaignTask):
    """Place every entry on the current hull, and count what the round brought; end the campaign after the last.

    Required parameters:
        campaign: name.
        round: number of the round that is over.
    """

    def run_task(self, fw_spec: Spec) -> FWAction:
        """Close it; where nothing follows, the rest of the next round is dropped."""
        campaign = self.campaign
        closed = close_round(campaign, self.number)
        advance(campaign)
        return FWAction(stored_data=closed.result, defuse_children=closed.nothing_follows)
