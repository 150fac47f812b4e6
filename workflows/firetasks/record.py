"""Record how a relaxation ended."""

from __future__ import annotations

from fireworks import FWAction, explicit_serialize

from workflows.campaign.rounds import advance
from workflows.campaign.stages.outcome import Recorder, record_relaxation
from workflows.firetasks.task import CampaignTask, Spec


@explicit_serialize
class RecordRelaxation(CampaignTask):
    """Turn a finished relaxation into an entry and a failed one into a reason; then see whether the round is full.

    One that broke off, or did not converge, goes on from its last crystal as often as its theory allows.

    Required parameters:
        campaign: name.
        round: number.
        candidate: key of the candidate.
        job: jobflow uuid of the job with the result.
    Optional parameters:
        restart: how often the relaxation has been restarted before (0).
    """

    required_params = ("campaign", "round", "candidate", "job")
    optional_params = ("restart",)

    def run_task(self, fw_spec: Spec) -> FWAction:
        """Record it."""
        campaign, key = self.campaign, self["candidate"]
        recorder = Recorder(self.fw_id, self.number, self["job"], self.get("restart", 0))
        state = record_relaxation(campaign, key, recorder)
        advance(campaign)
        return FWAction(stored_data={"candidate": key, "state": state.value})
