"""Campaigns and their rounds.

campaigns   _id = name
rounds      _id = name/number
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

from pymongo import ASCENDING
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from workflows.store.connected import StoreError, now

# How long the holder of a claim may be silent before another may finish its work.
LEASE = timedelta(seconds=60)


class CampaignExistsError(StoreError):
    """A campaign of this name is there already."""


def round_id(campaign: str, number: int) -> str:
    return f"{campaign}/{number}"


class Campaigns:
    """Reads and writes of `campaigns` and `rounds`."""

    database: Database[Any]
    campaigns: Collection[Any]
    rounds: Collection[Any]

    def has_campaign(self, name: str) -> bool:
        return self.campaigns.find_one({"_id": name}, {"_id": 1}) is not None

    def check_name_is_free(self, name: str) -> None:
        """Before anything is written; `create_campaign` makes sure.

        Raises:
            CampaignExistsError: it is taken.
        """
        if self.has_campaign(name):
            raise CampaignExistsError(
                f"campaign '{name}' exists already: see it with 'gnome campaign status {name}', "
                "or choose another name in the file"
            )

    def create_campaign(
        self, name: str, settings: Mapping[str, Any], theory: str, scheme: str, directory: str, uid: str
    ) -> None:
        """Reserve the name.

        Args:
            name: of the campaign.
            settings: as validated.
            theory: key of its level of theory.
            scheme: corrections of that theory.
            directory: where its files are, for every worker.
            uid: tells it from a campaign of the same name in another database.

        Raises:
            CampaignExistsError: the name is taken.
        """
        document = {
            "_id": name,
            "settings": dict(settings),
            "theory": theory,
            "scheme": scheme,
            "directory": directory,
            "uid": uid,
            "state": "running",
            "reason": "",
            "created": now(),
        }
        try:
            self.campaigns.insert_one(document)
        except DuplicateKeyError:
            self.check_name_is_free(name)

    def campaign(self, name: str) -> dict[str, Any]:
        """One campaign.

        Raises:
            StoreError: there is none of this name.
        """
        found = self.campaigns.find_one({"_id": name})
        if found is None:
            names = ", ".join(sorted(c["_id"] for c in self.campaigns.find({}, {"_id": 1}))) or "none"
            raise StoreError(f"no campaign '{name}' in database '{self.database.name}' (there are: {names})")
        return dict(found)

    def all_campaigns(self) -> list[dict[str, Any]]:
        return list(self.campaigns.find({}).sort([("created", ASCENDING), ("_id", ASCENDING)]))

    def end_campaign(self, name: str, state: str, reason: str) -> None:
        """Mark a running campaign as "finished" or "failed"; one that has ended keeps its first end."""
        self.campaigns.update_one(
            {"_id": name, "state": "running"}, {"$set": {"state": state, "reason": reason, "ended": now()}}
        )

    def set_campaign_state(self, name: str, among: list[str], to: str) -> bool:
        """Change the state of a campaign, if it is one of some; returns whether it was."""
        ended = {"ended": now(), "reason": "by its user"} if to == "stopped" else {}
        found = self.campaigns.update_one({"_id": name, "state": {"$in": among}}, {"$set": {"state": to, **ended}})
        return bool(found.matched_count)

    def campaign_is_over(self, name: str, reason: str) -> None:
        """Note that no round follows, and why; what is being relaxed again may still be on its way."""
        self.campaigns.update_one({"_id": name, "over": None}, {"$set": {"over": reason}})

    # rounds

    def open_round(self, campaign: str, number: int) -> None:
        self.rounds.update_one(
            {"_id": round_id(campaign, number)},
            {"$setOnInsert": {"campaign": campaign, "number": number, "started": now()}},
            upsert=True,
        )

    def round(self, campaign: str, number: int) -> dict[str, Any]:
        """One round; empty when it has not begun."""
        return dict(self.rounds.find_one({"_id": round_id(campaign, number)}) or {})

    def all_rounds(self, campaign: str) -> list[dict[str, Any]]:
        return list(self.rounds.find({"campaign": campaign}).sort("number", ASCENDING))

    def update_round(self, campaign: str, number: int, **fields: Any) -> None:
        self.rounds.update_one({"_id": round_id(campaign, number)}, {"$set": fields}, upsert=True)

    def round_is_sent(self, campaign: str, number: int) -> None:
        """Note when the first relaxations of a round were sent."""
        self.rounds.update_one({"_id": round_id(campaign, number), "sent": None}, {"$set": {"sent": now()}})

    def close_round(self, campaign: str, number: int, result: Mapping[str, Any]) -> None:
        """Write what a round brought. The moment of its first close stays: it says which data the next networks see."""
        key = {"_id": round_id(campaign, number)}
        self.rounds.update_one({**key, "closed": None}, {"$set": {"closed": now()}})
        self.rounds.update_one(key, {"$set": {"result": dict(result)}})

    @contextmanager
    def claim(self, campaign: str, number: int, step: str) -> Iterator[bool]:
        """Do a step of a round once, whoever and however many try.

        Yields True to the one who is to do it. The others wait until it is done and get False. The holder tells every
        quarter of LEASE that it is alive; when it dies the claim is free again after LEASE (clocks of the machines may
        differ by less than that), and a step must therefore be able to finish what was begun. An error inside the
        block frees the claim at once.
        """
        key = {"_id": round_id(campaign, number)}
        field = f"claims.{step}"
        token = uuid4().hex
        while True:
            mine = {"$set": {field: {"token": token, "at": now(), "done": False}}}
            free = {"$or": [{field: None}, {f"{field}.done": False, f"{field}.at": {"$lt": now() - LEASE}}]}
            if self.rounds.find_one_and_update({**key, **free}, mine) is not None:
                break
            claim = (self.rounds.find_one(key, {"claims": 1}) or {}).get("claims", {}).get(step)
            if claim is not None and claim["done"]:
                yield False
                return
            time.sleep(0.2)
        done = threading.Event()
        heart = threading.Thread(target=self._beat, args=({**key, f"{field}.token": token}, field, done), daemon=True)
        heart.start()
        try:
            yield True
        except BaseException:
            self.rounds.update_one({**key, f"{field}.token": token}, {"$set": {field: None}})
            raise
        finally:
            done.set()
            heart.join()
        self.rounds.update_one({**key, f"{field}.token": token}, {"$set": {f"{field}.done": True}})

    @contextmanager
    def exclusive(self, what: str) -> Iterator[bool]:
        """Do something that only one may do at a time; yields False, at once, where another is at it.

        The holder tells every quarter of LEASE that it is alive; one that has been silent for LEASE is taken for dead.
        """
        schema, key, token = self.database["schema"], {"_id": f"exclusive {what}"}, uuid4().hex
        schema.update_one(key, {"$setOnInsert": {"at": None, "token": None}}, upsert=True)
        free = {"$or": [{"at": None}, {"at": {"$lt": now() - LEASE}}]}
        if schema.find_one_and_update({**key, **free}, {"$set": {"at": now(), "token": token}}) is None:
            yield False
            return
        done = threading.Event()

        def beat() -> None:
            while not done.wait(LEASE.total_seconds() / 4):
                schema.update_one({**key, "token": token}, {"$set": {"at": now()}})

        heart = threading.Thread(target=beat, daemon=True)
        heart.start()
        try:
            yield True
        finally:
            done.set()
            heart.join()
            schema.update_one({**key, "token": token}, {"$set": {"at": None}})

    def _beat(self, mine: Mapping[str, Any], field: str, done: threading.Event) -> None:
        while not done.wait(LEASE.total_seconds() / 4):
            self.rounds.update_one(mine, {"$set": {f"{field}.at": now()}})
