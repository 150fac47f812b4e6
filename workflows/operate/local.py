"""Run a campaign on this machine: a few worker processes, watched, with live progress."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from workflows.campaign.campaign import Campaign
from workflows.campaign.places import launches_of, logs_of
from workflows.campaign.plan import start_workflow
from workflows.campaign.settings import parse_settings
from workflows.catalogue.progress import status_lines
from workflows.operate.worker import of_a_dead_worker
from workflows.store import CampaignState, Store
from workflows.store.launchpad import add_once, fizzled, refresh_stale, rerun_interrupted, rerun_lost

MAX_RESTARTS = 20
STALE_S = 30.0
"""How often, and how long after the end of a Firework, its workflow is looked at again, seconds."""


class CampaignStuckError(RuntimeError):
    """A stage of the campaign failed; the message says which and why."""


def run_campaign(campaign: Campaign, n_workers: int, console: Console) -> None:
    """Start workers and wait until the campaign has ended.

    What an earlier run left behind (killed, or stopped by Ctrl-C) is taken up again first.

    Args:
        campaign: which.
        n_workers: worker processes; each uses one thread.
        console: for progress.

    Raises:
        CampaignStuckError: a stage failed, or the workers keep dying.
        KeyboardInterrupt: after the workers have been stopped and their Fireworks put back.
    """
    launchpad, name = campaign.launchpad, campaign.name
    if campaign.state is CampaignState.PAUSED:
        raise CampaignStuckError(f"campaign '{name}' is paused: gnome campaign resume {name}")
    rerun_lost(launchpad, of_a_dead_worker)
    refresh_stale(launchpad, 0.0)  # no worker of ours is alive yet; others are done within milliseconds
    rerun_interrupted(launchpad, name)
    # whoever added the campaign may have died before its first Firework was there
    begun_with = campaign.store.campaigns.get(name)["settings"]
    add_once(launchpad, [start_workflow(parse_settings(begun_with, f"campaign '{name}'"))])
    with _workers(campaign, n_workers) as workers, _display(console) as show:
        looked = time.monotonic()
        while campaign.state is CampaignState.RUNNING:
            show(campaign.store, name)
            if time.monotonic() - looked > STALE_S:
                refresh_stale(launchpad, STALE_S)
                looked = time.monotonic()
            workers.keep_alive()
            _raise_if_stuck(campaign)
            time.sleep(1.0)
        show(campaign.store, name)


class _Workers:
    """The worker processes; those that die are replaced, and what they were doing is run again."""

    def __init__(self, campaign: Campaign, count: int) -> None:
        self.launchpad, self.name, self.directory = campaign.launchpad, campaign.name, campaign.settings.root
        self.restarts = 0
        self.logs = logs_of(self.directory)
        self.logs.mkdir(parents=True, exist_ok=True)
        self.processes = [self._start(index) for index in range(count)]

    def _start(self, index: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "workflows.operate.worker", "--campaign", self.name]
        # threads of two workers on two cores get in each other's way; Ctrl-C is for us, not for them
        with (self.logs / f"worker-{index}.log").open("ab") as log:
            return subprocess.Popen(
                [*command, "--directory", str(launches_of(self.directory))],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={"OMP_NUM_THREADS": "1", **os.environ},
                start_new_session=True,
            )

    def keep_alive(self) -> None:
        for index, process in enumerate(self.processes):
            if process.poll() is None:
                continue
            rerun_lost(self.launchpad, of_a_dead_worker)
            if process.returncode == 0:  # it saw the end of the campaign before we did
                continue
            self.restarts += 1
            if self.restarts > MAX_RESTARTS:
                raise CampaignStuckError(
                    f"the workers keep ending: see {self.logs}/worker-{index}.log, then run the same command again"
                )
            self.processes[index] = self._start(index)

    def stop(self, patience_s: float) -> None:
        """End the workers; those that see the end of the campaign themselves need no help."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline and any(process.poll() is None for process in self.processes):
            time.sleep(0.1)
        for process in self.processes:
            process.kill()  # whatever they were doing is run again from its beginning
        for process in self.processes:
            process.wait()
        rerun_lost(self.launchpad, of_a_dead_worker)


@contextmanager
def _workers(campaign: Campaign, count: int) -> Iterator[_Workers]:
    workers = _Workers(campaign, count)
    try:
        yield workers
    except BaseException:
        workers.stop(patience_s=0.0)
        raise
    workers.stop(patience_s=15.0)


def _raise_if_stuck(campaign: Campaign) -> None:
    """A failed relaxation is a result. A failed stage of the loop stops it, and nobody else would say so."""
    for fw_id, reason in fizzled(campaign.launchpad, campaign.name).items():
        firework = campaign.launchpad.get_fw_by_id(fw_id)
        # so is the making of random crystals, whose record says what became of it
        if firework.spec.get("_category") != "relax" and not firework.spec.get("_result_is_recorded"):
            raise CampaignStuckError(
                f"'{firework.name}' failed: {reason} (whole traceback: lpad get_fws -i {fw_id} -d all; "
                f"mend the cause, then: lpad rerun_fws -i {fw_id}, and this command again; "
                f"logs: {logs_of(campaign.settings.root)})"
            )


@contextmanager
def _display(console: Console) -> Iterator[Callable[[Store, str], None]]:
    """Progress as one bar a round on a terminal, as a line now and then elsewhere."""
    if console.is_terminal:
        progress = Progress(
            TextColumn("{task.description:<34}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=console,
        )
        tasks: dict[int, TaskID] = {}
        with Live(progress, console=console, refresh_per_second=4):

            def show(store: Store, name: str) -> None:
                for line in status_lines(store, name):
                    if line.number not in tasks:
                        tasks[line.number] = progress.add_task(line.label, note=line.note)
                    task, total = tasks[line.number], line.total or None
                    progress.update(task, description=line.label, completed=line.ended, total=total, note=line.note)

            yield show
        return
    last: list[str] = []

    def show_lines(store: Store, name: str) -> None:
        for line in status_lines(store, name):
            # a line for every tenth of a round, and for every new stage
            step = 10 * line.ended // line.total if line.total else 0
            said = f"{line.number}|{line.label}|{step}|{line.note}"
            if said not in last:
                last.append(said)
                text = f"{line.label}: {line.ended} of {line.total or '?'} {line.note}".rstrip()
                console.print(f"[{time.strftime('%H:%M:%S')}] {text}")

    yield show_lines
