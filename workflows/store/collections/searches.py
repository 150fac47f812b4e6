"""Compositions that passed the filter, and their random structure searches.

searches    _id = campaign/formula; state: selected -> searched | failed
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, UpdateOne

from gnome_torch.records import Prediction
from workflows.store.base import Collection, Document, StoreError, now
from workflows.store.states import SearchState


def search_id(campaign: str, formula: str) -> str:
    """Key of a search."""
    return f"{campaign}/{formula}"


class Searches(Collection):
    """Reads and writes of `searches`."""

    name = "searches"

    def prepare(self) -> None:
        """Create the indexes; safe to repeat."""
        self.documents.create_index([("campaign", ASCENDING), ("round", ASCENDING), ("state", ASCENDING)])
        self.documents.create_index([("theory", ASCENDING), ("counts.pre_relaxed", ASCENDING)])

    def select(
        self,
        campaign: str,
        number: int,
        theory: str,
        chosen: Iterable[tuple[str, Prediction, float]],
        model_id: str,
    ) -> None:
        """Write the compositions that are to be searched; those there already are left as they are.

        Args:
            campaign: name.
            number: round.
            theory: that its crystals are relaxed at.
            chosen: reduced formula, what was predicted, predicted distance to the hull (eV/atom).
            model_id: ensemble that predicted.
        """
        operations = []
        for formula, prediction, distance in chosen:
            document = {
                "campaign": campaign,
                "round": number,
                "theory": theory,
                "formula": formula,
                "state": SearchState.SELECTED,
                "prediction": {**asdict(prediction), "e_above_hull": distance},
                "model_id": model_id,
                "counts": {},
                "selected": now(),
            }
            key = search_id(campaign, formula)
            operations.append(UpdateOne({"_id": key}, {"$setOnInsert": document}, upsert=True))
        if operations:
            self.documents.bulk_write(operations, ordered=False)

    def get(self, campaign: str, formula: str) -> Document:
        """One search.

        Raises:
            StoreError: there is none.
        """
        found = self.documents.find_one({"_id": search_id(campaign, formula)})
        if found is None:
            raise StoreError(f"no search of '{formula}' in campaign '{campaign}' of database '{self.database.name}'")
        return dict(found)

    def of_round(self, campaign: str, number: int, state: SearchState | None = None) -> list[Document]:
        """Searches of a round, in one state or in all, in the order of their keys."""
        query: Document = {"campaign": campaign, "round": number}
        if state:
            query["state"] = state
        return list(self.documents.find(query).sort("_id", ASCENDING))

    def count(self, campaign: str, number: int | None = None, state: SearchState | None = None) -> int:
        """Searches of a round or, without number, of all rounds."""
        query: Document = {"campaign": campaign}
        if number is not None:
            query["round"] = number
        if state:
            query["state"] = state
        return int(self.documents.count_documents(query))

    def formulas(self, campaign: str) -> set[str]:
        """Compositions that a campaign has chosen in any round."""
        return {document["formula"] for document in self.documents.find({"campaign": campaign}, {"formula": 1})}

    def end(self, campaign: str, formula: str, state: SearchState, **fields: Any) -> None:
        """Record that the crystals of a search are candidates now ("searched"), or that there are none ("failed")."""
        replaceable = (
            [SearchState.SELECTED, SearchState.FAILED] if state == SearchState.SEARCHED else [SearchState.SELECTED]
        )
        self.documents.update_one(
            {"_id": search_id(campaign, formula), "state": {"$in": replaceable}},
            {"$set": {**fields, "state": state, "ended": now()}},
        )

    def pre_relaxed_runs(self, theory: str, until: datetime) -> dict[str, int]:
        """Finished pre-relaxations of each composition, the most that a campaign of a theory has made up to a moment.

        Campaigns with the same settings draw the same crystals, so their numbers do not add up.
        """
        runs: dict[str, int] = {}
        query = {"theory": theory, "counts.pre_relaxed": {"$gt": 0}, "ended": {"$lte": until}}
        for document in self.documents.find(query, {"formula": 1, "counts": 1}):
            formula = document["formula"]
            runs[formula] = max(document["counts"]["pre_relaxed"], runs.get(formula, 0))
        return runs

    def unfinished(self, theory: str, until: datetime) -> set[str]:
        """Compositions whose search, or a relaxation of whose crystals, had not ended at a moment."""
        going_on = {"$or": [{"state": SearchState.SELECTED}, {"ended": {"$gt": until}}]}
        found = {s["formula"] for s in self.documents.find({"theory": theory, **going_on}, {"formula": 1})}
        campaigns = {s["campaign"] for s in self.documents.find({"theory": theory}, {"campaign": 1})}
        for campaign in campaigns:
            outstanding = {"campaign": campaign, "search": {"$ne": None}, **going_on}
            found |= {d["search"] for d in self.database["candidates"].find(outstanding, {"search": 1})}
        return found
