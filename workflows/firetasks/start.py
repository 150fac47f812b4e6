"""Begin a campaign."""

from __future__ import annotations

from fireworks import FiretaskBase, FWAction, explicit_serialize

from workflows.campaign.begin import begin
from workflows.campaign.settings import parse_settings
from workflows.firetasks.task import Spec
from workflows.store import Store, check_server


@explicit_serialize
class StartCampaign(FiretaskBase):
    """Validate the settings in the spec under `campaign`, register the campaign, relax its first crystals."""

    def run_task(self, fw_spec: Spec) -> FWAction:
        """Begin it, once."""
        settings = parse_settings(fw_spec.get("campaign"), "campaign")
        check_server(self.launchpad.db)
        begin(Store(self.launchpad.db), self.launchpad, settings)
        return FWAction(stored_data={"campaign": settings.name})
