"""Whose worker is dead: what is known of a launch, from SLURM, from its process, from its silence."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from workflows.operate.worker import PREFIX, of_a_dead_worker
from workflows.store import Store


@dataclass(frozen=True)
class Patience:
    """How long the doctor waits before it calls something lost, seconds.

    Attributes:
        settled: a worker needs less between two of FireWorks' writes.
        silent: a worker without a job in SLURM that has not been heard of for so long is dead. FireWorks' workers tell
            every hour that they live, where no FW_config.yaml of ours says every two minutes.
        unnamed: a reservation without a job: whoever made it died before SLURM answered.
    """

    settled: float = 60.0
    silent: float = 14400.0
    unnamed: float = 600.0


class Verdict:
    """Whether the worker of a launch is known to be dead."""

    def __init__(
        self,
        store: Store,
        jobs: frozenset[str] | None,
        is_gone: Callable[[str], bool],
        asked: datetime,
        patience: Patience,
    ) -> None:
        self.store, self.jobs, self.is_gone, self.asked, self.patience = store, jobs, is_gone, asked, patience
        self.unknown: list[int] = []  # Fireworks of SLURM's jobs, of which nothing is known

    def __call__(self, launch: Mapping[str, Any]) -> bool:
        """Whether it is, of the document of a launch."""
        if str(launch["fworker"]["name"]).startswith(f"{PREFIX}:"):
            return of_a_dead_worker(launch)
        job = self._job(launch)
        if job is None:
            return self._silence_s(launch) > self._limit_s(launch)
        if self.jobs is None or not is_ours(launch["launch_dir"]):
            self.unknown.append(launch["fw_id"])
            return False
        began = _time(launch["state_history"][-1]["created_on"])
        # a job that was submitted while SLURM was asked is not in its answer
        if job in self.jobs or began >= self.asked - timedelta(seconds=self.patience.settled):
            return False
        return self.is_gone(job)

    def _job(self, launch: Mapping[str, Any]) -> str | None:
        """SLURM's id of the job that a launch was reserved for, or whose directory it runs in."""
        if (own := _reservation(launch)) is not None:
            return own
        above = [launch["launch_dir"], *(str(path) for path in Path(launch["launch_dir"]).parents)][:4]
        return next(filter(None, map(_reservation, self.store.fireworks.launches_of_jobs(above))), None)

    def _silence_s(self, launch: Mapping[str, Any]) -> float:
        last = launch["state_history"][-1]
        return (self.asked - _time(last.get("updated_on") or last["created_on"])).total_seconds()

    def _limit_s(self, launch: Mapping[str, Any]) -> float:
        return self.patience.unnamed if launch["state"] == "RESERVED" else self.patience.silent


def is_ours(directory: str) -> bool:
    """Whether SLURM would tell us of a job that runs there: of others' jobs it may keep silent (PrivateData)."""
    try:
        return os.getuid() in (0, Path(directory).stat().st_uid)
    except FileNotFoundError:
        return True
    except OSError:  # another user's, behind a door that is closed to us
        return False


def _reservation(launch: Mapping[str, Any]) -> str | None:
    for state in launch["state_history"]:
        if state.get("reservation_id") is not None:
            return str(state["reservation_id"])
    return None


def _time(value: Any) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
