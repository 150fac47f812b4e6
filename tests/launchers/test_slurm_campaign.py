"""Whole campaigns by qlaunch on a real SLURM, with everything that goes wrong there; the end is that of a calm one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from campaigns import contents, run_all, small_campaign, stages
from fireworks import FWorker, LaunchPad
from fireworks.core.rocket_launcher import launch_rocket
from submitted import Jobs

from workflows.campaign.plan import start_workflow
from workflows.ground.queues import CATEGORIES
from workflows.ground.slurm import is_gone, slurm_jobs
from workflows.operate.doctor import examine
from workflows.operate.lost import Patience
from workflows.store import Store

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm"), pytest.mark.timeout(600)]

SITE = """\
slurm:
  partition: cpu
  control: {walltime: 00:30:00, pack: 2, jobs: 1}
  generate: {walltime: 00:30:00, cores: 1}
  screen: {walltime: 00:30:00, cores: 1}
  relax: {walltime: 00:30:00, jobs: 2}
  train: {walltime: 00:30:00, partition: gpu, gpus: 1, cores: 1, jobs: 2}
"""
CHUNKS = {"per_firework": 50}


@pytest.fixture
def calm(database: Any, launchpad: LaunchPad, tmp_path: Path) -> LaunchPad:
    """Another database, for the undisturbed campaign."""
    other = LaunchPad(host=database.host, port=database.port, name=f"{launchpad.name}_calm", strm_lvl="WARNING")
    other.reset("", require_password=False)
    return other


def qlaunch(jobs: Jobs, category: str) -> None:
    """FireWorks' own command, in reservation mode, for one Firework: with more it would wait for them to appear."""
    files = ["-w", f"{category}/my_fworker.yaml", "-q", f"{category}/my_qadapter.yaml", "--launch_dir", category]
    command = [str(Path(sys.executable).parent / "qlaunch"), "-r", *files, "rapidfire", "-m", "4"]
    command += ["--nlaunches", "1", "--timeout", "20"]
    subprocess.run(command, cwd=jobs.directory / "jobs", check=True, capture_output=True, timeout=60)


def ready(launchpad: LaunchPad) -> list[str]:
    """Categories of what could run."""
    found = {launchpad.get_fw_by_id(i).spec["_category"] for i in launchpad.get_fw_ids({"state": "READY"})}
    return [category for category in CATEGORIES if category in found]


