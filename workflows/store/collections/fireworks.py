"""FireWorks' own collections, changed in bulk: its LaunchPad takes a tenth of a second for each Firework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import ASCENDING, UpdateOne

from workflows.store.base import Collection, Document, chunks

CHUNK = 100  # workflows looked at together
OVER = ("COMPLETED", "DEFUSED", "ARCHIVED")


class Fireworks(Collection):
    """States of a campaign's Fireworks."""

    name = "fireworks"

    @property
    def workflows(self) -> Any:
        """FireWorks' workflows, as pymongo has them."""
        return self.database["workflows"]

    def prepare(self) -> None:
        """Create the index that keeps a workflow from being added twice (`launchpad.add_once`); safe to repeat."""
        self.workflows.create_index([("metadata.gnome_key", ASCENDING)])

    def unfinished_workflows(self, campaign: str) -> list[Document]:
        """Workflows of a campaign that have not ended: `nodes` and `fw_states`.

        Those that FireWorks calls defused too: of these, single Fireworks may have been put back.
        """
        query = {"metadata.campaign": campaign, "state": {"$nin": ["COMPLETED", "ARCHIVED"]}}
        return list(self.workflows.find(query, {"nodes": 1, "fw_states": 1}))

    def launches(self, campaign: str, number: int | None = None) -> list[Document]:
        """Launches of a campaign's Fireworks, repeated ones too: `category`, `state`, `seconds`, `ended`, `cores`.

        `seconds` and `ended` (UTC, as FireWorks writes it) are None for what runs; `cores` of a worker that has not
        said how many it has.

        Args:
            campaign: name.
            number: of the round; None for all.
        """
        whose = {"metadata.campaign": campaign} | ({} if number is None else {"metadata.round": number})
        nodes = [node for workflow in self.workflows.find(whose, {"nodes": 1}) for node in workflow["nodes"]]
        found: list[Document] = []
        for part in chunks(nodes):
            fields = {"fw_id": 1, "spec._category": 1}
            fireworks = self.documents.find({"fw_id": {"$in": part}}, fields)
            category = {d["fw_id"]: d["spec"].get("_category") or "other" for d in fireworks}
            fields = {"launch_id": 1, "fw_id": 1, "state": 1, "runtime_secs": 1, "time_end": 1, "fworker.env.cores": 1}
            launches = self.database["launches"].find({"fw_id": {"$in": part}}, fields)
            found += [_launch(launch, category.get(launch["fw_id"], "other")) for launch in launches]
        return sorted(found, key=lambda launch: launch["launch_id"])

    def count_workflows(self, campaign: str) -> int:
        """Workflows of a campaign, in whatever state."""
        return int(self.workflows.count_documents({"metadata.campaign": campaign}))

    def count_dropped(self, campaign: str) -> int:
        """Workflows of a campaign's relaxations and searches that were defused or archived."""
        query = {"metadata.campaign": campaign, "state": {"$in": ["DEFUSED", "ARCHIVED"]}}
        return int(self.workflows.count_documents({**query, "metadata.stage": {"$ne": "round"}}))

    def count_alive(self, campaign: str, number: int, stage: str, limit: int) -> int:
        """Workflows of a round's stage that have not ended, counted up to a limit."""
        query = {"metadata.campaign": campaign, "metadata.round": number, "metadata.stage": stage}
        return int(self.workflows.count_documents({**query, "state": {"$nin": list(OVER)}}, limit=limit))

    def queue(self) -> dict[str, dict[str, int]]:
        """Fireworks of the whole database by category and state, of those that have not ended."""
        states = ["WAITING", "READY", "RESERVED", "RUNNING", "PAUSED", "FIZZLED"]
        stages: list[Document] = [
            {"$match": {"state": {"$in": states}}},
            {"$group": {"_id": {"category": "$spec._category", "state": "$state"}, "count": {"$sum": 1}}},
        ]
        queue: dict[str, dict[str, int]] = {}
        for group in self.documents.aggregate(stages):
            queue.setdefault(str(group["_id"].get("category")), {})[group["_id"]["state"]] = group["count"]
        return queue

    def first_rank(self) -> int:
        """Rank of the relaxation that is next in the queue, 0 where none waits."""
        waiting = {"state": "READY", "spec._rank": {"$exists": True}}
        first = self.documents.find(waiting, {"spec._rank": 1}).sort("spec._priority", -1).limit(1)
        return next((document["spec"]["_rank"] for document in first), 0)

    def name_of(self, fw_id: int) -> str:
        """Name of a Firework that is there."""
        document = self.documents.find_one({"fw_id": fw_id}, {"name": 1})
        return str(document["name"]) if document else ""

    def reserved(self) -> list[tuple[int, Document]]:
        """Fireworks that wait in a queue, each with its latest launch."""
        found = []
        for firework in list(self.documents.find({"state": "RESERVED"}, {"fw_id": 1, "launches": 1})):
            last = self.latest_launch(firework)
            if last is not None and last["state"] == "RESERVED":
                found.append((firework["fw_id"], last))
        return found

    def reserved_launches(self, campaign: str) -> list[int]:
        """Latest launches of a campaign's Fireworks that wait in a queue."""
        found: list[int] = []
        for workflow in self.unfinished_workflows(campaign):
            query = {"fw_id": {"$in": workflow["nodes"]}, "state": "RESERVED"}
            found += [d["launches"][-1] for d in self.documents.find(query, {"launches": 1}) if d["launches"]]
        return found

    def latest_launch(self, firework: Mapping[str, Any]) -> Document | None:
        """Document of a Firework's latest launch; None where it has none."""
        launches = firework["launches"]
        return self.database["launches"].find_one({"launch_id": launches[-1]}) if launches else None

    def any_of_jobs(self) -> bool:
        """Whether any launch waits in the queue, or runs, of a job of SLURM."""
        query = {"state": {"$in": ["RESERVED", "RUNNING"]}, "state_history.reservation_id": {"$exists": True}}
        return self.database["launches"].find_one(query, {"_id": 1}) is not None

    def launches_of_jobs(self, directories: Sequence[str]) -> list[Document]:
        """Launches of SLURM's jobs in some directories."""
        query = {"launch_dir": {"$in": list(directories)}, "state_history.reservation_id": {"$exists": True}}
        return list(self.database["launches"].find(query))

    def open_failures(self, over: Sequence[str]) -> list[int]:
        """Fireworks of campaigns that failed and that somebody may wait for.

        Args:
            over: campaigns that have ended: nobody waits for what failed in them.
        """
        failed = [document["fw_id"] for document in self.documents.find({"state": "FIZZLED"}, {"fw_id": 1})]
        found: list[int] = []
        for start in range(0, len(failed), CHUNK):
            part = sorted(failed[start : start + CHUNK])
            query: Document = {"nodes": {"$in": part}, "state": {"$ne": "COMPLETED"}}
            query["metadata.campaign"] = {"$exists": True, "$nin": list(over)}
            nodes = {node for document in self.workflows.find(query, {"nodes": 1}) for node in document["nodes"]}
            found += [fw_id for fw_id in part if fw_id in nodes]
        return found

    def set_state(
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
        fireworks = self.documents
        for start in range(0, len(documents), CHUNK):
            part = documents[start : start + CHUNK]
            owner = {node: document["_id"] for document in part for node in document["nodes"]}
            ids = [d["fw_id"] for d in fireworks.find({"fw_id": {"$in": sorted(owner)}, **which}, {"fw_id": 1})]
            if not ids:
                continue
            # the condition once more: a worker may have taken one since
            fireworks.update_many({**which, "fw_id": {"$in": ids}}, {"$set": {"state": state}})
            so_now = sorted(d["fw_id"] for d in fireworks.find({"fw_id": {"$in": ids}, "state": state}, {"fw_id": 1}))
            marks = [UpdateOne({"_id": owner[i]}, {"$set": {f"fw_states.{i}": state}}) for i in so_now]
            if marks:
                self.workflows.bulk_write(marks, ordered=False)
            changed += len(so_now)
        return changed


def _launch(document: Mapping[str, Any], category: str) -> Document:
    return {
        "launch_id": document["launch_id"],
        "category": category,
        "state": document["state"],
        "seconds": document.get("runtime_secs"),
        "ended": document.get("time_end"),
        "cores": _number(((document.get("fworker") or {}).get("env") or {}).get("cores")),
    }


def _number(value: Any) -> float | None:
    """What users write into a worker's file is not always one."""
    return value if isinstance(value, int | float) and value > 0 else None
