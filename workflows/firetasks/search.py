"""The search for the crystals of one composition: make them, pre-relax them, send the best to relaxation."""

from __future__ import annotations

from fireworks import FWAction, explicit_serialize

from workflows.campaign.rounds import advance
from workflows.campaign.stages.searches import make_crystals, pre_relax_crystals, record_search
from workflows.firetasks.task import CampaignTask, Spec


@explicit_serialize
class MakeCrystals(CampaignTask):
    """Draw the random crystals of a composition into the round's directory; those that are there stay.

    Required parameters:
        campaign: name.
        round: number.
        formula: reduced formula.
    """

    required_params = ("campaign", "round", "formula")

    def run_task(self, fw_spec: Spec) -> FWAction:
        """Draw them."""
        return FWAction(stored_data=make_crystals(self.campaign, self.number, self["formula"]))


@explicit_serialize
class PrerelaxCrystals(CampaignTask):
    """Relax all crystals of a search at a cheap theory, one after another; what has been done before is not repeated.

    Required parameters: as `MakeCrystals`.
    """

    required_params = ("campaign", "round", "formula")

    def run_task(self, fw_spec: Spec) -> FWAction:
        """Relax them."""
        campaign, number, formula = self.campaign, self.number, self["formula"]
        name = f"{campaign.name}: search {formula}: pre-relax, goes on"
        return self.until_stopped(fw_spec, name, lambda stopped: pre_relax_crystals(campaign, number, formula, stopped))


@explicit_serialize
class RecordSearch(CampaignTask):
    """End a search: its lowest crystals become candidates and are sent to relaxation; or it has failed, with a reason.

    Required parameters: as `MakeCrystals`.
    """

    required_params = ("campaign", "round", "formula")

    def run_task(self, fw_spec: Spec) -> FWAction:
        """Record it."""
        campaign, formula = self.campaign, self["formula"]
        state = record_search(campaign, self.number, formula, self.fw_id)
        advance(campaign)
        return FWAction(stored_data={"formula": formula, "state": state.value})
