"""Ensembles of networks that have judged candidates.

models      _id = name/round, or name/round/composition
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pymongo import ASCENDING

from workflows.store.base import Collection, Document, now
from workflows.store.collections.rounds import round_id


class NetworkKind(StrEnum):
    """What networks judge."""

    STRUCTURE = "structure"
    COMPOSITION = "composition"


def model_id(campaign: str, number: int, kind: NetworkKind = NetworkKind.STRUCTURE) -> str:
    """Key of a round's ensemble."""
    key = round_id(campaign, number)
    return key if kind == NetworkKind.STRUCTURE else f"{key}/{kind}"


class Models(Collection):
    """Reads and writes of `models`."""

    name = "models"

    def prepare(self) -> None:
        """Create the indexes; safe to repeat."""
        self.documents.create_index([("campaign", ASCENDING), ("round", ASCENDING)])

    def add(self, key: str, **fields: Any) -> None:
        """Write an ensemble, replacing what an earlier run of the same stage wrote."""
        self.documents.update_one({"_id": key}, {"$set": {**fields, "created": now()}}, upsert=True)

    def get(self, key: str) -> Document:
        """One ensemble; empty when it has not been trained."""
        return dict(self.documents.find_one({"_id": key}) or {})
