"""In a job: several workers that share it.

One runs the Firework that the job was reserved for; all of them then run whatever else is ready of its category, as
long as enough of the job's time is left. A worker that finds nothing ends; while another is still at work its place is
kept, and taken again when something is ready. The job ends with its last worker.

SLURM signals this process, which passes the signal on to every worker. FireWorks' own `rlaunch multi` does not: its
workers would never hear of the walltime.

    python -m launchers.pack --workers 4 --last_start_s 3000 rlaunch -l FILE -w FILE singleshot --fw_id N
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType

from fireworks import FWorker, LaunchPad

LOOK_S = 15.0
"""How often the database is asked for work while a place is free."""
PASSED_ON = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)

Worker = subprocess.Popen[bytes]


def run(
    first: Sequence[str],
    further: Callable[[int], Sequence[str]],
    workers: int,
    last_start_s: float,
    is_work_ready: Callable[[], bool],
    look_s: float = LOOK_S,
) -> None:
    """Run workers until there is nothing to do, or no time to do it in.

    Args:
        first: command of the worker that runs the job's own Firework.
        further: command of a worker that runs what is ready, and starts nothing after so many seconds.
        workers: how many at once, at most.
        last_start_s: seconds from now until which a worker may start something.
        is_work_ready: whether there is work.
        look_s: seconds between two looks for work.
    """
    places: list[Worker | None] = [None] * workers
    stopped = False

    def pass_on(number: int, _: FrameType | None) -> None:
        nonlocal stopped
        stopped = True
        for worker in places:
            if worker is not None and worker.poll() is None:
                worker.send_signal(number)

    for number in PASSED_ON:
        signal.signal(number, pass_on)
    begin = next_look = time.monotonic()
    places[0] = _start(first, 0, workers)
    while True:
        free = [place for place, worker in enumerate(places) if worker is None or worker.poll() is not None]
        # a worker that broke down (no database, no FireWorks) would do so again
        stopped = stopped or any(worker is not None and worker.poll() for worker in places)
        left_s = int(last_start_s - (time.monotonic() - begin))
        is_time_to_look = len(free) == workers or time.monotonic() >= next_look
        if free and is_time_to_look and left_s > 0 and not stopped:
            next_look = time.monotonic() + look_s
            if is_work_ready():  # for how many, they find out themselves
                for place in free:
                    places[place] = _start(further(left_s), place, workers)
                continue
        if len(free) == workers:
            return
        time.sleep(0.2)


def _start(command: Sequence[str], place: int, workers: int) -> Worker:
    """A worker; tasks that know how to stop watch for USR1 themselves, all others must not be ended by it."""
    deaf = ["bash", "-c", "trap '' USR1; exec \"$@\"", "worker"]
    return subprocess.Popen([*deaf, *command], env=_environment(place, workers))


def _environment(place: int, workers: int, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """A worker's environment: its share of the job's GPUs, or one of them together with others."""
    environment = dict(inherited)
    gpus = environment.get("CUDA_VISIBLE_DEVICES", "").split(",")
    if len(gpus) > 1:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus[place::workers]) or gpus[place % len(gpus)]
    return environment


def _has_work(launchpad: LaunchPad, fworker: FWorker) -> bool:
    try:
        return bool(launchpad.run_exists(fworker))
    except Exception as error:  # a database that is away for a moment must not end the workers that run
        print(f"no look for further work: {error}", flush=True)
        return False


def main() -> None:
    """Run the workers of this job."""
    parser = argparse.ArgumentParser(prog="python -m launchers.pack", description=__doc__)
    parser.add_argument("--workers", type=int, required=True, help="how many at once, at most")
    parser.add_argument("--last_start_s", type=int, required=True, help="seconds in which new work may start")
    parser.add_argument("rlaunch", help="FireWorks' rlaunch")
    parser.add_argument("-l", dest="launchpad", required=True, help="my_launchpad.yaml")
    parser.add_argument("-w", dest="fworker", required=True, help="my_fworker.yaml")
    parser.add_argument("singleshot", help="the word that FireWorks wants to see in reservation mode")
    parser.add_argument("--fw_id", required=True, help="the Firework that the job was reserved for")
    arguments = parser.parse_args()
    command = [arguments.rlaunch, "-l", arguments.launchpad, "-w", arguments.fworker]
    launchpad, fworker = LaunchPad.from_file(arguments.launchpad), FWorker.from_file(arguments.fworker)

    def further(left_s: int) -> list[str]:
        # one loop: FireWorks would wait for work until the time is up, and keep the nodes
        return [*command, "rapidfire", "--max_loops", "1", "--sleep", "1", "--timeout", str(left_s)]

    run(
        [*command, "singleshot", "--fw_id", arguments.fw_id],
        further,
        arguments.workers,
        arguments.last_start_s,
        lambda: _has_work(launchpad, fworker),
    )


if __name__ == "__main__":
    main()
