"""Long tasks that stop before the walltime of their job, and go on in another.

SLURM sends USR1 some time before a job's end (`--signal=B:USR1@SECONDS`), and TERM when it takes a node away. A task
that watches for them saves what it has and returns a detour: the same task once more, and what waited for the first now
waits for that. Nothing is computed again but the step under way.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fireworks import FiretaskBase, Firework, FWAction

SIGNALS = (signal.SIGUSR1, signal.SIGTERM)

JOB_END = "GNOME_JOB_END"
"""Environment variable of a queue's job: when its walltime ends, seconds since 1970."""

Stopped = Callable[[], int]
"""Says which signal has asked to stop, 0 for none."""

# What a continuation has in common with the Firework that it goes on from. Not _dupefinder: FireWorks would take the
# one for a repetition of the other.
KEPT = (
    "_category",
    "_priority",
    "_add_launchpad_and_fw_id",
    "_allow_fizzled_parents",
    "_pass_job_info",
    "_preserve_fworker",
    "_queueadapter",
    "_result_is_recorded",
)


class StopRequested(Exception):
    """A signal has asked a task to stop; the message says where it stands, in words that change with every step."""


class NoProgressError(RuntimeError):
    """A task was stopped twice at the same point."""


@contextmanager
def stop_signal() -> Iterator[Stopped]:
    """A function that says which signal has asked this process to stop, 0 for none.

    Only the main thread hears of signals; elsewhere the answer is always 0.
    """
    last = 0

    def note(number: int, frame: object) -> None:
        nonlocal last
        last = number

    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    earlier = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield lambda: last
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def go_on(task: FiretaskBase, spec: dict[str, Any], name: str, progress: str) -> FWAction:
    """End a task that has been stopped by adding its continuation as a detour.

    Args:
        task: it goes on with the same parameters, from what it has saved.
        spec: of its Firework.
        name: of the continuation.
        progress: where it stands, in words that change with every step.

    Raises:
        NoProgressError: it had been stopped at the same point before.
    """
    if spec.get("_stopped_at") == progress:
        raise NoProgressError(
            f"stopped twice at {progress}: give category {spec.get('_category')!r} a longer walltime, then run this "
            "Firework again"
        )
    parameters = {key: value for key, value in task.items() if not key.startswith("_")}
    kept = {key: spec[key] for key in KEPT if key in spec}
    detour = Firework(type(task)(parameters), spec={**kept, "_stopped_at": progress}, name=name)
    return FWAction(stored_data={"stopped_at": progress}, detours=detour)


def never() -> int:
    """For work that nothing asks to stop."""
    return 0


def stop_after_part(stopped: Stopped) -> Callable[[int], None]:
    """For `gnome_torch.screening.screen`, which tells of every part that is done: stop there if a signal has asked."""

    def look(done: int) -> None:
        if stopped():
            raise StopRequested(f"candidate {done}")

    return look


def seconds_left() -> int | None:
    """Until the walltime of the job that this runs in; None outside of jobs."""
    end = os.environ.get(JOB_END)
    return max(1, int(float(end) - time.time())) if end else None
