"""What SLURM says of its jobs."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence

TIMEOUT_S = 60.0  # squeue itself gives up after about ten seconds of silence


# states of a job that does nothing any more
ENDED = frozenset(
    (
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    )
)


class SlurmError(RuntimeError):
    """SLURM does not answer, or not as it should; the message is one line with SLURM's own words."""


def slurm_jobs(name: str | None = None) -> dict[str, str]:
    """Jobs that wait or run, by id, with their state (PENDING, RUNNING, ...).

    Args:
        name: only this user's jobs of that name; by default all jobs of everybody.

    Raises:
        SlurmError: SLURM does not answer. No answer is never taken for no jobs.
    """
    command = ["squeue", "--all", "--noheader", "--format=%i %T"]
    if name is not None:
        command += ["--me", f"--name={name}"]
    jobs = {}
    for line in ask_slurm(command).splitlines():
        words = line.split()
        if len(words) != 2:
            raise SlurmError(f"squeue: a line without a job and its state: {line!r}")
        jobs[words[0]] = words[1]
    return jobs


def is_gone(job: str) -> bool:
    """Whether SLURM says of a job that it has ended, or that there is none of this id any more.

    Args:
        job: its id.

    Raises:
        SlurmError: SLURM does not answer.
    """
    try:
        found = re.search(r"\bJobState=(\w+)", ask_slurm(["scontrol", "--oneliner", "--all", "show", "job", job]))
    except SlurmError as error:
        if "Invalid job id" in str(error):
            return True
        raise
    return found is not None and found[1] in ENDED


def ask_slurm(command: Sequence[str]) -> str:
    """Run one of SLURM's commands and return what it printed.

    Raises:
        SlurmError: it is not there, failed, or took too long.
    """
    # what a user has set for their own squeue (SQUEUE_PARTITION, for instance) would hide jobs
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SQUEUE_")}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=environment)
    except FileNotFoundError:
        raise SlurmError(f"{command[0]}: not found: is this a machine that submits to SLURM?") from None
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{command[0]}: no answer in {TIMEOUT_S:.0f} s: does slurmctld run (scontrol ping)?") from None
    if done.returncode != 0:
        raise SlurmError(f"{command[0]}: {slurms_words(done.stderr) or f'status {done.returncode}'}")
    return done.stdout


def slurms_words(text: str) -> str:
    """Messages of SLURM in one line, without the names of its programs."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "; ".join(line.partition(": ")[2] or line for line in lines)
