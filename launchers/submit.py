"""Fireworks that are ready become jobs, each reserved for one: `qlaunch -r`, for every category, as many as may wait.

A plain `qlaunch` submits jobs that look for work when they start: without an end, while one Firework is ready.
"""

from __future__ import annotations

import logging
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from fireworks import FWorker, LaunchPad
from fireworks.queue.queue_launcher import launch_rocket_to_queue
from fireworks.utilities.fw_utilities import create_datestamp_dir, get_fw_logger

from launchers.files import FW_CONFIG, WORKER, job_name, read_adapter
from workflows.ground.queues import Category
from workflows.ground.slurm import SlurmError, slurm_jobs
from workflows.ground.strict import SettingsError
from workflows.store import Store
from workflows.store.connection import read_launchpad_file

JOBS_IN_A_BLOCK = 500
"""Launch directories side by side: more make a file system slow."""


@dataclass(frozen=True)
class Submitted:
    """A job, and the Firework that it is reserved for."""

    category: Category
    job: str
    fw_id: int
    name: str


def launchpad_of(directory: Path) -> LaunchPad:
    """The LaunchPad that a directory's files name.

    Raises:
        SettingsError: it is not such a directory.
        StoreError: the LaunchPad's file cannot be used.
    """
    try:
        path = Path(yaml.safe_load((directory / FW_CONFIG).read_text())["LAUNCHPAD_LOC"])
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        raise SettingsError(f"{directory}: no files of 'gnome launchers write --out {directory}' in it") from None
    return LaunchPad.from_dict({**read_launchpad_file(path), "strm_lvl": "CRITICAL"})


def submit(launchpad: LaunchPad, directory: Path, category: Category) -> Iterator[Submitted]:
    """Submit jobs for what is ready of a category, as many as its settings let wait or run.

    Args:
        launchpad: where.
        directory: of `gnome launchers write`.
        category: whose turn it is.

    Raises:
        SlurmError: SLURM does not answer, or refuses a job; the Firework is ready again.
    """
    place = directory / category
    fworker = FWorker.from_file(str(place / WORKER))
    adapter = read_adapter(directory, category)
    adapter.pop("logdir")  # for qlaunch, which says nothing else; we listen to its log
    ready: int = launchpad.get_fw_ids({"state": "READY", **fworker.query}, count_only=True)
    if not ready:
        return
    jobs = slurm_jobs(job_name(category))
    # a job that waits will find work for its further workers: that needs no job of its own
    spoken_for = (adapter["_pack"] - 1) * sum(state == "PENDING" for state in jobs.values())
    wanted = math.ceil((ready - spoken_for) / adapter["_pack"])
    for _ in range(min(adapter["_jobs"] - len(jobs), wanted)):
        with _reasons(category) as reasons:
            job = launch_rocket_to_queue(
                launchpad, fworker, adapter, _block(place), reserve=True, strm_lvl="CRITICAL", create_launcher_dir=True
            )
        if not job and not reasons:  # somebody else was faster
            return
        if not job:
            raise SlurmError(f"{category}: not submitted: {_reason(reasons)}")
        (fw_id,) = launchpad.get_fw_ids_from_reservation_id(job)
        name = Store(launchpad.db).fireworks.name_of(fw_id)
        yield Submitted(category, job, fw_id, name)


def _block(place: Path) -> str:
    """The directory that the next job's own directory goes into."""
    blocks = sorted(place.glob("block_*"))
    if blocks and sum(1 for _ in blocks[-1].iterdir()) < JOBS_IN_A_BLOCK:
        return str(blocks[-1])
    block: str = create_datestamp_dir(str(place), get_fw_logger("queue.launcher", stream_level="CRITICAL"))
    return block


class _Keep(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextmanager
def _reasons(category: Category) -> Iterator[list[str]]:
    """What FireWorks logs as an error, which it does not raise."""
    keep = _Keep()
    loggers = [logging.getLogger(name) for name in ("queue.launcher", f"qadapter.{category}")]
    for logger in loggers:
        logger.addHandler(keep)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # monty's, of FireWorks' use of it
            yield keep.messages
    finally:
        for logger in loggers:
            logger.removeHandler(keep)


def _reason(messages: Sequence[str]) -> str:
    """SLURM's words, where there are any; else what FireWorks said first."""
    said = re.search(r"The error response reads: b(['\"])(.*?)\1\s", "\n".join(messages), re.DOTALL)
    words = said[2].replace("\\n", " ").removeprefix("sbatch: ") if said else messages[0]
    return " ".join(words.replace("sbatch: ", "").split())
