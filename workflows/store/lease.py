"""Leases: what one holder at a time may do, and how others tell that a holder has died."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

LEASE = timedelta(seconds=60)
"""How long a holder may be silent before another may take its place.

The clocks of the machines may differ by less than that.
"""


@contextmanager
def heartbeat(beat: Callable[[], object]) -> Iterator[None]:
    """Say every quarter of a lease, from a thread of its own, that the holder is alive.

    Args:
        beat: writes that into the database.
    """
    done = threading.Event()

    def run() -> None:
        while not done.wait(LEASE.total_seconds() / 4):
            beat()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
