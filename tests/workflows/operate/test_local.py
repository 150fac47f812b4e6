"""Workers on this machine: those that die, stages that fail, who is who."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from campaigns import small_campaign, stages
from fireworks import LaunchPad
from rich.console import Console

from workflows.campaign.begin import begin
from workflows.campaign.campaign import Campaign
from workflows.campaign.plan import start_workflow
from workflows.operate.local import CampaignStuckError, run_campaign
from workflows.operate.worker import environment, is_dead, worker_name
from workflows.store import Store


def worker_environment(launchpad: LaunchPad) -> dict[str, str]:
    uri = f"mongodb://{launchpad.host}:{launchpad.port}/"
    return {**os.environ, "GNOME_MONGODB_URI": uri, "GNOME_MONGODB_NAME": launchpad.name, "OMP_NUM_THREADS": "1"}


def test_a_killed_worker(launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kill -9 in the middle of a relaxation; `gnome campaign run` takes it up and finishes."""
    settings = small_campaign(tmp_path)
    launchpad.add_wf(start_workflow(settings))
    command = [
        sys.executable,
        "-m",
        "workflows.operate.worker",
        "--campaign",
        "emt",
        "--directory",
        str(tmp_path / "launches"),
    ]
    store = Store(launchpad.db)
    begin(store, launchpad, settings)
    for key, value in worker_environment(launchpad).items():
        monkeypatch.setenv(key, value)
    worker = subprocess.Popen(command)
    deadline = time.monotonic() + 120
    while not (running := launchpad.get_fw_ids({"state": "RUNNING", "spec._category": "relax"})):
        assert time.monotonic() < deadline, "the worker never began a relaxation"
        time.sleep(0.01)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert launchpad.get_fw_by_id(running[0]).state == "RUNNING"  # lost, and nobody has noticed

    run_campaign(Campaign(store, launchpad, "emt"), 1, Console(file=(tmp_path / "log").open("w")))
    assert store.campaigns.get("emt")["state"] == "finished"
    assert store.database["candidates"].count_documents({"state": "selected"}) == 0
    assert set(stages(launchpad).values()) == {1}


def test_a_stage_that_fails_stops_the_runner_with_its_reason(
    launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = small_campaign(tmp_path)
    begin(Store(launchpad.db), launchpad, settings)
    for fw_id in launchpad.get_fw_ids({"state": "WAITING"}):
        launchpad.update_spec([fw_id], {"_tasks.0.candidate": "emt/none"})
    for key, value in worker_environment(launchpad).items():
        monkeypatch.setenv(key, value)
    with pytest.raises(CampaignStuckError, match="no candidate 'emt/none'"):
        run_campaign(Campaign(Store(launchpad.db), launchpad, "emt"), 1, Console(file=(tmp_path / "log").open("w")))


def test_workers_are_told_apart_by_host_process_and_start() -> None:
    assert not is_dead(worker_name(os.getpid()))
    assert not is_dead(worker_name(os.getpid(), host="elsewhere"))
    assert not is_dead("gnome")
    process = subprocess.Popen(["sleep", "60"])
    name = worker_name(process.pid)
    assert not is_dead(name)
    process.kill()
    process.wait()
    assert is_dead(name)
    kind, host, pid, started = worker_name(os.getpid()).split(":")
    assert is_dead(f"{kind}:{host}:{pid}:{int(started) - 1000}")  # the number was another process's then


def test_a_worker_says_its_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its threads; with VASP, which takes other cores than the rest of its work, none."""
    monkeypatch.setenv("GNOME_SITE", str(tmp_path / "site.yaml"))
    (tmp_path / "site.yaml").write_text("")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert environment() == {"cores": 3}
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert environment() == {"cores": 1}
    (tmp_path / "site.yaml").write_text("vasp: {command: vasp_std, cores: 8}")
    assert environment() == {}
