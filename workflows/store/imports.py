"""Imports of outside data: how far each has come.

imports     _id = content hash of source, theory and options
"""

from __future__ import annotations

from typing import Any

from pymongo.collection import Collection

from workflows.store.connected import now


class Imports:
    """Reads and writes of `imports`."""

    imports: Collection[Any]

    def open_import(self, key: str, **fields: Any) -> dict[str, Any]:
        """The record of an import: `state`, `position`, `read`, `new`, `rejected`; begun if there is none."""
        start = {"state": "running", "position": None, "read": 0, "new": 0, "rejected": 0, "rejects_bytes": 0}
        self.imports.update_one(
            {"_id": key}, {"$setOnInsert": {**start, **fields, "started": now(), "ended": None}}, upsert=True
        )
        return dict(self.imports.find_one({"_id": key}) or {})

    def functional_of(self, theory: str) -> str:
        """Functional that the records imported under a theory were computed with; empty where none of them says."""
        found = self.imports.find_one({"theory": theory, "functional": {"$nin": [None, ""]}})
        return str(found["functional"]) if found else ""

    def update_import(self, key: str, **fields: Any) -> None:
        self.imports.update_one({"_id": key}, {"$set": {**fields, "at": now()}})
