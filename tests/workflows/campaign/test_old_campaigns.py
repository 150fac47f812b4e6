"""Campaigns that an earlier version began go on with this one, to the end that the earlier version came to."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from campaigns import run_ready
from fireworks import LaunchPad
from old_campaigns import NAMES, came_to, expected, restore

from workflows.store import Store, check_server


def test_they_come_to_the_same_end(launchpad: LaunchPad, tmp_path: Path) -> None:
    before = restore(launchpad, tmp_path)
    check_server(launchpad.db)
    store = Store(launchpad.db)
    store.prepare()
    queued = Counter(
        firework["spec"]["_tasks"][0]["_fw_name"]
        for firework in before["fireworks"]
        if firework["state"] in ("READY", "WAITING")
    )
    assert {name.rpartition(".")[2].strip("}") for name in queued} == {
        "RunJob", "RecordRelaxation", "MakeCrystals", "PrerelaxCrystals", "RecordSearch", "RelaxMany", "Resume"
    }  # fmt: skip
    run_ready(launchpad, tmp_path / "launches")

    assert json.loads(json.dumps(came_to(launchpad))) == expected()
    for name in NAMES:
        assert store.campaigns.get(name)["state"] == "finished"
        assert [row["number"] for row in store.rounds.all(name)] == [0, 1, 2, 3, 4]
        assert all(row["result"]["outstanding"] == 0 for row in store.rounds.all(name))
        assert store.candidates.count_unended(name) == 0
    assert store.rechecks.tally("both") == {"relaxed": store.database["candidates"].count_documents({"round": None})}
    # what was done is not done again, and nothing is there twice
    assert launchpad.get_fw_ids({"state": {"$ne": "COMPLETED"}}) == []
    done = {firework["fw_id"] for firework in before["fireworks"] if firework["state"] == "COMPLETED"}
    later = launchpad.launches.distinct(
        "fw_id", {"launch_id": {"$gt": max(x["launch_id"] for x in before["launches"])}}
    )
    assert done.isdisjoint(later)
    keys = Counter(d["metadata"]["gnome_key"] for d in launchpad.workflows.find({}, {"metadata": 1}))
    assert set(keys.values()) == {1}
    for collection in ("entries", "candidates"):
        for old in before[collection]:
            new = store.database[collection].find_one({"_id": old["_id"]})
            assert new is not None
            if old.get("state") != "selected":  # of an entry only its place on the hull, and who has it, may change
                same = old.keys() - {"stability", "changed", "campaigns", "displaced", "doubtful", "novelty"}
                assert {key: new[key] for key in same} == {key: old[key] for key in same}
