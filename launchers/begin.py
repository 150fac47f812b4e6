"""At the beginning of a job: is the Firework that it was submitted for still its own?

Between submission and start a Firework can have been freed (a pause, a doctor) and reserved for another job: then this
one must not touch it. And a job that SLURM has put back into its queue runs again what its first attempt was doing: the
workers of that attempt are dead, so whatever still runs in the job's directory is lost. Its Firework is reserved again
at once, so that no other job takes it meanwhile.

    python -m launchers.begin -l my_launchpad.yaml -w my_fworker.yaml --fw_id N     status 1: there is nothing to do
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

from fireworks import FWorker, LaunchPad


def take_up(launchpad: LaunchPad, fworker: FWorker, fw_id: int, directory: Path, job: str) -> list[int]:
    """Put back the Fireworks that were running in a directory, and return their ids.

    Args:
        launchpad: where.
        fworker: of the job.
        fw_id: the Firework that the job was reserved for.
        directory: the job's own.
        job: its id in SLURM.
    """
    below = {"$regex": f"^{re.escape(str(directory))}(/|$)"}
    lost: list[int] = launchpad.get_fw_ids({"state": "RUNNING", "launch_dir": below}, launches_mode=True)
    for lost_id in lost:
        launchpad.rerun_fw(lost_id)
    if fw_id in lost:
        _, launch_id = launchpad.reserve_fw(fworker, str(directory), fw_id=fw_id)
        if launch_id is not None:
            launchpad.set_reservation_id(launch_id, job)
    return lost


def whose(launchpad: LaunchPad, fw_id: int, job: str) -> str:
    """Why a Firework is not this job's; empty if it is.

    Args:
        launchpad: where.
        fw_id: the Firework that the job was submitted for.
        job: its id in SLURM.
    """
    firework = launchpad.get_fw_by_id(fw_id)
    if firework.state != "RESERVED":
        return f"Firework {fw_id} is {firework.state}, and no longer reserved for this job"
    history = firework.launches[-1].state_history
    ids = [str(state["reservation_id"]) for state in history if state.get("reservation_id") is not None]
    # one that has none yet was submitted a moment ago: the id is written when sbatch has answered
    return f"Firework {fw_id} is reserved for job {ids[-1]} now" if ids and ids[-1] != job else ""


def main() -> int:
    """Status 0 if the job has its Firework, 1 if there is nothing for it to do."""
    parser = argparse.ArgumentParser(prog="python -m launchers.begin", description=__doc__)
    parser.add_argument("-l", dest="launchpad", required=True, help="my_launchpad.yaml")
    parser.add_argument("-w", dest="fworker", required=True, help="my_fworker.yaml")
    parser.add_argument("--fw_id", type=int, required=True, help="the Firework that the job was reserved for")
    arguments = parser.parse_args()
    launchpad, job = LaunchPad.from_file(arguments.launchpad), os.environ["SLURM_JOB_ID"]
    if int(os.environ.get("SLURM_RESTART_COUNT", "0")) > 0:
        fworker = FWorker.from_file(arguments.fworker)
        lost = take_up(launchpad, fworker, arguments.fw_id, Path.cwd(), job)
        print(f"SLURM has started this job again: Fireworks {lost} are run again", flush=True)
    if reason := whose(launchpad, arguments.fw_id, job):
        print(f"nothing to do: {reason}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
