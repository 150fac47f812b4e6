"""Candidates that passed the filter.

candidates  _id = name/candidate key; state: selected -> relaxed | failed
"""

from __future__ import annotations

from collections.abc import Collection as Some
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from pymatgen.core import Structure
from pymongo import ASCENDING, UpdateOne

from gnome_torch.records import Candidate, Prediction
from workflows.store.base import Collection, Document, StoreError, chunks, now
from workflows.store.collections.rounds import round_id
from workflows.store.states import CandidateState


class Candidates(Collection):
    """Reads and writes of `candidates`; those that are relaxed again are `Rechecks`."""

    name = "candidates"

    def prepare(self) -> None:
        """Create the indexes; safe to repeat."""
        self.documents.create_index([("campaign", ASCENDING), ("round", ASCENDING), ("state", ASCENDING)])
        self.documents.create_index([("campaign", ASCENDING), ("search", ASCENDING)])

    def select(
        self,
        campaign: str,
        number: int,
        chosen: Iterable[tuple[Candidate, Structure, Prediction | None, float | None]],
        model_id: str | None,
        search: str | None = None,
    ) -> None:
        """Write the candidates that go to relaxation; those there already are left as they are.

        Args:
            campaign: name.
            number: round.
            chosen: candidate, its crystal, what was predicted, predicted distance to the hull (eV/atom).
            model_id: ensemble that predicted.
            search: composition whose random search made them.
        """
        operations = []
        for candidate, structure, prediction, distance in chosen:
            document = {
                "campaign": campaign,
                "round": number,
                "state": CandidateState.SELECTED,
                "formula": candidate.reduced_formula,
                "structure": structure.as_dict(),
                "lineage": {**asdict(candidate.lineage), "round": number, "model_id": model_id},
                "prediction": {**asdict(prediction), "e_above_hull": distance} if prediction else None,
                "search": search,
                "selected": now(),
            }
            key = f"{campaign}/{candidate.id}"
            operations.append(UpdateOne({"_id": key}, {"$setOnInsert": document}, upsert=True))
        if operations:
            self.documents.bulk_write(operations, ordered=False)

    def get(self, key: str) -> Document:
        """One candidate.

        Raises:
            StoreError: there is none.
        """
        found = self.documents.find_one({"_id": key})
        if found is None:
            raise StoreError(f"no candidate '{key}' in database '{self.database.name}'")
        return dict(found)

    def of_round(self, campaign: str, number: int, state: CandidateState | None = None) -> list[Document]:
        """Those of a round, in one state or in all, in the order of their keys."""
        query: Document = {"campaign": campaign, "round": number}
        if state:
            query["state"] = state
        return list(self.documents.find(query).sort("_id", ASCENDING))

    def relaxed(self, campaign: str) -> list[Document]:
        """What was predicted and has been relaxed, in all rounds: prediction, entry, search; crystals left out."""
        query = {"campaign": campaign, "round": {"$gt": 0}, "state": CandidateState.RELAXED}
        fields = {"round": 1, "formula": 1, "prediction": 1, "entry": 1, "search": 1}
        return sorted(self.documents.find(query, fields), key=lambda document: (document["round"], document["_id"]))

    def waiting(self, campaign: str, number: int, search: str | None) -> list[Document]:
        """Candidates of a round that have not ended: of the random search of a composition, or (None) of no search."""
        query = {"campaign": campaign, "round": number, "state": CandidateState.SELECTED, "search": search}
        return list(self.documents.find(query).sort("_id", ASCENDING))

    def keys(self, campaign: str, number: int, search: str | None) -> list[str]:
        """Keys of a round's candidates in their order: of the search of a composition, or (None) of no search."""
        query = {"campaign": campaign, "round": number, "search": search}
        return sorted(document["_id"] for document in self.documents.find(query, {"_id": 1}))

    def among(self, keys: Some[str], state: CandidateState) -> list[str]:
        """Those of some candidates that are in a state, in their order."""
        found: set[str] = set()
        for part in chunks(keys):
            found |= {d["_id"] for d in self.documents.find({"_id": {"$in": part}, "state": state}, {"_id": 1})}
        return sorted(found)

    def begin(self, key: str) -> Document:
        """Note that a worker begins with a candidate, and return its document, `begun` counted."""
        found = self.documents.find_one_and_update({"_id": key}, {"$inc": {"begun": 1}}, return_document=True)
        return dict(found) if found else self.get(key)

    def leave(self, key: str) -> None:
        """Note that the worker is done with a candidate, or has said why it is not: it has not died of it."""
        self.documents.update_one({"_id": key}, {"$set": {"begun": 0}})

    def restart(self, key: str, restart: int, structure: Structure, **fields: Any) -> None:
        """Note that a relaxation is to go on from its last crystal, once for each attempt.

        Args:
            key: of the candidate.
            restart: number of the attempt that broke off, from 0.
            structure: where it goes on.
            fields: reason and directory, kept in `attempts`.
        """
        before: Document = {"_id": key, "state": {"$in": [CandidateState.SELECTED, CandidateState.FAILED]}}
        before["restarts"] = restart or {"$in": [None, 0]}
        self.documents.update_one(
            before,
            {
                "$set": {
                    "restarts": restart + 1,
                    "restart_structure": structure.as_dict(),
                    "state": CandidateState.SELECTED,
                },
                "$push": {"attempts": {**fields, "ended": now()}},
            },
        )

    def end(self, key: str, state: CandidateState, **fields: Any) -> None:
        """Record how a relaxation ended. A success replaces a failure (a rerun), never the other way round."""
        replaceable = [CandidateState.SELECTED]
        if state == CandidateState.RELAXED:
            replaceable.append(CandidateState.FAILED)
        self.documents.update_one(
            {"_id": key, "state": {"$in": replaceable}}, {"$set": {**fields, "state": state, "ended": now()}}
        )

    def count(self, campaign: str, number: int, states: Some[CandidateState] | None = None) -> int:
        """Candidates of a round, of the given states or all.

        Counted from the records themselves: a count that is kept beside them goes wrong when a worker dies between
        the two writes, or runs twice.
        """
        query: Document = {"campaign": campaign, "round": number}
        if states is not None:
            query["state"] = {"$in": list(states)}
        return int(self.documents.count_documents(query))

    def any_waiting(self, campaign: str, number: int) -> bool:
        """Whether a round has a candidate that has not ended, at a price that does not grow with their number.

        The round remembers one that waits, of those that come last; while that one waits nobody counts. (The embedded
        server reads every document that a query finds, whatever its limit: 0.1 s for ten thousand.)
        """
        key = {"_id": round_id(campaign, number)}
        witness = (self.database["rounds"].find_one(key, {"witness": 1}) or {}).get("witness")
        if witness and self.documents.find_one({"_id": witness, "state": CandidateState.SELECTED}, {"_id": 1}):
            return True
        query = {"campaign": campaign, "round": number, "state": CandidateState.SELECTED}
        waiting = [document["_id"] for document in self.documents.find(query, {"_id": 1})]
        if waiting:
            self.database["rounds"].update_one(key, {"$set": {"witness": max(waiting)}})
        return bool(waiting)

    def tally(self, campaign: str) -> dict[int, dict[str, int]]:
        """For each round, how many candidates are in each state."""
        stages: list[Document] = [
            {"$match": {"campaign": campaign, "round": {"$ne": None}}},
            {"$group": {"_id": {"round": "$round", "state": "$state"}, "count": {"$sum": 1}}},
        ]
        tally: dict[int, dict[str, int]] = {}
        for group in self.documents.aggregate(stages):
            tally.setdefault(group["_id"]["round"], {})[group["_id"]["state"]] = group["count"]
        return tally

    def count_by_formula(self, campaign: str) -> dict[str, int]:
        """How many crystals of each composition a campaign has relaxed or is relaxing; rechecks are none."""
        stages: list[Document] = [
            {"$match": {"campaign": campaign, "round": {"$ne": None}, "state": {"$ne": CandidateState.FAILED}}},
            {"$group": {"_id": "$formula", "count": {"$sum": 1}}},
        ]
        return {group["_id"]: group["count"] for group in self.documents.aggregate(stages)}

    def count_unended(self, campaign: str) -> int:
        """Candidates of all rounds whose relaxation has not ended; rechecks are of no round."""
        query = {"campaign": campaign, "round": {"$ne": None}, "state": CandidateState.SELECTED}
        return int(self.documents.count_documents(query))

    def count_ended(self, campaign: str, since: datetime) -> int:
        """Relaxations of a campaign that ended since a moment, rechecks included."""
        return int(self.documents.count_documents({"campaign": campaign, "ended": {"$gte": since}}))

    def latest_failures(self, campaign: str, limit: int) -> list[Document]:
        """The candidates that failed last, the latest first, crystals left out."""
        query = {"campaign": campaign, "state": CandidateState.FAILED}
        fields = {"formula": 1, "reason": 1, "directory": 1, "ended": 1}
        return list(self.documents.find(query, fields).sort("ended", -1).limit(limit))

    def tried(self, campaign: str) -> set[str]:
        """Candidate keys that a campaign has selected in any round."""
        return {document["_id"] for document in self.documents.find({"campaign": campaign}, {"_id": 1})}

    def first_formulas(self, campaign: str) -> set[str]:
        """Reduced formulas of a campaign's first data."""
        query = {"campaign": campaign, "round": 0}
        return {document["formula"] for document in self.documents.find(query, {"formula": 1})}
