"""The version of the data, and what only one process of all may do at a time.

schema      _id = "gnome-torch", or "exclusive WHAT"
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from workflows.store import lease
from workflows.store.base import SCHEMA_VERSION, Collection, now


class Schema(Collection):
    """Reads and writes of `schema`."""

    name = "schema"

    def note_version(self) -> None:
        """Note which version writes the data, unless it is there."""
        self.documents.update_one({"_id": "gnome-torch"}, {"$setOnInsert": {"version": SCHEMA_VERSION}}, upsert=True)

    @contextmanager
    def exclusive(self, what: str) -> Iterator[bool]:
        """Do something that only one may do at a time; yields False, at once, where another is at it.

        A holder that has been silent for a lease is taken for dead.
        """
        key, token = {"_id": f"exclusive {what}"}, uuid4().hex
        self.documents.update_one(key, {"$setOnInsert": {"at": None, "token": None}}, upsert=True)
        free = {"$or": [{"at": None}, {"at": {"$lt": now() - lease.LEASE}}]}
        if self.documents.find_one_and_update({**key, **free}, {"$set": {"at": now(), "token": token}}) is None:
            yield False
            return
        held = {**key, "token": token}
        try:
            with lease.heartbeat(lambda: self.documents.update_one(held, {"$set": {"at": now()}})):
                yield True
        finally:
            self.documents.update_one(held, {"$set": {"at": None}})
