"""`gnome doctor`: each fault, made for real, and the campaign's end afterwards, which is that of an undisturbed one."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from atomate2.ase.utils import AseRelaxer
from campaigns import contents, run_all, run_ready, small_campaign
from fireworks import FWorker, LaunchPad
from fireworks.core.rocket_launcher import launch_rocket
from pymongo.errors import AutoReconnect

from gnome_torch.training.state import CHECKPOINT
from workflows.campaign.campaign import Campaign
from workflows.campaign.plan import start_workflow
from workflows.operate.control import pause, stop
from workflows.operate.doctor import Finding, examine
from workflows.operate.lost import Patience, is_ours
from workflows.store import Store
from workflows.store.embedded import EmbeddedDatabase

AT_ONCE = Patience(settled=0.0, silent=0.0, unnamed=0.0)


@pytest.fixture(scope="module")
def undisturbed(database: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    pad = LaunchPad(host=database.host, port=database.port, name=f"calm_{os.getpid()}", strm_lvl="WARNING")
    pad.reset("", require_password=False)
    directory = tmp_path_factory.mktemp("calm")
    return contents(run_all(pad, small_campaign(directory), directory / "launches"))


@pytest.fixture
def begun(launchpad: LaunchPad, tmp_path: Path) -> Callable[[str], Any]:
    """A campaign that has come to where a Firework of some category is ready; that Firework's id."""

    def until(category: str) -> int:
        launchpad.add_wf(start_workflow(small_campaign(tmp_path)))
        while not (found := launchpad.get_fw_ids({"state": "READY", "spec._category": category})) or (
            category == "control" and launchpad.get_fw_by_id(found[0]).name.endswith("start")
        ):
            _launch(launchpad, tmp_path)
        return int(found[0])

    return until


def _launch(launchpad: LaunchPad, directory: Path, fw_id: int | None = None) -> None:
    place = directory / "launches"
    place.mkdir(exist_ok=True)
    here = os.getcwd()
    os.chdir(place)
    try:
        launch_rocket(launchpad, FWorker(), fw_id=fw_id, strm_lvl="WARNING")
    finally:
        os.chdir(here)


def finish(launchpad: LaunchPad, directory: Path) -> dict[str, Any]:
    """Run what is left, and return what the campaign has written."""
    (directory / "rest").mkdir(exist_ok=True)
    run_ready(launchpad, directory / "rest")
    store = Store(launchpad.db)
    assert store.campaigns.get("emt")["state"] == "finished"
    assert launchpad.get_fw_ids({"state": {"$ne": "COMPLETED"}}) == []
    return contents(store)


def look(launchpad: LaunchPad, patience: Patience = AT_ONCE, jobs: Any = None) -> list[Finding]:
    return examine(Store(launchpad.db), launchpad, jobs, patience)


WORKER = """
import os, sys
from fireworks import FWorker, LaunchPad
from fireworks.core.rocket_launcher import launch_rocket
pad = LaunchPad(host=sys.argv[1], port=int(sys.argv[2]), name=sys.argv[3], strm_lvl="WARNING")
from fireworks.core.launchpad import LaunchPad as Pad
checkout = Pad.checkout_fw
def told(self, *args, **kwargs):
    found = checkout(self, *args, **kwargs)
    print("begun", flush=True)
    return found
Pad.checkout_fw = told
os.chdir(sys.argv[4])
launch_rocket(pad, FWorker(name="far away"), fw_id=int(sys.argv[5]), strm_lvl="WARNING")
"""


