"""Pausing, resuming and stopping campaigns: states of their Fireworks, changed in bulk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fireworks import LaunchPad, Workflow
from pymongo import UpdateMany, UpdateOne

from workflows.launch import CHUNK, add_once, refresh_stale
from workflows.store import Store, StoreError

# What has run is recorded even in a paused campaign: a result that waits can be lost.
RECORDED_ANYWAY = "control"


def add_workflows(store: Store, launchpad: LaunchPad, name: str, workflows: Sequence[Workflow]) -> None:
    """Add workflows of a campaign that are not there yet; in a paused campaign they wait."""
    add_once(launchpad, workflows)
    state = store.campaign(name)["state"] if workflows else ""
    if state == "paused":
        _hold(launchpad, name)
    elif state == "stopped":
        _defuse(launchpad, name)


def pause(store: Store, launchpad: LaunchPad, name: str) -> int:
    """Let nothing new begin; what runs goes on to its end and is recorded. Returns how many Fireworks wait.

    Raises:
        StoreError: it does not run.
    """
    _change(store, name, ["running", "paused"], "paused")
    return _hold(launchpad, name)


def resume(store: Store, launchpad: LaunchPad, name: str) -> int:
    """Go on with a paused campaign; safe to repeat. Returns how many Fireworks waited.

    Raises:
        StoreError: it is not paused.
    """
    from workflows.campaign import advance
    from workflows.rechecks import conclude

    _change(store, name, ["paused", "running"], "running")
    released = _set(launchpad, name, {"state": "PAUSED"}, "WAITING")
    refresh_stale(launchpad, 0.0, {"metadata.campaign": name})
    advance(store, launchpad, name)
    conclude(store, name)
    return released


def stop(store: Store, launchpad: LaunchPad, name: str) -> int:
    """End a campaign for good; what runs is recorded, nothing computed is lost. Returns how many Fireworks it dropped.

    Raises:
        StoreError: it has ended already.
    """
    _change(store, name, ["running", "paused", "stopped"], "stopped")
    return _defuse(launchpad, name)


def _change(store: Store, name: str, among: list[str], to: str) -> None:
    state = store.campaign(name)["state"]
    if state not in among or not store.set_campaign_state(name, among, to):
        raise StoreError(f"campaign '{name}' is {state}: only one that is {' or '.join(among[:2])} can be {to}")


def _hold(launchpad: LaunchPad, name: str) -> int:
    for launch_id in _reserved(launchpad, name):
        launchpad.cancel_reservation(launch_id)  # its job in the queue will find nothing to do
    ours = {"state": {"$in": ["READY", "WAITING"]}, "spec._category": {"$ne": RECORDED_ANYWAY}}
    return _set(launchpad, name, ours, "PAUSED")


def _defuse(launchpad: LaunchPad, name: str) -> int:
    for launch_id in _reserved(launchpad, name):
        launchpad.cancel_reservation(launch_id)
    dropped = _set(launchpad, name, {"state": {"$in": ["READY", "PAUSED"]}}, "DEFUSED")
    # what waits for something that runs stays, so that its result is recorded; the rest goes with what it waits for
    for document in list(_unfinished(launchpad, name, {"fw_states": 1, "nodes": 1})):
        if not {"RUNNING", "RESERVED"} & set(document["fw_states"].values()):
            dropped += _set(launchpad, name, {"state": "WAITING", "fw_id": {"$in": document["nodes"]}}, "DEFUSED")
    return dropped


def _unfinished(launchpad: LaunchPad, name: str, fields: dict[str, int]) -> Any:
    query = {"metadata.campaign": name, "state": {"$nin": ["COMPLETED", "ARCHIVED", "DEFUSED"]}}
    return launchpad.workflows.find(query, fields)


def _reserved(launchpad: LaunchPad, name: str) -> list[int]:
    """Latest launches of a campaign's Fireworks that wait in a queue."""
    found = []
    for document in _unfinished(launchpad, name, {"nodes": 1}):
        query = {"fw_id": {"$in": document["nodes"]}, "state": "RESERVED"}
        found += [some["launches"][-1] for some in launchpad.fireworks.find(query, {"launches": 1}) if some["launches"]]
    return found


def _set(launchpad: LaunchPad, name: str, which: dict[str, Any], state: str) -> int:
    """Set the state of some Fireworks of a campaign, in the Fireworks and in what their workflows remember of them."""
    changed = 0
    documents = list(_unfinished(launchpad, name, {"nodes": 1}))
    for start in range(0, len(documents), CHUNK):
        some = documents[start : start + CHUNK]
        owner = {node: document["_id"] for document in some for node in document["nodes"]}
        own = which.get("fw_id", {}).get("$in")
        query = {**which, "fw_id": {"$in": sorted(owner.keys() & set(own) if own is not None else owner)}}
        ids = [document["fw_id"] for document in launchpad.fireworks.find(query, {"fw_id": 1})]
        if not ids:
            continue
        # the state once more in the condition: a worker may have taken one since
        launchpad.fireworks.bulk_write([UpdateMany({**query, "fw_id": {"$in": ids}}, {"$set": {"state": state}})])
        now_so = {d["fw_id"] for d in launchpad.fireworks.find({"fw_id": {"$in": ids}, "state": state}, {"fw_id": 1})}
        marks = [UpdateOne({"_id": owner[i]}, {"$set": {f"fw_states.{i}": state}}) for i in sorted(now_so)]
        if marks:
            launchpad.workflows.bulk_write(marks, ordered=False)
        changed += len(now_so)
    return changed
