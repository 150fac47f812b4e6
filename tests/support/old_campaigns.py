"""Campaigns that version 0.1.0 began: its database and files, as they were when their third round was on its way.

Two campaigns on EMT, two rounds done, `rounds: 4`:

    both    both pipelines, SevenNet before EMT, rechecks; queued: relaxations of its third round (RunJob), their
            rechecks, two random searches
    many    `relaxations.per_firework: 2`; queued: two chunks (RelaxMany)

database.json.gz is every collection as MongoDB's extended JSON, files.tar.gz the campaigns' directories without
TensorBoard's files, expected.json.gz what version 0.1.0 itself came to from there. `@PLACE@` stands for the directory.
"""

from __future__ import annotations

import gzip
import json
import tarfile
from pathlib import Path
from typing import Any

from bson import json_util
from fireworks import LaunchPad

DATA = Path(__file__).parents[1] / "data" / "old_campaigns"
NAMES = ("both", "many")


def restore(launchpad: LaunchPad, place: Path) -> dict[str, list[dict[str, Any]]]:
    """Put the database and the files back, and return the documents as they were.

    Args:
        launchpad: on an empty database.
        place: directory of the files.
    """
    with tarfile.open(DATA / "files.tar.gz") as archive:
        archive.extractall(place, filter="data")
    text = gzip.decompress((DATA / "database.json.gz").read_bytes()).decode()
    documents: dict[str, list[dict[str, Any]]] = json_util.loads(text.replace("@PLACE@", str(place)))
    for name, rows in documents.items():
        launchpad.db[name].delete_many({})
        if rows:
            launchpad.db[name].insert_many(rows)
    return documents


def came_to(launchpad: LaunchPad) -> dict[str, Any]:
    """What the campaigns have come to, as far as it depends neither on the networks of the fourth round nor on how this
    machine rounds when it draws random crystals."""
    db = launchpad.db
    before = {"lineage.round": {"$lt": 4}, "source": {"$ne": "random"}}
    chosen = {"round": {"$in": [0, 1, 2, 3]}, "search": None}
    entries = {
        d["_id"]: [d["formula"], round(d["energy"], 4), d["source"], sorted(d["campaigns"])]
        for d in db["entries"].find(before)
    }
    candidates = {d["_id"]: [d["state"], d["formula"], d["round"]] for d in db["candidates"].find(chosen)}
    searches = {
        d["_id"]: [d["state"], d["counts"], d["round"]] for d in db["searches"].find({"round": {"$in": [1, 2, 3]}})
    }
    workflows = sorted(
        d["metadata"]["gnome_key"]
        for d in db["workflows"].find({"metadata.stage": {"$in": ["start", "round", "search"]}})
        if d["metadata"]["round"] < 4 or d["metadata"]["stage"] == "round"
    )
    states = {d["_id"]: [d["state"], d["reason"]] for d in db["campaigns"].find({})}
    return {
        "entries": entries,
        "candidates": candidates,
        "searches": searches,
        "workflows": workflows,
        "campaigns": states,
    }


def expected() -> dict[str, Any]:
    """What version 0.1.0 came to."""
    found: dict[str, Any] = json.loads(gzip.decompress((DATA / "expected.json.gz").read_bytes()))
    return found