def workers_of(job: str) -> list[psutil.Process]:
    """Processes of a job that run Firetasks."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("SLURM_JOB_ID") == job and any("rlaunch" in word for word in process.cmdline()):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def test_two_rounds_by_qlaunch(jobs: Jobs, launchpad: LaunchPad, calm: LaunchPad, tmp_path: Path) -> None:
    jobs.write(SITE)
    expected = contents(run_all(calm, small_campaign(tmp_path / "calm", rounds=2, relaxations=CHUNKS), tmp_path / "l"))
    launchpad.add_wf(start_workflow(small_campaign(tmp_path / "slurm", rounds=2, relaxations=CHUNKS)))
    store, end = Store(launchpad.db), time.monotonic() + 500
    while not store.campaigns.exists("emt") or store.campaigns.get("emt")["state"] == "running":
        assert time.monotonic() < end, jobs.slurm.ask("squeue")
        for category in ready(launchpad):
            qlaunch(jobs, category)
        time.sleep(0.5)
    jobs.wait(lambda: not launchpad.get_fw_ids({"state": {"$ne": "COMPLETED"}}))
    assert contents(store) == expected
    assert set(stages(launchpad).values()) == {1}
    # each kind of work on its own worker, as the jobs of its own kind
    names = {
        (launchpad.get_fw_by_id(d["fw_id"]).spec["_category"], d["fworker"]["name"])
        for d in launchpad.launches.find({})
    }
    assert names == {(category, f"slurm-{category}") for category in CATEGORIES}


def test_everything_goes_wrong_and_nothing_is_lost(
    jobs: Jobs, launchpad: LaunchPad, calm: LaunchPad, tmp_path: Path
) -> None:
    """In each stage the first job is killed with -9, and one reservation is cancelled; then the doctor comes."""
    jobs.write(SITE)
    expected = contents(run_all(calm, small_campaign(tmp_path / "calm", relaxations=CHUNKS), tmp_path / "l"))
    launchpad.add_wf(start_workflow(small_campaign(tmp_path / "slurm", relaxations=CHUNKS)))
    store, end = Store(launchpad.db), time.monotonic() + 500
    killed: Counter[str] = Counter()
    cancelled: set[str] = set()
    repaired: list[str] = []
    while not store.campaigns.exists("emt") or store.campaigns.get("emt")["state"] == "running":
        assert time.monotonic() < end, (killed, jobs.slurm.ask("squeue"))
        for category in ready(launchpad):
            if category == "generate" and not cancelled:  # a reservation whose job never begins
                jobs.slurm.ask("scontrol", "update", "PartitionName=cpu", "State=DOWN")
                jobs.launch("--category", category)
                cancelled |= slurm_jobs("gnome-generate").keys()
                jobs.slurm.ask("scancel", *cancelled)
                jobs.slurm.ask("scontrol", "update", "PartitionName=cpu", "State=UP")
            else:
                jobs.launch("--category", category)
        running = list(launchpad.fireworks.find({"state": "RUNNING"}, {"fw_id": 1, "spec._category": 1}))
        for firework in running:
            category, job = firework["spec"]["_category"], launchpad.get_reservation_id_from_fw_id(firework["fw_id"])
            if killed[category] == 0 and job is not None:
                for worker in workers_of(job):
                    worker.kill()
                    killed[category] = 1
        for finding in examine(store, launchpad, slurm_jobs, Patience(settled=1.0, unnamed=60.0), is_gone):
            assert finding.done, finding
            repaired.append(finding.what)
        time.sleep(0.3)
    jobs.wait(lambda: not launchpad.get_fw_ids({"state": {"$ne": "COMPLETED"}}))
    assert set(killed) == set(CATEGORIES)
    assert len(cancelled) == 1
    assert any("were reserved for jobs that are gone" in what for what in repaired)
    assert any("have lost their workers" in what for what in repaired)
    assert contents(store) == expected
    assert set(stages(launchpad).values()) == {1}


def test_a_training_meets_its_walltime_and_goes_on(jobs: Jobs, launchpad: LaunchPad, tmp_path: Path) -> None:
    """Two minutes, of which SLURM takes up to one: the training stops at the warning and goes on in a second job."""
    jobs.write(SITE.replace("train: {walltime: 00:30:00,", "train: {walltime: 00:02:00, warning_s: 15,"))
    epochs = 20_000
    network = {"members": 1, "hidden": [16, 16], "epochs": epochs, "batch_size": 4, "learning_rate": 0.001}
    launchpad.add_wf(start_workflow(small_campaign(tmp_path / "slurm", network=network)))
    here, place = Path.cwd(), tmp_path / "launches"
    place.mkdir()
    os.chdir(place)
    try:  # up to the training in this process
        while launch_rocket(
            launchpad, FWorker(query={"spec._category": {"$in": ["control", "relax"]}}), strm_lvl="ERROR"
        ):
            pass
    finally:
        os.chdir(here)
    (first,) = launchpad.get_fw_ids({"spec._category": "train", "state": "READY"})
    assert jobs.launch("--category", "train")[0] == 0
    jobs.wait(lambda: launchpad.get_fw_by_id(first).state == "COMPLETED", patience_s=150)
    again = {"name": "emt: train 1, goes on", "state": "READY"}
    (second,) = jobs.wait(lambda: launchpad.get_fw_ids(again))
    stopped_at = launchpad.get_fw_by_id(first).launches[-1].action.stored_data["stopped_at"]
    assert launchpad.get_fw_by_id(second).spec["_stopped_at"] == stopped_at
    assert jobs.launch("--category", "train")[0] == 0
    # from where the first had come to: its checkpoint, and the table of epochs, which has each once
    run = tmp_path / "slurm" / "campaign" / "round-1" / "models" / "member-00.training"
    reached = int(stopped_at.split()[1].rstrip(","))
    assert 10 < reached < epochs
    table = run / "epochs.csv"
    before = len(table.read_text().splitlines())
    jobs.wait(lambda: len(table.read_text().splitlines()) > before + 5)
    numbers = [int(line.split(",")[0]) for line in table.read_text().splitlines()[1:]]
    assert numbers == list(range(1, len(numbers) + 1))
    jobs.slurm.ask("scancel", "--signal=USR1", "--batch", *slurm_jobs("gnome-train"))
    jobs.wait(lambda: launchpad.get_fw_by_id(second).state == "COMPLETED")
    (third,) = jobs.wait(lambda: launchpad.get_fw_ids(again))
    assert launchpad.get_fw_by_id(third).spec["_stopped_at"] != stopped_at
