"""What the loop asks of FireWorks: add workflows once, run again what was lost, find what failed."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fireworks import LaunchPad, Workflow

from workflows.ground.failures import STOPPED, reason_of

CHUNK = 100  # workflows in one bulk insert: well under MongoDB's 16 MB for crystals of hundreds of atoms


def add_once(launchpad: LaunchPad, workflows: Sequence[Workflow]) -> int:
    """Add the workflows that are not there yet, and return how many those were.

    A workflow is known by `metadata["gnome_key"]`. The caller holds a claim (`Rounds.claim`), so nobody else adds the
    same at the same time; what an earlier holder left half-written (FireWorks writes the workflow first, then its
    Fireworks) is written anew.
    """
    added = 0
    for start in range(0, len(workflows), CHUNK):
        chunk = {workflow.metadata["gnome_key"]: workflow for workflow in workflows[start : start + CHUNK]}
        complete = _complete(launchpad, list(chunk))
        missing = [workflow for key, workflow in chunk.items() if key not in complete]
        if missing:
            launchpad.workflows.delete_many({"metadata.gnome_key": {"$in": [w.metadata["gnome_key"] for w in missing]}})
            with contextlib.redirect_stderr(io.StringIO()):  # FireWorks' own progress bar
                launchpad.bulk_add_wfs(missing)
            added += len(missing)
    return added


def _complete(launchpad: LaunchPad, keys: list[str]) -> set[str]:
    """Keys of workflows that are in the database with all their Fireworks."""
    found = list(launchpad.workflows.find({"metadata.gnome_key": {"$in": keys}}, {"nodes": 1, "metadata": 1}))
    nodes = [node for document in found for node in document["nodes"]]
    present = {document["fw_id"] for document in launchpad.fireworks.find({"fw_id": {"$in": nodes}}, {"fw_id": 1})}
    return {d["metadata"]["gnome_key"] for d in found if present.issuperset(d["nodes"])}


def rerun_lost(
    launchpad: LaunchPad, is_lost: Callable[[Mapping[str, Any]], bool], patience_s: float = 30.0
) -> list[int]:
    """Put back the Fireworks whose worker is no more, wherever it died, and return their ids.

    `lpad detect_lostruns` waits until a worker has been silent for longer than its ping interval; this one asks.
    Between two of FireWorks' writes a worker can leave a Firework running whose launch has ended, or reserved with no
    launch.

    Args:
        launchpad: where.
        is_lost: tells of the document of a launch whether its worker is known to be dead.
        patience_s: how long a Firework may be reserved without a launch.
    """
    put_back = []
    for firework in launchpad.fireworks.find({"state": {"$in": ["RUNNING", "RESERVED"]}}):
        fw_id = firework["fw_id"]
        last = launchpad.launches.find_one({"launch_id": firework["launches"][-1]}) if firework["launches"] else None
        if last is None or last["fw_id"] != fw_id:
            if firework["state"] == "RUNNING" or _age_s(firework) < patience_s:
                continue
        elif not is_lost(last):
            continue
        _break_stale_lock(launchpad, fw_id)
        if last is not None and last["state"] in ("COMPLETED", "FIZZLED"):
            launchpad._refresh_wf(fw_id)  # the work was done and written: only the workflow has not heard of it
        else:
            launchpad.rerun_fw(fw_id)
        put_back.append(fw_id)
    return put_back


def refresh_stale(launchpad: LaunchPad, patience_s: float = 30.0, among: Mapping[str, Any] | None = None) -> list[int]:
    """Let workflows hear of Fireworks that have ended without them, and return the ids of these.

    A worker that dies between writing a Firework's end and refreshing its workflow leaves what comes after it waiting
    for ever: neither running nor reserved, so nobody finds it lost.

    Args:
        launchpad: where.
        patience_s: how long ago the Firework has to have ended; a living worker needs milliseconds.
        among: query for the workflows that are looked at; None for all.
    """
    refreshed: list[int] = []
    unfinished = {**(among or {}), "state": {"$nin": ["COMPLETED", "ARCHIVED", "DEFUSED"]}}
    workflows = list(launchpad.workflows.find(unfinished, {"nodes": 1, "fw_states": 1, "links": 1}))
    for start in range(0, len(workflows), CHUNK):
        part = workflows[start : start + CHUNK]
        query = {"fw_id": {"$in": [node for workflow in part for node in workflow["nodes"]]}}
        fields = {"fw_id": 1, "state": 1, "updated_on": 1, "spec._allow_fizzled_parents": 1}
        found = {firework["fw_id"]: firework for firework in launchpad.fireworks.find(query, fields)}
        for workflow in part:
            fireworks = {node: found[node] for node in workflow["nodes"] if node in found}
            refreshed += _refresh_workflow(launchpad, workflow, fireworks, patience_s)
    return refreshed


def _refresh_workflow(
    launchpad: LaunchPad, workflow: dict[str, Any], fireworks: dict[int, dict[str, Any]], patience_s: float
) -> list[int]:
    refreshed = []
    for fw_id, firework in sorted(fireworks.items()):
        if firework["state"] not in ("COMPLETED", "FIZZLED") or _age_s(firework) < patience_s:
            continue
        children = workflow["links"].get(str(fw_id), [])
        held = [child for child in children if _is_held_back(child, fireworks, workflow)]
        if workflow.get("fw_states", {}).get(str(fw_id)) == firework["state"] and not held:
            continue
        _break_stale_lock(launchpad, fw_id)
        for waiting in (fw_id, *held):
            launchpad._refresh_wf(waiting)
        refreshed.append(fw_id)
    roots = fireworks.keys() - {child for children in workflow["links"].values() for child in children}
    for fw_id in sorted(root for root in roots if fireworks[root]["state"] == "WAITING"):  # after a pause
        launchpad._refresh_wf(fw_id)
        refreshed.append(fw_id)
    return refreshed


def _is_held_back(fw_id: int, fireworks: dict[int, dict[str, Any]], workflow: dict[str, Any]) -> bool:
    """Whether a Firework waits although all that it waits for has ended."""
    firework = fireworks.get(fw_id)
    if firework is None or firework["state"] != "WAITING":
        return False
    allowed = {"COMPLETED"}
    if firework.get("spec", {}).get("_allow_fizzled_parents"):
        allowed.add("FIZZLED")
    parents = [parent for parent in fireworks if fw_id in workflow["links"].get(str(parent), [])]
    return all(fireworks[parent]["state"] in allowed for parent in parents)


def _age_s(firework: dict[str, Any]) -> float:
    """Seconds since a Firework's state changed."""
    updated = datetime.fromisoformat(str(firework["updated_on"]))
    return (datetime.now(UTC) - (updated if updated.tzinfo else updated.replace(tzinfo=UTC))).total_seconds()


