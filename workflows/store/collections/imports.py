"""Imports of outside data: how far each has come.

imports     _id = content hash of source, theory and options
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from workflows.store.base import Collection, Document, now
from workflows.store.states import ImportState


class Imports(Collection):
    """Reads and writes of `imports`."""

    name = "imports"

    def open(self, key: str, **fields: Any) -> Document:
        """The record of an import: `state`, `position`, `read`, `new`, `rejected`; begun if there is none."""
        start = {"state": ImportState.RUNNING, "position": None, "read": 0, "new": 0, "rejected": 0, "rejects_bytes": 0}
        self.documents.update_one(
            {"_id": key}, {"$setOnInsert": {**start, **fields, "started": now(), "ended": None}}, upsert=True
        )
        return dict(self.documents.find_one({"_id": key}) or {})

    def functional_of(self, theory: str) -> str:
        """Functional that the records imported under a theory were computed with; empty where none of them says."""
        found = self.documents.find_one({"theory": theory, "functional": {"$nin": [None, ""]}})
        return str(found["functional"]) if found else ""

    def sources(self) -> dict[str, int]:
        """How many entries each source has brought into the database."""
        brought: Counter[str] = Counter()
        for document in self.documents.find({}, {"source": 1, "new": 1}):
            brought[document["source"]] += document["new"]
        return dict(sorted(brought.items()))

    def update(self, key: str, **fields: Any) -> None:
        """Set fields of an import, and when that was."""
        self.documents.update_one({"_id": key}, {"$set": {**fields, "at": now()}})
