"""FireWorks' own collections, changed in bulk: its LaunchPad takes a tenth of a second for each Firework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import UpdateOne
from pymongo.database import Database

from workflows.store.connected import chunks

CHUNK = 100  # workflows looked at together


class Fireworks:
    """States of a campaign's Fireworks."""

    database: Database[Any]

    def unfinished_workflows(self, campaign: str) -> list[dict[str, Any]]:
        """Workflows of a campaign that have not ended: `nodes` and `fw_states`.

        Those that FireWorks calls defused too: of these, single Fireworks may have been put back.
        """
        query = {"metadata.campaign": campaign, "state": {"$nin": ["COMPLETED", "ARCHIVED"]}}
        return list(self.database["workflows"].find(query, {"nodes": 1, "fw_states": 1}))

    def launches(self, campaign: str, number: int | None = None) -> list[dict[str, Any]]:
        """Launches of a campaign's Fireworks, repeated ones too: `category`, `state`, `seconds`, `ended`, `cores`.

        `seconds` and `ended` (UTC, as FireWorks writes it) are None for what runs; `cores` of a worker that has not
        said how many it has.

        Args:
            campaign: name.
            number: of the round; None for all.
        """
        whose = {"metadata.campaign": campaign} | ({} if number is None else {"metadata.round": number})
        nodes = [
            node for workflow in self.database["workflows"].find(whose, {"nodes": 1}) for node in workflow["nodes"]
        ]
        found = []
        for some in chunks(nodes):
            fields = {"fw_id": 1, "spec._category": 1}
            fireworks = self.database["fireworks"].find({"fw_id": {"$in": some}}, fields)
            category = {d["fw_id"]: d["spec"].get("_category") or "other" for d in fireworks}
            fields = {"launch_id": 1, "fw_id": 1, "state": 1, "runtime_secs": 1, "time_end": 1}
            fields["fworker.env.cores"] = 1
            for launch in self.database["launches"].find({"fw_id": {"$in": some}}, fields):
                found.append(
                    {
                        "launch_id": launch["launch_id"],
                        "category": category.get(launch["fw_id"], "other"),
                        "state": launch["state"],
                        "seconds": launch.get("runtime_secs"),
                        "ended": launch.get("time_end"),
                        "cores": _number(((launch.get("fworker") or {}).get("env") or {}).get("cores")),
                    }
                )
        return sorted(found, key=lambda launch: launch["launch_id"])

    def set_fireworks(
        self,
        campaign: str,
        which: Mapping[str, Any],
        state: str,
        workflows: Sequence[Mapping[str, Any]] | None = None,
    ) -> int:
        """Set the state of Fireworks, in themselves and in what their workflows remember of them.

        Args:
            campaign: whose.
            which: query.
            state: to set.
            workflows: theirs; None for all of the campaign that have not ended.

        Returns:
            How many are in that state now.
        """
        changed = 0
        documents = self.unfinished_workflows(campaign) if workflows is None else list(workflows)
        fireworks = self.database["fireworks"]
        for start in range(0, len(documents), CHUNK):
            some = documents[start : start + CHUNK]
            owner = {node: document["_id"] for document in some for node in document["nodes"]}
            ids = [d["fw_id"] for d in fireworks.find({"fw_id": {"$in": sorted(owner)}, **which}, {"fw_id": 1})]
            if not ids:
                continue
            # the condition once more: a worker may have taken one since
            fireworks.update_many({**which, "fw_id": {"$in": ids}}, {"$set": {"state": state}})
            so_now = sorted(d["fw_id"] for d in fireworks.find({"fw_id": {"$in": ids}, "state": state}, {"fw_id": 1}))
            marks = [UpdateOne({"_id": owner[i]}, {"$set": {f"fw_states.{i}": state}}) for i in so_now]
            if marks:
                self.database["workflows"].bulk_write(marks, ordered=False)
            changed += len(so_now)
        return changed


def _number(value: Any) -> float | None:
    """What users write into a worker's file is not always one."""
    return value if isinstance(value, int | float) and value > 0 else None
