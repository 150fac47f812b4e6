"""Rounds of campaigns: what each has come to, and who does its steps.

rounds      _id = name/number
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from pymongo import ASCENDING

from workflows.store import lease
from workflows.store.base import Collection, Document, now


def round_id(campaign: str, number: int) -> str:
    """Key of a round, and of its ensemble of structure networks."""
    return f"{campaign}/{number}"


class Rounds(Collection):
    """Reads and writes of `rounds`."""

    name = "rounds"

    def prepare(self) -> None:
        """Create the indexes; safe to repeat."""
        self.documents.create_index([("campaign", ASCENDING), ("number", ASCENDING)])

    def open(self, campaign: str, number: int) -> None:
        """Begin a round; one that has begun is left as it is."""
        self.documents.update_one(
            {"_id": round_id(campaign, number)},
            {"$setOnInsert": {"campaign": campaign, "number": number, "started": now()}},
            upsert=True,
        )

    def get(self, campaign: str, number: int) -> Document:
        """One round; empty when it has not begun."""
        return dict(self.documents.find_one({"_id": round_id(campaign, number)}) or {})

    def all(self, campaign: str) -> list[Document]:
        """Rounds of a campaign that have begun, in their order."""
        return list(self.documents.find({"campaign": campaign}).sort("number", ASCENDING))

    def update(self, campaign: str, number: int, **fields: Any) -> None:
        """Set fields of a round; `a.b` reaches into one."""
        self.documents.update_one({"_id": round_id(campaign, number)}, {"$set": fields}, upsert=True)

    def mark_sent(self, campaign: str, number: int) -> None:
        """Note when the first relaxations of a round were sent."""
        self.documents.update_one({"_id": round_id(campaign, number), "sent": None}, {"$set": {"sent": now()}})

    def set_counts(self, campaign: str, number: int, counts: Mapping[str, Any], within: str = "counts") -> None:
        """Write counts of a round beside those that are there."""
        self.update(campaign, number, **{f"{within}.{key}": value for key, value in counts.items()})

    def close(self, campaign: str, number: int, result: Mapping[str, Any]) -> None:
        """Write what a round brought. The moment of its first close stays: it says which data the next networks see."""
        key = {"_id": round_id(campaign, number)}
        self.documents.update_one({**key, "closed": None}, {"$set": {"closed": now()}})
        self.documents.update_one(key, {"$set": {"result": dict(result)}})

    @contextmanager
    def claim(self, campaign: str, number: int, step: str) -> Iterator[bool]:
        """Do a step of a round once, whoever and however many try.

        Yields True to the one who is to do it. The others wait until it is done and get False. When the holder dies the
        claim is free again after a lease, and a step must therefore be able to finish what was begun. An error inside
        the block frees the claim at once.
        """
        key = {"_id": round_id(campaign, number)}
        field = f"claims.{step}"
        token = uuid4().hex
        while True:
            mine = {"$set": {field: {"token": token, "at": now(), "done": False}}}
            free = {"$or": [{field: None}, {f"{field}.done": False, f"{field}.at": {"$lt": now() - lease.LEASE}}]}
            if self.documents.find_one_and_update({**key, **free}, mine) is not None:
                break
            claim = (self.documents.find_one(key, {"claims": 1}) or {}).get("claims", {}).get(step)
            if claim is not None and claim["done"]:
                yield False
                return
            time.sleep(0.2)
        held = {**key, f"{field}.token": token}
        try:
            with lease.heartbeat(lambda: self.documents.update_one(held, {"$set": {f"{field}.at": now()}})):
                yield True
        except BaseException:
            self.documents.update_one(held, {"$set": {field: None}})
            raise
        self.documents.update_one(held, {"$set": {f"{field}.done": True}})


def is_done(document: Mapping[str, Any], step: str) -> bool:
    """Whether a step of a round has been done.

    Args:
        document: of the round.
        step: name of the claim.
    """
    return bool((document.get("claims", {}).get(step) or {}).get("done"))
