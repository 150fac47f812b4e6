"""What `gnome serve` shows: OPTIMADE documents, written from the entries and read by the server.

optimade_structures, optimade_references, optimade_links    _id = id that clients see
"""

from __future__ import annotations

from collections.abc import Collection as Some
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bson.codec_options import CodecOptions
from pymongo import ASCENDING, ReplaceOne
from pymongo.errors import BulkWriteError

from workflows.store.base import Collection, Document, Documents, chunks
from workflows.store.collections.entries import DUPLICATE_KEY

DIGEST = "digest"
"""Field with the hash of what a document was made from: what has not changed is not written again."""


class Published(Collection):
    """Reads of `entries` for what is served, and writes of `optimade_*`."""

    name = "entries"

    def found_crystals(self, keys: Some[str]) -> list[Document]:
        """Entries of campaigns in force, without their crystals; neither rechecks nor doubtful ones."""
        query = {"campaigns": {"$ne": []}, "structure": {"$ne": None}, "replaced_by": None, "doubtful": None}
        fields = {"structure": 0, "initial": 0, "calculation.stress": 0}
        return [d for part in chunks(keys) for d in self.documents.find({"_id": {"$in": part}, **query}, fields)]

    def found_or_published(self) -> set[str]:
        """Keys of all entries of campaigns, and of what is served, whether its entry is there or not."""
        found = self.documents.find({"campaigns": {"$ne": []}}, {"_id": 1})
        served = self.collection("structures").find({}, {"_id": 1})
        return {document["_id"] for documents in (found, served) for document in documents}

    def rechecks(self) -> dict[str, Document]:
        """Where phases stand at the theory of their recheck: entry -> `theory`, `stability`; the latest each."""
        # above the empty string is every key, and an index finds them
        query = {"recheck_of": {"$gt": ""}, "stability": {"$ne": None}}
        fields = {"recheck_of": 1, "theory": 1, "stability.e_above_hull": 1, "created": 1}
        found = sorted(self.documents.find(query, fields), key=lambda document: (document["created"], document["_id"]))
        return {document["recheck_of"]: document for document in found}

    def touched(self, since: datetime) -> set[str]:
        """Entries that may have to be served otherwise than before a moment.

        They have changed themselves, or their recheck has.
        """
        keys: set[str] = set()
        fields = {"recheck_of": 1, "campaigns": 1}
        for entry in self.documents.find({"changed": {"$gte": since}}, fields):
            if entry["campaigns"]:
                keys.add(entry["_id"])
            if entry.get("recheck_of"):
                keys.add(entry["recheck_of"])
        return keys

    def collection(self, kind: str) -> Documents[Any]:
        """Documents of a kind: "structures", "references" or "links"; their times are in UTC, and say so."""
        return self.database[f"optimade_{kind}"].with_options(CodecOptions(tz_aware=True))

    def prepare(self, indexed: Some[str]) -> None:
        """Create the indexes of structures; safe to repeat.

        Args:
            indexed: fields that are searched and sorted by; ties are in the order of the ids.
        """
        structures = self.collection("structures")
        structures.create_index([("id", ASCENDING)])
        for field in indexed:
            structures.create_index([(field, ASCENDING), ("_id", ASCENDING)])

    def digests(self, kind: str, keys: Some[str]) -> dict[str, str]:
        """What documents of a kind were made from, by id."""
        there = self.collection(kind)
        return {d["_id"]: d[DIGEST] for part in chunks(keys) for d in there.find({"_id": {"$in": part}}, {DIGEST: 1})}

    def write(self, kind: str, documents: Sequence[Mapping[str, Any]], there: Some[str]) -> None:
        """Write documents.

        Args:
            kind: of document.
            documents: with `_id` and `digest`.
            there: ids that are replaced; the others are new.
        """
        collection = self.collection(kind)
        if new := [dict(document) for document in documents if document["_id"] not in there]:
            try:
                collection.insert_many(new, ordered=False)
            except BulkWriteError as error:
                if any(problem["code"] != DUPLICATE_KEY for problem in error.details["writeErrors"]):
                    raise  # another server that writes the same is no harm
        if changed := [ReplaceOne({"_id": d["_id"]}, dict(d), upsert=True) for d in documents if d["_id"] in there]:
            collection.bulk_write(changed, ordered=False)

    def withdraw(self, kind: str, ids: Some[str]) -> None:
        """Remove documents."""
        for part in chunks(ids):
            self.collection(kind).delete_many({"_id": {"$in": part}})
