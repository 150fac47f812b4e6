"""A local worker: FireWorks' own rapidfire, until a campaign has ended.

Its name in the database is HOST-PID, so that whoever looks can tell whether it still lives.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
from fireworks import FWorker, LaunchPad
from fireworks.core.rocket_launcher import rapidfire

from workflows.ground.site import read_site
from workflows.ground.strict import SettingsError
from workflows.store import CampaignState, Store
from workflows.store.connection import connect

PREFIX = "gnome-local"


def worker_name(pid: int, host: str | None = None) -> str:
    """Name of a worker in the database: kind, host, process and the process's start (pids are used again)."""
    started = int(psutil.Process(pid).create_time())
    return f"{PREFIX}:{host or socket.gethostname()}:{pid}:{started}"


def is_dead(name: str) -> bool:
    """Whether a worker of that name ran on this host and is no more; False for anybody else's worker."""
    kind, _, rest = name.partition(":")
    if kind != PREFIX or rest.count(":") != 2:
        return False
    host, pid, started = rest.split(":")
    if host != socket.gethostname():
        return False
    try:
        process = psutil.Process(int(pid))
        return abs(process.create_time() - int(started)) > 2 or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def of_a_dead_worker(launch: Mapping[str, Any]) -> bool:
    """Whether the worker of a launch ran on this host and is no more."""
    return is_dead(launch["fworker"]["name"])


def environment() -> dict[str, int]:
    """What every launch remembers of this worker: its cores; nothing where VASP takes others than the rest."""
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    try:
        vasp = read_site().vasp
    except SettingsError:  # of those who need the file; not everything does
        return {}
    return {"cores": int(threads)} if threads.isdigit() and not vasp else {}


def work(launchpad: LaunchPad, campaign: str, directory: Path, pause_s: float = 1.0) -> None:
    """Run whatever is ready, of any campaign, until this one has ended."""
    fworker = FWorker(name=worker_name(os.getpid()), env=environment())
    store = Store(launchpad.db)
    directory.mkdir(parents=True, exist_ok=True)
    # whoever started us stops us; when they are gone without having done so, nobody would
    parent = os.getppid()
    while store.campaigns.get(campaign)["state"] == CampaignState.RUNNING and os.getppid() == parent:
        rapidfire(
            launchpad, fworker, m_dir=str(directory), nlaunches=1, max_loops=1, sleep_time=0.1, strm_lvl="WARNING"
        )
        if not launchpad.run_exists(fworker):
            time.sleep(pause_s)


def main() -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(prog="python -m workflows.operate.worker", description=__doc__)
    parser.add_argument("--campaign", required=True)
    parser.add_argument("--directory", type=Path, required=True, help="where the launch directories go")
    arguments = parser.parse_args()
    work(connect(), arguments.campaign, arguments.directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
