"""Adding workflows once, and finding what was lost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fireworks import Firework, FWAction, FWorker, LaunchPad, Workflow
from fireworks.core.rocket_launcher import launch_rocket
from tasks import End

from workflows.firetasks.start import StartCampaign
from workflows.store.launchpad import add_once, prepare_launchpad, refresh_stale, rerun_lost


def workflow(key: str) -> Workflow:
    first = Firework(StartCampaign(), name=f"{key} a")
    second = Firework(StartCampaign(), name=f"{key} b", parents=[first])
    return Workflow([first, second], name=key, metadata={"gnome_key": key})


def names(launchpad: LaunchPad) -> list[str]:
    return sorted(document["name"] for document in launchpad.fireworks.find({}, {"name": 1}))


def test_workflows_are_added_once(launchpad: LaunchPad) -> None:
    assert add_once(launchpad, [workflow(f"w{i}") for i in range(150)]) == 150
    assert add_once(launchpad, [workflow(f"w{i}") for i in range(160)]) == 10
    assert launchpad.workflows.count_documents({}) == 160
    assert len(names(launchpad)) == len(set(names(launchpad))) == 320


def test_a_workflow_that_was_half_written_is_completed(launchpad: LaunchPad) -> None:
    """The writer died between FireWorks' two inserts: the workflow is there, a Firework of it is not."""
    add_once(launchpad, [workflow("w")])
    launchpad.fireworks.delete_one({"name": "w b"})
    assert add_once(launchpad, [workflow("w")]) == 1
    assert launchpad.workflows.count_documents({"metadata.gnome_key": "w"}) == 1
    (document,) = launchpad.workflows.find({"metadata.gnome_key": "w"})
    assert launchpad.fireworks.count_documents({"fw_id": {"$in": document["nodes"]}}) == 2


def dead(launch: Mapping[str, Any]) -> bool:
    return bool(launch["fworker"]["name"] == "dead")


def test_only_the_runs_of_dead_workers_are_repeated(launchpad: LaunchPad, tmp_path: Path) -> None:
    add_once(launchpad, [workflow("a"), workflow("b")])
    lost, _ = launchpad.checkout_fw(FWorker(name="dead"), str(tmp_path))
    alive, _ = launchpad.checkout_fw(FWorker(name="alive"), str(tmp_path))
    launchpad.workflows.update_one({"nodes": lost.fw_id}, {"$set": {"locked": True}})  # died holding the lock
    assert rerun_lost(launchpad, dead) == [lost.fw_id]
    assert rerun_lost(launchpad, dead) == []
    assert launchpad.get_fw_by_id(lost.fw_id).state == "READY"
    assert launchpad.get_fw_by_id(alive.fw_id).state == "RUNNING"


def test_a_worker_that_died_between_two_writes(launchpad: LaunchPad, tmp_path: Path) -> None:
    """At each point of FireWorks' check-out and completion: before the launch, after it, after its end."""
    add_once(launchpad, [workflow("a"), workflow("b"), workflow("c")])
    fireworks = launchpad.fireworks
    # reserved, and no launch yet; too fresh at first, for it may be somebody's who is alive
    early = launchpad._get_a_fw_to_run({}, checkout=True)
    assert launchpad.get_fw_by_id(early.fw_id).state == "RESERVED"
    assert rerun_lost(launchpad, dead) == []
    # the launch is there, the Firework still says reserved
    between, _ = launchpad.checkout_fw(FWorker(name="dead"), str(tmp_path))
    fireworks.update_one({"fw_id": between.fw_id}, {"$set": {"state": "RESERVED"}})
    # the launch has ended, the workflow has not heard of it
    ended, launch_id = launchpad.checkout_fw(FWorker(name="dead"), str(tmp_path))
    action = FWAction(stored_data={"result": 42}).to_dict()
    launchpad.launches.update_one({"launch_id": launch_id}, {"$set": {"state": "COMPLETED", "action": action}})

    assert sorted(rerun_lost(launchpad, dead, patience_s=0.0)) == sorted([early.fw_id, between.fw_id, ended.fw_id])
    assert launchpad.get_fw_by_id(early.fw_id).state == "READY"
    assert launchpad.get_fw_by_id(between.fw_id).state == "READY"
    assert launchpad.get_fw_by_id(ended.fw_id).state == "COMPLETED"  # its work is not done again
    assert launchpad.get_fw_by_id(ended.fw_id).launches[-1].action.stored_data == {"result": 42}
    assert rerun_lost(launchpad, dead, patience_s=0.0) == []


def test_an_empty_database_becomes_a_launchpad_and_one_in_use_stays(launchpad: LaunchPad) -> None:
    launchpad.fw_id_assigner.delete_many({})
    prepare_launchpad(launchpad)
    assert launchpad.get_new_fw_id() == 1
    prepare_launchpad(launchpad)
    assert launchpad.get_new_fw_id() == 2


@pytest.mark.parametrize("well", [True, False])
def test_a_worker_that_dies_before_its_workflow_hears_of_it(
    launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, well: bool
) -> None:
    """The Firework has ended, its workflow does not know or has not told, and what comes after waits for ever."""
    first = Firework(End(well=well), name="first")
    second = Firework(End(well=True), spec={"_allow_fizzled_parents": True}, name="second", parents=[first])
    launchpad.add_wf(Workflow([first, second], name="w"))
    ids = {d["name"]: d["fw_id"] for d in launchpad.fireworks.find({}, {"name": 1, "fw_id": 1})}
    monkeypatch.chdir(tmp_path)
    launch_rocket(launchpad, FWorker(), fw_id=ids["first"], strm_lvl="CRITICAL")
    ended = launchpad.get_fw_by_id(ids["first"]).state
    assert ended == ("COMPLETED" if well else "FIZZLED")
    assert refresh_stale(launchpad, 0.0) == []
    for told in ("RUNNING", ended):
        launchpad.fireworks.update_one({"fw_id": ids["second"]}, {"$set": {"state": "WAITING"}})
        states = {f"fw_states.{ids['first']}": told, f"fw_states.{ids['second']}": "WAITING"}
        launchpad.workflows.update_one({}, {"$set": {"state": "RUNNING", **states}})
        assert refresh_stale(launchpad, 3600.0) == []  # perhaps its worker is just about to
        assert refresh_stale(launchpad, 0.0) == [ids["first"]]
        assert launchpad.get_fw_by_id(ids["second"]).state == "READY"
        assert refresh_stale(launchpad, 0.0) == []
