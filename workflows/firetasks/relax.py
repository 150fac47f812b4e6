"""Run one jobflow job, with its results in the LaunchPad's own database."""

from __future__ import annotations

import os
import time
from typing import Any

from fireworks import FiretaskBase, FWAction, Workflow, explicit_serialize

JOB_END = "GNOME_JOB_END"
"""Environment variable of a queue's job: when its walltime ends, seconds since 1970."""


@explicit_serialize
class RunJob(FiretaskBase):
    """jobflow's Firetask, but for the store: no JOBFLOW_CONFIG_FILE, no second set of credentials to keep in step.

    Required parameters:
        job: a serialized jobflow job.
    """

    required_params = ("job",)

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        from jobflow.managers.fireworks import JobFiretask

        from workflows.ground.site import apply_site
        from workflows.store import job_store

        apply_site()  # before atomate2 is imported
        # custodian would count the time of this calculation from the first one that this process has run
        os.environ.pop("CUSTODIAN_WALLTIME_START", None)
        if (left_s := seconds_left()) is not None:
            stop_in_time(self["job"], left_s)
        task = JobFiretask(job=self["job"], store=job_store(self.launchpad.db))
        task.fw_id = self.fw_id
        action = task.run_task(fw_spec)
        for added in [*action.detours, *action.additions]:
            with_launchpad_store(added)
        return action


def seconds_left() -> int | None:
    """Until the walltime of the job that this runs in; None outside of jobs."""
    end = os.environ.get(JOB_END)
    return max(1, int(float(end) - time.time())) if end else None


def stop_in_time(job: Any, left_s: int) -> None:
    """Make custodian stop VASP before its job ends, so that it goes on from its last crystal; nothing for other jobs.

    Args:
        job: of jobflow.
        left_s: seconds that are left; what its own settings allow stays if it is less.
    """
    maker = getattr(job, "maker", None)
    kwargs = getattr(maker, "run_vasp_kwargs", None)
    if maker is not None and isinstance(kwargs, dict):
        maker.run_vasp_kwargs = {**kwargs, "wall_time": min(kwargs.get("wall_time") or left_s, left_s)}


def with_launchpad_store(workflow: Workflow) -> None:
    """Make the jobs of a workflow that jobflow built write to the LaunchPad's database."""
    for firework in workflow.fws:
        firework.tasks = [RunJob(job=task["job"]) for task in firework.tasks]