@pytest.mark.parametrize("category", ["control", "generate", "screen", "relax", "train"])
def test_a_worker_that_is_killed(
    launchpad: LaunchPad, tmp_path: Path, begun: Callable[[str], int], undisturbed: dict[str, Any], category: str
) -> None:
    """kill -9 in each stage, of a worker on a machine of which nothing is known but its silence."""
    fw_id = begun(category)
    command = [sys.executable, "-c", WORKER, launchpad.host, str(launchpad.port), launchpad.name, str(tmp_path)]
    with subprocess.Popen([*command, str(fw_id)], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert "begun" in worker.stdout.readline()
        time.sleep(0.02)
        os.kill(worker.pid, signal.SIGKILL)
    assert look(launchpad, Patience()) == []  # it may well be alive
    if launchpad.get_fw_by_id(fw_id).state == "RUNNING":
        (finding,) = look(launchpad)
        assert finding.what == f"Fireworks {fw_id} have lost their workers"
        assert finding.done
    assert look(launchpad) == []
    assert finish(launchpad, tmp_path) == undisturbed


def test_slurm_is_asked(
    launchpad: LaunchPad, tmp_path: Path, begun: Callable[[str], int], undisturbed: dict[str, Any]
) -> None:
    """A reservation and a run stay while SLURM has their jobs, or cannot be asked, however silent they are."""
    begun("relax")
    reserved, first = launchpad.reserve_fw(FWorker(name="slurm-relax"), str(tmp_path / "a"))
    launchpad.set_reservation_id(first, "101")
    running, second = launchpad.reserve_fw(FWorker(name="slurm-relax"), str(tmp_path / "b"))
    launchpad.set_reservation_id(second, "102")
    launchpad.checkout_fw(FWorker(name="slurm-relax"), str(tmp_path / "b"), fw_id=running.fw_id)
    packed, _ = launchpad.checkout_fw(FWorker(name="slurm-relax"), str(tmp_path / "b" / "launcher_1"))
    ids = [reserved.fw_id, running.fw_id, packed.fw_id]
    before = {i: launchpad.get_fw_by_id(i).state for i in ids}
    assert before == dict(zip(ids, ("RESERVED", "RUNNING", "RUNNING"), strict=True))

    def away() -> list[str]:
        raise RuntimeError("squeue: no answer")

    assert look(launchpad, jobs=lambda: ["101", "102"]) == []
    told = look(launchpad, jobs=away)
    assert [finding.done for finding in told] == ["", ""]
    assert "left alone" in str(told[0])
    assert str(ids[0]) in told[1].what
    assert len(look(launchpad)) == 1  # no SLURM here: the same
    assert {i: launchpad.get_fw_by_id(i).state for i in ids} == before
    # what was submitted while SLURM was asked is not in its answer
    assert look(launchpad, Patience(60.0, 0.0, 0.0), jobs=list) == []

    freed, lost = look(launchpad, jobs=lambda: ["7"])
    assert freed.what == f"Fireworks {ids[0]} were reserved for jobs that are gone"
    assert lost.what == f"Fireworks {ids[1]}, {ids[2]} have lost their workers"
    assert {launchpad.get_fw_by_id(i).state for i in ids} == {"READY"}
    assert look(launchpad, jobs=list) == []
    assert finish(launchpad, tmp_path) == undisturbed


def test_a_job_that_the_list_lacks_is_asked_for(
    launchpad: LaunchPad, tmp_path: Path, begun: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """squeue may hide jobs; and of another user's jobs SLURM may say nothing at all."""
    begun("relax")
    firework, launch = launchpad.reserve_fw(FWorker(name="slurm-relax"), str(tmp_path))
    launchpad.set_reservation_id(launch, "101")
    store = Store(launchpad.db)
    assert examine(store, launchpad, list, AT_ONCE, is_gone=lambda job: False) == []
    with monkeypatch.context() as patch:
        patch.setattr(os, "getuid", lambda: 12345)
        (finding,) = examine(store, launchpad, list, AT_ONCE)
        assert "as the user who submitted them" in finding.remedy

        def closed(path: Path) -> Any:
            raise PermissionError(13, "Permission denied")

        patch.setattr(Path, "stat", closed)
        assert not is_ours(str(tmp_path))
    assert launchpad.get_fw_by_id(firework.fw_id).state == "RESERVED"
    assert len(examine(store, launchpad, list, AT_ONCE, is_gone=lambda job: True)) == 1


@pytest.mark.parametrize("state", ["paused", "stopped"])
def test_campaigns_that_shall_not_run_do_not(
    launchpad: LaunchPad, tmp_path: Path, begun: Callable[[str], int], state: str
) -> None:
    """A training that is lost in a paused campaign waits, in a stopped one it is dropped; nothing of it is told."""
    fw_id = begun("train")
    launchpad.checkout_fw(FWorker(name="far away"), str(tmp_path), fw_id=fw_id)
    (pause if state == "paused" else stop)(Campaign(Store(launchpad.db), launchpad, "emt"))
    (finding,) = look(launchpad)
    assert finding.what == f"Fireworks {fw_id} have lost their workers"
    assert launchpad.get_fw_by_id(fw_id).state == {"paused": "PAUSED", "stopped": "DEFUSED"}[state]
    assert launchpad.get_fw_ids({"state": {"$in": ["READY", "WAITING"]}, "spec._category": {"$ne": "control"}}) == []
    assert look(launchpad) == []


def test_a_running_campaign_that_is_held(
    launchpad: LaunchPad, tmp_path: Path, begun: Callable[[str], int], undisturbed: dict[str, Any]
) -> None:
    """`resume` was killed after it had changed the campaign's state."""
    begun("train")
    store = Store(launchpad.db)
    held = pause(Campaign(store, launchpad, "emt"))
    store.campaigns.set_state("emt", ["paused"], "running")
    (finding,) = look(launchpad)
    assert str(finding) == f"campaign 'emt' runs, and {held} of its Fireworks were paused: go on"
    assert finish(launchpad, tmp_path) == undisturbed


def test_second_opinions_that_were_deleted(launchpad: LaunchPad, tmp_path: Path) -> None:
    """The campaign waits for them alone; they are added again, and it ends."""
    alloys = {"elements": ["Al", "Cu", "Ni", "Pt"], "seeds": {"limit": 8, "max_sites": 4, "references": 1}}
    second = {"theory": {"name": "emt", "fmax": 0.01, "max_steps": 400}}
    launchpad.add_wf(start_workflow(small_campaign(tmp_path, **alloys, recheck=second)))
    store = Store(launchpad.db)
    while not store.campaigns.exists("emt") or not store.campaigns.get("emt").get("over"):
        _launch(launchpad, tmp_path)
    for workflow in list(launchpad.workflows.find({"metadata.stage": "recheck", "state": "READY"}, {"nodes": 1})):
        launchpad.delete_wf(workflow["nodes"][0])
    assert store.rechecks.waiting("emt")
    assert "waited for workflows that were not there" in str(look(launchpad)[0])
    assert look(launchpad) == []
    finish(launchpad, tmp_path)


def test_a_database_that_was_away(
    launchpad: LaunchPad,
    tmp_path: Path,
    begun: Callable[[str], int],
    undisturbed: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A relaxation and a record that failed for it are run again, three times at most."""
    fw_id = begun("relax")

    def away(*args: Any, **kwargs: Any) -> Any:
        raise AutoReconnect("connection closed")

    with monkeypatch.context() as patch:
        patch.setattr(AseRelaxer, "relax", away)
        for _ in range(3):
            _launch(launchpad, tmp_path, fw_id)
            (record,) = (i for i in launchpad.get_wf_by_fw_id(fw_id).id_fw if i != fw_id)
            _launch(launchpad, tmp_path, record)
            assert {launchpad.get_fw_by_id(i).state for i in (fw_id, record)} == {"FIZZLED"}
            found = look(launchpad)
            assert f"Fireworks {fw_id} had failed for reasons that pass" in {finding.what for finding in found}
        _launch(launchpad, tmp_path, fw_id)
        told = {finding.what.split(" failed: ")[0]: finding.remedy for finding in look(launchpad)}
        name = launchpad.get_fw_by_id(fw_id).name
        assert told == {f"Firework {fw_id} '{name}'": f"mend the cause, then: lpad rerun_fws -i {fw_id}"}
    launchpad.rerun_fw(fw_id)
    assert finish(launchpad, tmp_path) == undisturbed


def test_a_database_that_goes_away_and_comes_back(
    tmp_path: Path, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real server is killed under a real worker, and started again on the same data."""
    with socket.socket() as probe:
        probe.bind((EmbeddedDatabase.host, 0))
        port = probe.getsockname()[1]
    server = EmbeddedDatabase(tmp_path / "database", port)
    server.start()
    try:
        pad = LaunchPad(host=server.host, port=port, name="away", strm_lvl="WARNING")
        pad.reset("", require_password=False)
        pad.add_wf(start_workflow(small_campaign(tmp_path)))
        _launch(pad, tmp_path)
        store = Store(pad.db)
        environment = {
            **os.environ,
            "GNOME_MONGODB_URI": f"mongodb://{server.host}:{port}/?serverSelectionTimeoutMS=1000",
            "GNOME_MONGODB_NAME": "away",
        }
        command = [
            sys.executable,
            "-m",
            "workflows.operate.worker",
            "--campaign",
            "emt",
            "--directory",
            str(tmp_path / "w"),
        ]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as worker:
            deadline = time.monotonic() + 60
            while store.database["entries"].count_documents({}) < 2:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            pid = server.status().pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            worker.communicate(timeout=60)  # it cannot go on without
        server.start()
        while look(pad):
            pass
        assert finish(pad, tmp_path) == undisturbed
    finally:
        server.stop()


def test_a_full_disk(
    launchpad: LaunchPad,
    tmp_path: Path,
    begun: Callable[[str], int],
    undisturbed: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A training that cannot be saved, and a record that cannot: run again when there is room."""
    fw_id = begun("train")

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("gnome_torch.training.loop.write_model", full)
        _launch(launchpad, tmp_path, fw_id)
    assert launchpad.get_fw_by_id(fw_id).state == "FIZZLED"
    (finding,) = look(launchpad)
    assert str(finding) == f"Fireworks {fw_id} had failed for reasons that pass: run again"
    assert finish(launchpad, tmp_path) == undisturbed


def test_workflows_that_were_deleted(
    launchpad: LaunchPad, tmp_path: Path, begun: Callable[[str], int], undisturbed: dict[str, Any]
) -> None:
    fw_id = begun("relax")
    _launch(launchpad, tmp_path)
    some = launchpad.get_fw_ids({"state": "READY", "spec._category": "relax"})
    assert fw_id not in some or len(some) > 1
    for lost in some[-2:]:
        launchpad.delete_wf(lost)
    (finding,) = look(launchpad)
    assert str(finding) == "campaign 'emt' waited for workflows that were not there: 2 added"
    assert look(launchpad) == []
    assert finish(launchpad, tmp_path) == undisturbed


def test_workflows_that_were_defused_are_told(
    launchpad: LaunchPad, tmp_path: Path, begun: Callable[[str], int]
) -> None:
    launchpad.defuse_wf(begun("relax"))
    told = [finding for finding in look(launchpad) if not finding.done]
    assert "campaign 'emt': 1 workflows are defused or archived" in [finding.what for finding in told]


def test_a_corrupt_checkpoint(
    launchpad: LaunchPad, tmp_path: Path, begun: Callable[[str], int], undisturbed: dict[str, Any]
) -> None:
    """A training begins anew, with the same result."""
    begun("train")
    run = tmp_path / "campaign" / "round-1" / "models" / "member-00.training"
    run.mkdir(parents=True)
    (run / CHECKPOINT).write_bytes(b"torn")
    assert finish(launchpad, tmp_path) == undisturbed


def test_a_stage_that_fails_is_left_to_people(
    launchpad: LaunchPad, tmp_path: Path, begun: Callable[[str], int], gnome: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GNOME_MONGODB_URI", f"mongodb://{launchpad.host}:{launchpad.port}")
    monkeypatch.setenv("GNOME_MONGODB_NAME", launchpad.name)
    fw_id = begun("train")
    (tmp_path / "campaign" / "round-1").mkdir(exist_ok=True)
    (tmp_path / "campaign" / "round-1" / "training-set").write_text("not a data set")
    _launch(launchpad, tmp_path, fw_id)
    status, out, _ = gnome("doctor")
    assert status == 1
    assert f"Firework {fw_id} 'emt: train" in out
    assert f"mend the cause, then: lpad rerun_fws -i {fw_id}" in out
    (tmp_path / "campaign" / "round-1" / "training-set").unlink()
    launchpad.rerun_fw(fw_id)
    status, out, _ = gnome("doctor")
    assert (status, out) == (0, "nothing is wrong\n")
    assert gnome("doctor", "--quiet")[1] == ""
    # one at a time; a dead one does not stay in the way
    schema = launchpad.db["schema"]
    schema.update_one({"_id": "exclusive doctor"}, {"$set": {"at": datetime.now(UTC)}})
    assert gnome("doctor")[1] == "another doctor is at work\n"
    schema.update_one({"_id": "exclusive doctor"}, {"$set": {"at": datetime.now(UTC) - timedelta(minutes=2)}})
    assert gnome("doctor")[1] == "nothing is wrong\n"
