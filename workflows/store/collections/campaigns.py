"""Campaigns: one document each, under the campaign's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymongo import ASCENDING
from pymongo.errors import DuplicateKeyError

from workflows.store.base import Collection, Document, StoreError, now
from workflows.store.states import CampaignState


class CampaignExistsError(StoreError):
    """A campaign of this name is there already."""


class Campaigns(Collection):
    """Reads and writes of `campaigns`."""

    name = "campaigns"

    def exists(self, name: str) -> bool:
        """Whether there is a campaign of this name."""
        return self.documents.find_one({"_id": name}, {"_id": 1}) is not None

    def check_name_is_free(self, name: str) -> None:
        """Before anything is written; `create` makes sure.

        Raises:
            CampaignExistsError: it is taken.
        """
        if self.exists(name):
            raise CampaignExistsError(
                f"campaign '{name}' exists already: see it with 'gnome campaign status {name}', "
                "or choose another name in the file"
            )

    def create(
        self, name: str, settings: Mapping[str, Any], theory: str, scheme: str, directory: str, uid: str
    ) -> None:
        """Reserve the name.

        Args:
            name: of the campaign.
            settings: as validated.
            theory: key of its theory.
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
            "state": CampaignState.RUNNING,
            "reason": "",
            "created": now(),
        }
        try:
            self.documents.insert_one(document)
        except DuplicateKeyError:
            self.check_name_is_free(name)

    def get(self, name: str) -> Document:
        """One campaign.

        Raises:
            StoreError: there is none of this name.
        """
        found = self.documents.find_one({"_id": name})
        if found is None:
            names = ", ".join(sorted(c["_id"] for c in self.documents.find({}, {"_id": 1}))) or "none"
            raise StoreError(f"no campaign '{name}' in database '{self.database.name}' (there are: {names})")
        return dict(found)

    def all(self) -> list[Document]:
        """All campaigns, the oldest first."""
        return list(self.documents.find({}).sort([("created", ASCENDING), ("_id", ASCENDING)]))

    def end(self, name: str, state: CampaignState, reason: str) -> None:
        """Mark a running campaign as "finished" or "failed"; one that has ended keeps its first end."""
        self.documents.update_one(
            {"_id": name, "state": CampaignState.RUNNING}, {"$set": {"state": state, "reason": reason, "ended": now()}}
        )

    def set_state(self, name: str, among: list[CampaignState], to: CampaignState) -> bool:
        """Change the state of a campaign, if it is one of some; returns whether it was."""
        ended = {"ended": now(), "reason": "by its user"} if to == CampaignState.STOPPED else {}
        found = self.documents.update_one({"_id": name, "state": {"$in": among}}, {"$set": {"state": to, **ended}})
        return bool(found.matched_count)

    def set_over(self, name: str, reason: str) -> None:
        """Note that no round follows, and why; what is being relaxed again may still be on its way."""
        self.documents.update_one({"_id": name, "over": None}, {"$set": {"over": reason}})
