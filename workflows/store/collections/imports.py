"""Imports of outside data: how far each has come.

imports     _id = content hash of source, theory and options
"""

from __future__ import annotations

from typing import Any

from gnome_torch.data.origins import Origin, known_origin
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

    def origin_of(self, source: str) -> Origin:
        """Where a source's data come from, as the latest import of it says; before that was kept, by its name."""
        query = {"source": source, "origin": {"$ne": None}}
        found = max(self.documents.find(query, {"origin": 1, "at": 1}), key=lambda d: str(d.get("at")), default=None)
        return Origin(**found["origin"]) if found else known_origin(source)

    def update(self, key: str, **fields: Any) -> None:
        """Set fields of an import, and when that was."""
        self.documents.update_one({"_id": key}, {"$set": {**fields, "at": now()}})