def rerun_interrupted(launchpad: LaunchPad, campaign: str) -> list[int]:
    """Run again the Fireworks of a campaign that somebody stopped by Ctrl-C, and return their ids."""
    rerun = []
    for fw_id, reason in fizzled(launchpad, campaign).items():
        if reason.startswith(STOPPED):
            launchpad.rerun_fw(fw_id)
            rerun.append(fw_id)
    return rerun


def fizzled(launchpad: LaunchPad, campaign: str) -> dict[int, str]:
    """Failed Fireworks of a campaign, relaxations included: id -> last line of the traceback."""
    failed = [document["fw_id"] for document in launchpad.fireworks.find({"state": "FIZZLED"}, {"fw_id": 1})]
    found: dict[int, str] = {}
    for start in range(0, len(failed), CHUNK):
        part = set(failed[start : start + CHUNK])
        query = {"nodes": {"$in": sorted(part)}, "metadata.campaign": campaign, "state": {"$ne": "COMPLETED"}}
        for workflow in launchpad.workflows.find(query, {"nodes": 1}):
            found |= {fw_id: reason_of(launchpad, fw_id) for fw_id in sorted(part.intersection(workflow["nodes"]))}
    return found


def start_firework(launchpad: LaunchPad, campaign: str) -> tuple[int, Any, str] | None:
    """The latest Firework that is to start a campaign: id, settings, why it failed (empty when it has not)."""
    for firework in launchpad.fireworks.find({"spec.campaign.name": campaign}).sort("fw_id", -1).limit(1):
        failed = firework["state"] == "FIZZLED"
        reason = reason_of(launchpad, firework["fw_id"]) if failed else ""
        return firework["fw_id"], firework["spec"]["campaign"], reason
    return None


def _break_stale_lock(launchpad: LaunchPad, fw_id: int, patience_s: float = 5.0) -> None:
    """A worker that dies while it holds a workflow's lock leaves it locked; a living one holds it for milliseconds."""
    deadline = time.monotonic() + patience_s
    while launchpad.workflows.find_one({"nodes": fw_id, "locked": {"$exists": True}}, {"_id": 1}):
        if time.monotonic() > deadline:
            launchpad.workflows.find_one_and_update({"nodes": fw_id}, {"$unset": {"locked": True}})
        time.sleep(0.2)


def prepare_launchpad(launchpad: LaunchPad) -> None:
    """Make an empty database a LaunchPad (counters, indexes), as `lpad reset` does; one in use is left as it is."""
    if launchpad.fw_id_assigner.find_one({}) is None:
        # the document that LaunchPad.reset writes; an upsert, so that two processes cannot reset each other
        counters = {"next_fw_id": 1, "next_launch_id": 1}
        launchpad.fw_id_assigner.update_one({"_id": -1}, {"$setOnInsert": counters}, upsert=True)
        launchpad.tuneup()
