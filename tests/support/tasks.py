"""Firetasks for tests."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from fireworks import FiretaskBase, FWAction, explicit_serialize


@explicit_serialize
class End(FiretaskBase):
    """End at once, well or not."""

    required_params = ("well",)

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        if not self["well"]:
            raise RuntimeError("it did not go well")
        return FWAction()


@explicit_serialize
class Where(FiretaskBase):
    """Say where it ran, after a while."""

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        time.sleep(self.get("seconds", 0))
        names = ("SLURMD_NODENAME", "SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
        return FWAction(stored_data={name: os.environ.get(name) for name in names})


@explicit_serialize
class UntilSignal(FiretaskBase):
    """Work until USR1 comes, as a task that saves a checkpoint does, or until its patience is at an end."""

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        came: list[int] = []
        signal.signal(signal.SIGUSR1, lambda number, _: came.append(number))
        Path("ready").touch()
        end = time.monotonic() + self.get("seconds", 60)
        while not came and time.monotonic() < end:
            time.sleep(0.05)
        return FWAction(stored_data={"signals": came, "SLURM_JOB_ID": os.environ.get("SLURM_JOB_ID")})


@explicit_serialize
class SecondTime(FiretaskBase):
    """Hang at the first attempt, and end at the second; `mark` is a file that outlives the attempts."""

    required_params = ("mark",)

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        mark = Path(self["mark"])
        attempts = int(mark.read_text()) + 1 if mark.exists() else 1
        mark.write_text(str(attempts))
        time.sleep(120 if attempts == 1 else 0)
        return FWAction(stored_data={"attempts": attempts, "restarts": os.environ.get("SLURM_RESTART_COUNT")})
