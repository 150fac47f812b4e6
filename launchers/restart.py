"""In a job that SLURM has put back into its queue: run again what its first attempt was doing.

The workers of that attempt are dead, so whatever is still running in the job's directory is lost. The Firework that the
job was reserved for is reserved again at once, so that no other job takes it meanwhile.

    python -m launchers.restart -l my_launchpad.yaml -w my_fworker.yaml --fw_id N
"""

from __future__ import annotations

import argparse
import os
import re
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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m launchers.restart", description=__doc__)
    parser.add_argument("-l", dest="launchpad", required=True, help="my_launchpad.yaml")
    parser.add_argument("-w", dest="fworker", required=True, help="my_fworker.yaml")
    parser.add_argument("--fw_id", type=int, required=True, help="the Firework that the job was reserved for")
    arguments = parser.parse_args()
    lost = take_up(
        LaunchPad.from_file(arguments.launchpad),
        FWorker.from_file(arguments.fworker),
        arguments.fw_id,
        Path.cwd(),
        os.environ["SLURM_JOB_ID"],
    )
    print(f"SLURM has started this job again: Fireworks {lost} are run again")


if __name__ == "__main__":
    main()
