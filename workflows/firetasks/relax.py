"""Run one jobflow job, with its results in the LaunchPad's own database."""

from __future__ import annotations

from typing import Any

from fireworks import FiretaskBase, FWAction, Workflow, explicit_serialize


@explicit_serialize
class RunJob(FiretaskBase):
    """jobflow's Firetask, but for the store: no JOBFLOW_CONFIG_FILE, no second set of credentials to keep in step.

    Required parameters:
        job: a serialized jobflow job.
    """

    required_params = ("job",)

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        from jobflow.managers.fireworks import JobFiretask

        from workflows.site import apply_site
        from workflows.store import job_store

        apply_site()  # before atomate2 is imported

        task = JobFiretask(job=self["job"], store=job_store(self.launchpad.db))
        task.fw_id = self.fw_id
        action = task.run_task(fw_spec)
        for added in [*action.detours, *action.additions]:
            with_launchpad_store(added)
        return action


def with_launchpad_store(workflow: Workflow) -> None:
    """Make the jobs of a workflow that jobflow built write to the LaunchPad's database."""
    for firework in workflow.fws:
        firework.tasks = [RunJob(job=task["job"]) for task in firework.tasks]
