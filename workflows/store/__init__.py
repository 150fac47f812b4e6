"""The database: the only door to MongoDB.

collections/    a file each: what is read and written, under keys that are content hashes or names, so that a Firework
                that runs twice changes nothing the second time
launchpad.py    what the loop asks of FireWorks beside that: add once, run again what was lost, find what failed
connection.py   which database
embedded.py     the embedded one
lease.py        who may do what only one may do

Only features that MongoDB and the embedded server share are used.
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from workflows.store.base import StoreError, check_server, now, utc
from workflows.store.collections.campaigns import CampaignExistsError, Campaigns
from workflows.store.collections.candidates import Candidates
from workflows.store.collections.entries import Entries
from workflows.store.collections.entry_documents import OutsideEntry, entry_id
from workflows.store.collections.finds import Finds
from workflows.store.collections.fireworks import Fireworks
from workflows.store.collections.imports import Imports, PastImport
from workflows.store.collections.jobs import Jobs, job_store
from workflows.store.collections.learning import Learning
from workflows.store.collections.models import Models, NetworkKind, model_id
from workflows.store.collections.published import Published
from workflows.store.collections.rechecks import Rechecks
from workflows.store.collections.rounds import Rounds, round_id
from workflows.store.collections.schema import Schema
from workflows.store.collections.searches import Searches, search_id
from workflows.store.states import ENDED, CampaignState, CandidateState, ImportState, SearchState

__all__ = [
    "ENDED",
    "CampaignExistsError",
    "CampaignState",
    "CandidateState",
    "ImportState",
    "NetworkKind",
    "OutsideEntry",
    "PastImport",
    "SearchState",
    "Store",
    "StoreError",
    "check_server",
    "entry_id",
    "job_store",
    "model_id",
    "now",
    "round_id",
    "search_id",
    "utc",
]


class Store:
    """Reads and writes of the loop, by collection.

    Args:
        database: the LaunchPad's database (`launchpad.db`).
    """

    def __init__(self, database: Database[Any]) -> None:
        self.database = database
        self.schema = Schema(database)
        self.campaigns = Campaigns(database)
        self.rounds = Rounds(database)
        self.candidates = Candidates(database)
        self.rechecks = Rechecks(database)
        self.searches = Searches(database)
        self.models = Models(database)
        self.entries = Entries(database)
        self.finds = Finds(database)
        self.learning = Learning(database)
        self.imports = Imports(database)
        self.published = Published(database)
        self.fireworks = Fireworks(database)
        self.jobs = Jobs(database)

    def prepare(self) -> None:
        """Create the indexes and note the version of the data; safe to repeat."""
        self.schema.note_version()
        for collection in (
            self.rounds,
            self.candidates,
            self.rechecks,
            self.entries,
            self.models,
            self.searches,
            self.fireworks,
        ):
            collection.prepare()
