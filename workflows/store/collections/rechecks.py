"""Candidates of no round: phases of a campaign that are relaxed again at another theory.

candidates  _id = name/recheck/entry key; round: None; state: selected -> relaxed | failed
"""

from __future__ import annotations

from collections.abc import Collection as Some
from collections.abc import Iterable, Mapping
from typing import Any

from pymongo import ASCENDING, UpdateOne

from workflows.store.base import Collection, Document, chunks, now
from workflows.store.states import CandidateState


class Rechecks(Collection):
    """Reads and writes of rechecks, which are kept among the candidates."""

    name = "candidates"

    def prepare(self) -> None:
        """Create the indexes; safe to repeat."""
        self.documents.create_index([("recheck_of", ASCENDING)])

    def select(self, campaign: str, number: int, theory: str, entries: Iterable[Mapping[str, Any]]) -> None:
        """Write what is to be relaxed again at another theory; what is there already is left as it is.

        These belong to no round (`round` is None): they count in no hit rate and teach no network.

        Args:
            campaign: name.
            number: round after which they were chosen.
            theory: key of the other theory.
            entries: documents of the entries, with their crystals.
        """
        operations = []
        for entry in entries:
            document = {
                "campaign": campaign,
                "round": None,
                "after_round": number,
                "state": CandidateState.SELECTED,
                "formula": entry["formula"],
                "structure": entry["structure"],
                "lineage": {
                    **{k: v for k, v in entry["lineage"].items() if k != "campaign"},
                    "parent_id": entry["_id"],
                },
                "prediction": None,
                "search": None,
                "recheck_of": entry["_id"],
                "theory": theory,
                "selected": now(),
            }
            key = f"{campaign}/recheck/{entry['_id']}"
            operations.append(UpdateOne({"_id": key}, {"$setOnInsert": document}, upsert=True))
        if operations:
            self.documents.bulk_write(operations, ordered=False)

    def of_entries(self, entries: Some[str]) -> dict[str, Document]:
        """The rechecks of entries, by entry, crystals left out.

        Of several, of different campaigns, the latest that has a result.
        """
        found: dict[str, Document] = {}
        for part in chunks(entries):
            query = {"recheck_of": {"$in": part}}
            documents = self.documents.find(query, {"structure": 0, "restart_structure": 0, "last_structure": 0})
            for document in sorted(documents, key=lambda d: (d["state"] == CandidateState.RELAXED, d["selected"])):
                found[document["recheck_of"]] = dict(document)
        return found

    def unfinished(self, campaign: str, theory: str) -> list[str]:
        """Formulas whose recheck, at a theory, waits or has failed: its hull lacks them."""
        query = {"campaign": campaign, "round": None, "theory": theory, "state": {"$ne": CandidateState.RELAXED}}
        return sorted(document["formula"] for document in self.documents.find(query, {"formula": 1}))

    def failed(self, campaign: str) -> list[tuple[str, str]]:
        """Formula and reason of the rechecks that failed."""
        query = {"campaign": campaign, "round": None, "state": CandidateState.FAILED}
        return sorted((d["formula"], d["reason"]) for d in self.documents.find(query, {"formula": 1, "reason": 1}))

    def tally(self, campaign: str) -> dict[str, int]:
        """How many rechecks are in each state."""
        query = {"campaign": campaign, "round": None}
        counts = {state: int(self.documents.count_documents({**query, "state": state})) for state in CandidateState}
        return {state: count for state, count in counts.items() if count}

    def waiting(self, campaign: str) -> list[Document]:
        """Those that have not ended."""
        query = {"campaign": campaign, "round": None, "state": CandidateState.SELECTED}
        return list(self.documents.find(query).sort("_id", ASCENDING))
