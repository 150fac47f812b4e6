"""The database: the only door to MongoDB.

Collections (design, section 4): `campaigns`, `rounds`, `candidates`, `entries`, `models`, and `searches`, `imports`;
`optimade_*` for what is served.
Every write is an upsert under a content hash or a name, so a Firework that runs twice changes nothing the second time.
Only features that MongoDB and the embedded server share are used.
"""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING
from pymongo.database import Database

from workflows.store.campaigns import CampaignExistsError, Campaigns, round_id
from workflows.store.candidates import ENDED, Candidates
from workflows.store.connected import SCHEMA_VERSION, StoreError, check_server, now, utc
from workflows.store.entries import Entries, OutsideEntry
from workflows.store.fireworks import Fireworks
from workflows.store.imports import Imports
from workflows.store.learning import Learning
from workflows.store.published import Published
from workflows.store.searches import Searches, search_id

__all__ = [
    "ENDED",
    "CampaignExistsError",
    "OutsideEntry",
    "Store",
    "StoreError",
    "check_server",
    "job_store",
    "now",
    "round_id",
    "search_id",
    "utc",
]


def job_store(database: Database[Any]) -> Any:
    """jobflow's store, in the same database: documents in `jobflow_outputs`, large objects in `jobflow_data`."""
    from jobflow import JobStore
    from maggma.stores import MongoStore

    return JobStore(
        MongoStore.from_collection(database["jobflow_outputs"]),
        additional_stores={"data": MongoStore.from_collection(database["jobflow_data"])},
    )


class Store(Campaigns, Candidates, Entries, Fireworks, Imports, Learning, Published, Searches):
    """Reads and writes of the loop, collection by collection.

    Args:
        database: the LaunchPad's database (`launchpad.db`).
    """

    def __init__(self, database: Database[Any]) -> None:
        self.database = database
        self.campaigns = database["campaigns"]
        self.rounds = database["rounds"]
        self.candidates = database["candidates"]
        self.entries = database["entries"]
        self.models = database["models"]
        self.imports = database["imports"]
        self.searches = database["searches"]

    def prepare(self) -> None:
        """Create the indexes and note the version of the data; safe to repeat."""
        self.database["schema"].update_one(
            {"_id": "gnome-torch"}, {"$setOnInsert": {"version": SCHEMA_VERSION}}, upsert=True
        )
        self.rounds.create_index([("campaign", ASCENDING), ("number", ASCENDING)])
        self.candidates.create_index([("campaign", ASCENDING), ("round", ASCENDING), ("state", ASCENDING)])
        self.candidates.create_index([("campaign", ASCENDING), ("search", ASCENDING)])
        self.candidates.create_index([("recheck_of", ASCENDING)])
        self.entries.create_index([("theory", ASCENDING), ("chemsys", ASCENDING)])
        self.entries.create_index([("theory", ASCENDING), ("formula", ASCENDING)])
        self.entries.create_index([("campaigns", ASCENDING), ("stability.e_above_hull", ASCENDING)])
        self.entries.create_index([("outside.record", ASCENDING)])
        self.entries.create_index([("chemsys", ASCENDING), ("stability.e_above_hull", ASCENDING)])
        self.entries.create_index([("elements", ASCENDING), ("stability.e_above_hull", ASCENDING)])
        self.entries.create_index([("formula", ASCENDING)])
        self.entries.create_index([("stability.e_above_hull", ASCENDING)])
        self.entries.create_index([("lineage.round", ASCENDING), ("stability.e_above_hull", ASCENDING)])
        self.entries.create_index([("novelty.prototype", ASCENDING), ("lineage.round", ASCENDING)])
        # what `gnome serve` looks for, again and again
        self.entries.create_index([("changed", ASCENDING)])
        self.entries.create_index([("recheck_of", ASCENDING)])
        self.models.create_index([("campaign", ASCENDING), ("round", ASCENDING)])
        self.searches.create_index([("campaign", ASCENDING), ("round", ASCENDING), ("state", ASCENDING)])
        self.searches.create_index([("theory", ASCENDING), ("counts.pre_relaxed", ASCENDING)])
        # what keeps a workflow from being added twice, see workflows/launch.py
        self.database["workflows"].create_index([("metadata.gnome_key", ASCENDING)])

    def job_output(self, uuid: str) -> dict[str, Any] | None:
        """Output of a jobflow job, None when it has none."""
        store = job_store(self.database)
        store.connect()
        document = store.query_one({"uuid": uuid}, sort={"index": -1}, load=True)
        return document["output"] if document else None
