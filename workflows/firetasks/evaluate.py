"""Put the trained members together, and measure them beside the ensemble before them."""

from __future__ import annotations

from fireworks import FWAction, explicit_serialize

from workflows.campaign.pipelines import pipeline_of
from workflows.campaign.stages.learning import evaluate_ensemble
from workflows.firetasks.task import CampaignTask, Spec


@explicit_serialize
class EvaluateEnsemble(CampaignTask):
    """Write the ensemble of a round, with its error on the test part of the data, and that of the one before it.

    Required parameters:
        campaign: name.
        round: round of the ensemble.
    Optional parameters:
        network: "structure" (by default) or "composition".
    """

    optional_params = ("network",)

    def run_task(self, fw_spec: Spec) -> FWAction:
        """Measure it."""
        pipeline = pipeline_of(self.get("network"))
        return FWAction(stored_data=evaluate_ensemble(self.campaign, pipeline, self.number))
