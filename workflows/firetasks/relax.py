"""Run one jobflow job, with its results in the LaunchPad's own database."""

from __future__ import annotations

import os

from fireworks import FiretaskBase, FWAction, explicit_serialize

from workflows.campaign.plan import run_by_us
from workflows.firetasks.task import Spec
from workflows.ground.continuation import seconds_left
from workflows.ground.site import apply_site
from workflows.relax.vasp import stop_in_time
from workflows.store import job_store


@explicit_serialize
class RunJob(FiretaskBase):
    """jobflow's Firetask, but for the store: no JOBFLOW_CONFIG_FILE, no second set of credentials to keep in step.

    Required parameters:
        job: a serialized jobflow job.
    """

    required_params = ("job",)

    def run_task(self, fw_spec: Spec) -> FWAction:
        """Run the job; what it adds is run by us too."""
        apply_site()  # before atomate2 is imported
        from jobflow.managers.fireworks import JobFiretask

        # custodian would count the time of this calculation from the first one that this process has run
        os.environ.pop("CUSTODIAN_WALLTIME_START", None)
        if (left_s := seconds_left()) is not None:
            stop_in_time(self["job"], left_s)
        task = JobFiretask(job=self["job"], store=job_store(self.launchpad.db))
        task.fw_id = self.fw_id
        action = task.run_task(fw_spec)
        for added in [*action.detours, *action.additions]:
            run_by_us(added)
        return action
