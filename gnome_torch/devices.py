"""What networks and potentials run on: a GPU if there is one, and one thread a process unless told otherwise."""

from __future__ import annotations

import os


def one_thread_unless_told() -> None:
    """Limit torch to one thread, unless OMP_NUM_THREADS says otherwise.

    Small crystals gain nothing from threads, and two workers with two threads each on two cores crawl.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        import torch

        torch.set_num_threads(1)


def best_device() -> str:
    """Where the networks run: a GPU if this worker has one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
