"""The server as a process that follows the database."""

from __future__ import annotations

import threading
import time
from datetime import datetime
from typing import Any

import requests
from servers import served, structures

from workflows.catalogue.serving.documents import refresh
from workflows.catalogue.serving.running import Follower, Pace
from workflows.store import Store
from workflows.store.embedded import EmbeddedDatabase


def test_report_lies_beside(address: str) -> None:
    assert requests.get(f"{address}/report/", timeout=30).text == "<h1>the report</h1>"


class Noted(Follower):
    """Notes its looks, and ends after the fourth."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.looks: list[datetime | None] = []
        self.stop = threading.Event()

    def look(self, since: datetime | None, *rest: Any) -> None:
        self.looks.append(since)
        if len(self.looks) == 4:
            self.stop.set()
        super().look(since, *rest)


class BreaksOnce:
    """What is served, whose list of ids cannot be read the first time."""

    notice: str | None = None
    forgotten = 0

    def forget(self) -> None:
        self.forgotten += 1
        if self.forgotten == 1:
            raise ConnectionError("reset by peer")

    def __len__(self) -> int:
        return 1


def test_a_look_that_fails_is_made_good(store: Store) -> None:
    """The list of ids could not be read; then nobody reads what the server says any more."""

    def said(line: str) -> None:
        raise BrokenPipeError(line)

    structures = BreaksOnce()
    follower = Noted(store, structures, said, Pace(refresh_s=0.01, rest=0))
    follower.run(follower.stop)
    assert [since is None for since in follower.looks] == [True, True, False, False]
    assert structures.forgotten == 2
    assert structures.notice is None


def test_what_is_computed_later_is_served(database: EmbeddedDatabase, store: Store) -> None:
    key = store.database["entries"].find_one({"nelements": 2})["_id"]
    store.campaigns.create("young", {"elements": ["Cu", "Au"]}, "emt", "none", "", "")
    try:
        with served(database, "--campaign", "young", "--refresh-s", 1) as found:
            assert structures(found) == []
            store.entries.share([key], "young")
            deadline = time.monotonic() + 20
            while not (rows := structures(found)) and time.monotonic() < deadline:
                time.sleep(0.2)
            assert [row["id"] for row in rows] == [key]
    finally:
        store.database["entries"].update_many({}, {"$pull": {"campaigns": "young"}})
        store.database["campaigns"].delete_one({"_id": "young"})
        refresh(store)


def test_a_campaign_alone(database: EmbeddedDatabase, store: Store) -> None:
    """What another campaign has is not served, and not counted."""
    shared = sorted(d["_id"] for d in store.database["entries"].find({}, {"_id": 1}))[:3]
    store.campaigns.create("other", {"elements": ["Cu", "Au"]}, "emt", "none", "", "")
    store.entries.share(shared, "other")
    try:
        with served(database, "--campaign", "other") as found:
            assert [row["id"] for row in structures(found)] == shared
            assert len(structures(found, filter='_gnome_campaigns HAS "emt"')) == 3
            theirs = next(d["_id"] for d in store.database["entries"].find({}, {"_id": 1}) if d["_id"] not in shared)
            assert requests.get(f"{found}/v1/structures/{theirs}", timeout=30).json()["data"] is None
            answer = requests.get(f"{found}/v1/structures", timeout=30).json()
            assert answer["meta"]["data_available"] == 3
    finally:
        store.database["entries"].update_many({}, {"$pull": {"campaigns": "other"}})
        store.database["campaigns"].delete_one({"_id": "other"})
