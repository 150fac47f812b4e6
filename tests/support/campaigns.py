"""Whole campaigns in this process, and what they have written."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

from fireworks import FWorker, LaunchPad
from fireworks.core.rocket_launcher import launch_rocket, rapidfire

from workflows.campaign.plan import start_workflow
from workflows.campaign.settings import CampaignSettings, parse_settings
from workflows.store import Store


def small_campaign(directory: Path, **changes: Any) -> CampaignSettings:
    """Two metals, a few crystals, one round."""
    settings: dict[str, Any] = {
        "name": "emt",
        "elements": ["Cu", "Au"],
        "theory": {"name": "emt", "fmax": 0.05, "max_steps": 200},
        "seeds": {"limit": 4, "max_sites": 4, "references": 1},
        "structural": {"threshold": 0.00001, "max_sites": 4, "limit": 40, "polymorphs": False},
        "network": {
            "members": 2,
            "hidden": [8, 8],
            "epochs": 4,
            "batch_size": 8,
            "learning_rate": 0.003,
            "starts": "own",
        },
        "screening": {"threshold": 2.0, "volumes": 3, "max_relaxations": 3},
        "rounds": 1,
        "directory": str(directory / "campaign"),
    }
    return parse_settings({**settings, **changes}, "test")


def run_ready(launchpad: LaunchPad, directory: Path) -> None:
    """What `rlaunch rapidfire` does, in this process: run what is ready until nothing is."""
    directory.mkdir(parents=True, exist_ok=True)
    here = os.getcwd()
    try:
        rapidfire(launchpad, m_dir=str(directory), strm_lvl="CRITICAL")
    finally:
        os.chdir(here)


def run_all(launchpad: LaunchPad, settings: CampaignSettings, directory: Path) -> Store:
    """What `lpad add` and `rlaunch rapidfire` do, in this process."""
    launchpad.add_wf(start_workflow(settings))
    run_ready(launchpad, directory)
    return Store(launchpad.db)


def run_all_twice(launchpad: LaunchPad, settings: CampaignSettings, directory: Path) -> Store:
    """Every Firework runs, is put back, and runs again before the next one may start."""
    launchpad.add_wf(start_workflow(settings))
    here = os.getcwd()
    try:
        while ready := launchpad.get_fw_ids({"state": "READY"}, sort=[("spec._priority", -1), ("fw_id", 1)]):
            for attempt in range(2):
                place = directory / f"{ready[0]}-{attempt}"
                place.mkdir(parents=True)
                os.chdir(place)
                launch_rocket(launchpad, FWorker(), fw_id=ready[0], strm_lvl="WARNING")
                if attempt == 0:
                    launchpad.rerun_fw(ready[0])
    finally:
        os.chdir(here)
    return Store(launchpad.db)


def contents(store: Store) -> dict[str, Any]:
    """What a campaign has written, without times and random keys."""
    entries = {
        d["_id"]: (d["formula"], round(d["energy"], 6), round(d["stability"]["e_above_hull"], 6), d["lineage"])
        for d in store.database["entries"].find({})
    }
    candidates = {d["_id"]: (d["state"], d.get("reason"), d["round"]) for d in store.database["candidates"].find({})}
    searches = {
        d["_id"]: (d["state"], d["counts"], d.get("reason"), d["round"]) for d in store.database["searches"].find({})
    }
    rounds = {
        d["_id"]: (d["counts"], d["result"]) for d in store.database["rounds"].find({"result": {"$exists": True}})
    }
    return {"entries": entries, "candidates": candidates, "searches": searches, "rounds": rounds}


def stages(launchpad: LaunchPad) -> Counter[str]:
    """How often each workflow of ours is in the database."""
    return Counter(d["metadata"].get("gnome_key") for d in launchpad.workflows.find({}, {"metadata": 1}))
