"""Train one member of an ensemble."""

from __future__ import annotations

from fireworks import FWAction, explicit_serialize

from workflows.campaign.pipelines import pipeline_of
from workflows.campaign.stages.learning import train_member
from workflows.firetasks.task import CampaignTask, Spec


@explicit_serialize
class TrainMember(CampaignTask):
    """Train one network on everything known; one that is there already, of the same data and settings, stays.

    A training that was killed goes on from its last checkpoint; one whose job is about to end stops, and goes on in
    another.

    Required parameters:
        campaign: name.
        round: round whose candidates it will judge.
        member: number of the member, from 0.
    Optional parameters:
        network: "structure" (by default) or "composition".
    """

    required_params = ("campaign", "round", "member")
    optional_params = ("network",)

    def run_task(self, fw_spec: Spec) -> FWAction:
        """Train it."""
        campaign, number, member = self.campaign, self.number, self["member"]
        pipeline = pipeline_of(self.get("network"))
        return self.until_stopped(
            fw_spec,
            f"{campaign.name}: train {member + 1}, goes on",
            lambda stopped: train_member(campaign, pipeline, number, member, stopped),
        )
