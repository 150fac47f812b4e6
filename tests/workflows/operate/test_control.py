"""Pausing, resuming and stopping campaigns, and campaigns that take turns."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from campaigns import contents, run_all, run_ready, small_campaign, stages
from fireworks import FWorker, LaunchPad
from fireworks.core.rocket_launcher import launch_rocket

from workflows.campaign.begin import register
from workflows.campaign.campaign import Campaign
from workflows.campaign.plan import start_workflow
from workflows.campaign.rounds import advance
from workflows.operate.control import pause, resume, stop
from workflows.store import Store, StoreError, now


def run_one(launchpad: LaunchPad, directory: Path, **query: Any) -> bool:
    directory.mkdir(parents=True, exist_ok=True)
    here = os.getcwd()
    os.chdir(directory)
    try:
        return bool(launch_rocket(launchpad, FWorker(query=query or None), strm_lvl="WARNING"))
    finally:
        os.chdir(here)


def run_rest(launchpad: LaunchPad, directory: Path) -> None:
    run_ready(launchpad, directory)


def test_the_start_waits_too(launchpad: LaunchPad, tmp_path: Path) -> None:
    settings = small_campaign(tmp_path)
    store = Store(launchpad.db)
    register(store, settings)
    launchpad.add_wf(start_workflow(settings))
    campaign = Campaign(store, launchpad, "emt")
    assert pause(campaign) == 1
    run_rest(launchpad, tmp_path / "while-paused")
    assert store.candidates.count("emt", 0) == 0
    assert resume(campaign) == 1
    run_rest(launchpad, tmp_path / "afterwards")
    assert store.campaigns.get("emt")["state"] == "finished"


@pytest.mark.parametrize("at", [1, 4, 15, 18, 25])
def test_paused_and_resumed_it_comes_to_the_same_end(
    database: Any, launchpad: LaunchPad, tmp_path: Path, at: int
) -> None:
    """Wherever it is paused; meanwhile nothing but records runs."""
    other = LaunchPad(host=database.host, port=database.port, name=f"{launchpad.name}_calm", strm_lvl="WARNING")
    other.reset("", require_password=False)
    calm = contents(run_all(other, small_campaign(tmp_path / "calm"), tmp_path / "calm-launches"))
    launchpad.add_wf(start_workflow(small_campaign(tmp_path / "paused")))
    for number in range(at):
        assert run_one(launchpad, tmp_path / "launches" / str(number))
    store = Store(launchpad.db)
    campaign = Campaign(store, launchpad, "emt")
    assert pause(campaign) == pause(campaign) + launchpad.fireworks.count_documents({"state": "PAUSED"})
    seen = launchpad.launches.count_documents({})
    run_rest(launchpad, tmp_path / "while-paused")
    ran = [launch["fw_id"] for launch in launchpad.launches.find({"launch_id": {"$gt": seen}})]
    assert all(launchpad.get_fw_by_id(fw_id).spec["_category"] == "control" for fw_id in ran)
    assert store.campaigns.get("emt")["state"] == "paused"
    resume(campaign)
    run_rest(launchpad, tmp_path / "afterwards")
    assert contents(store) == calm
    assert set(stages(launchpad).values()) == {1}
    assert launchpad.get_fw_ids({"state": {"$ne": "COMPLETED"}}) == []


def test_stopped_for_good(launchpad: LaunchPad, tmp_path: Path, gnome: Callable[..., tuple[int, str, str]]) -> None:
    launchpad.add_wf(start_workflow(small_campaign(tmp_path)))
    for number in range(6):
        run_one(launchpad, tmp_path / "launches" / str(number))
    store = Store(launchpad.db)
    campaign = Campaign(store, launchpad, "emt")
    running, _ = launchpad.checkout_fw(FWorker(query={"spec._category": "relax"}), str(tmp_path))
    kept = store.database["entries"].count_documents({})
    assert kept > 0
    assert stop(campaign) > 0
    assert store.campaigns.get("emt")["state"] == "stopped"
    assert launchpad.get_fw_by_id(running.fw_id).state == "RUNNING"
    launchpad.rerun_fw(running.fw_id)
    run_rest(launchpad, tmp_path / "rest")  # it and its record
    assert store.database["entries"].count_documents({}) == kept + 1
    assert launchpad.get_fw_ids({"state": {"$in": ["READY", "WAITING", "RUNNING"]}}) == []
    with pytest.raises(StoreError, match="campaign 'emt' is stopped: only one that is"):
        resume(campaign)
    with pytest.raises(StoreError, match="campaign 'emt' is stopped"):
        pause(campaign)
    # another campaign goes on from what was computed
    done = run_all(launchpad, small_campaign(tmp_path / "next", name="next"), tmp_path / "next-launches")
    assert done.campaigns.get("next")["state"] == "finished"
    assert done.database["candidates"].count_documents({"campaign": "next", "reused": True}) == kept + 1


def test_campaigns_take_turns(launchpad: LaunchPad, tmp_path: Path) -> None:
    """The second comes when the first has some of its crystals behind it; from then on each has its turn."""
    query = {"spec._category": {"$in": ["control", "relax"]}}
    seeds = {"limit": 12, "max_sites": 4, "references": 1}
    launchpad.add_wf(start_workflow(small_campaign(tmp_path / "a", name="a", seeds=seeds)))
    while launchpad.fireworks.count_documents({"spec._category": "relax", "state": "COMPLETED"}) < 3:
        run_one(launchpad, tmp_path / "launches", **query)
    # of other settings: nothing is shared
    theory = {"name": "emt", "fmax": 0.04, "max_steps": 200}
    launchpad.add_wf(start_workflow(small_campaign(tmp_path / "b", name="b", theory=theory, seeds=seeds)))
    order = ""
    while launchpad.fireworks.count_documents({"spec._category": "relax", "state": "READY"}):
        seen = launchpad.launches.count_documents({})
        run_one(launchpad, tmp_path / "launches", **query)
        for launch in launchpad.launches.find({"launch_id": {"$gt": seen}}):
            firework = launchpad.get_fw_by_id(launch["fw_id"])
            order += firework.name[0] if firework.spec["_category"] == "relax" else ""
    of_a = order.count("a")
    assert of_a >= 5
    assert order.count("b") == of_a + 3
    assert order[: 2 * of_a] == "ab" * of_a


def test_a_round_does_not_wait_for_ever(launchpad: LaunchPad, tmp_path: Path) -> None:
    """`retrain.after_h`: when one has ended and the time is up, the next round begins, once."""
    settings = small_campaign(tmp_path, rounds=2, retrain={"after_h": 1.0})
    launchpad.add_wf(start_workflow(settings))
    store = Store(launchpad.db)
    while store.candidates.count("emt", 1) == 0:
        run_one(launchpad, tmp_path / "launches")
    assert store.candidates.count("emt", 1) > 1
    run_one(launchpad, tmp_path / "launches", **{"spec._category": "relax"})
    run_one(launchpad, tmp_path / "launches", **{"spec._category": "control"})
    assert "round/emt/2" not in stages(launchpad)
    store.database["rounds"].update_one({"_id": "emt/1"}, {"$set": {"sent": now() - timedelta(hours=1.1)}})
    campaign = Campaign(store, launchpad, "emt")
    advance(campaign)
    advance(campaign)
    assert stages(launchpad)["round/emt/2"] == 1
