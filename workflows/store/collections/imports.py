"""Imports of outside data: how far each has come.

imports     _id = content hash of source, theory and options
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gnome_torch.data.origins import Origin, known_origin
from workflows.store.base import Collection, Document, now
from workflows.store.states import ImportState


@dataclass(frozen=True)
class PastImport:
    """An import as its record tells it.

    Attributes:
        theory: name of the theory.
        source: name of the source.
        corrections: of total energies, in the words of the version that imported.
        begun: when it began.
        ended: when something was last written of it.
        potentials: release of VASP's potentials that the source was computed with; empty where it is not known.
        other_potentials: it was said that they may share a hull with those of another release.
    """

    theory: str
    source: str
    corrections: str
    begun: datetime
    ended: datetime
    potentials: str
    other_potentials: bool

    def overlaps(self, other: PastImport) -> bool:
        """Whether entries of the same source may be of either."""
        return self.source == other.source and self.begun <= other.ended and other.begun <= self.ended


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

    def into(self, theory: str) -> list[PastImport]:
        """Imports of total energies into a theory, in the order in which they began."""
        fields = ("source", "identity.corrections", "started", "at", "potentials", "other_potentials")
        past = [
            PastImport(
                theory,
                d["source"],
                d["identity"]["corrections"],
                d["started"],
                d.get("at", d["started"]),
                d.get("potentials") or "",  # earlier versions did not write it
                d.get("other_potentials", False),
            )
            for d in self.documents.find({"theory": theory}, dict.fromkeys(fields, 1))
        ]
        return sorted(past, key=lambda some: some.begun)

    def note(self, key: str, **fields: Any) -> None:
        """Set fields of an import that say nothing of how far it is."""
        self.documents.update_one({"_id": key}, {"$set": fields})

    def sources(self) -> dict[str, int]:
        """How many entries each source has brought into the database."""
        brought: Counter[str] = Counter()
        for document in self.documents.find({}, {"source": 1, "new": 1}):
            brought[document["source"]] += document["new"]
        return dict(sorted(brought.items()))

    def origin_of(self, source: str) -> Origin:
        """Where a source's data come from, as the latest import of it says; before that was kept, by its name."""
        query = {"source": source, "origin": {"$ne": None}}
        found = max(self.documents.find(query, {"origin": 1, "at": 1}), key=lambda d: str(d.get("at")), default=None)
        return Origin(**found["origin"]) if found else known_origin(source)

    def update(self, key: str, **fields: Any) -> None:
        """Set fields of an import, and when that was."""
        self.documents.update_one({"_id": key}, {"$set": {**fields, "at": now()}})
