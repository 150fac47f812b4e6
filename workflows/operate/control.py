"""Pausing, resuming and stopping campaigns: states of their Fireworks, changed in bulk."""

from __future__ import annotations

from collections.abc import Sequence

from fireworks import LaunchPad, Workflow

from workflows.store import Store, StoreError
from workflows.store.launchpad import add_once, refresh_stale

# What has run is recorded even in a paused campaign: a result that waits can be lost.
RECORDED_ANYWAY = "control"


def add_workflows(store: Store, launchpad: LaunchPad, name: str, workflows: Sequence[Workflow]) -> None:
    """Add workflows of a campaign that are not there yet; in a paused campaign they wait."""
    add_once(launchpad, workflows)
    if workflows and store.campaigns.get(name)["state"] != "running":
        settle_state(store, launchpad, name)


def settle_state(store: Store, launchpad: LaunchPad, name: str) -> int:
    """Make a campaign's Fireworks follow its state, whatever was added or run again since; returns how many did not.

    Running: nothing is paused. Paused: nothing waits but records. Stopped: nothing waits. The state is read once more
    afterwards: somebody may have changed it meanwhile.
    """
    while True:
        state = store.campaigns.get(name)["state"]
        if state == "paused":
            changed = _hold(store, launchpad, name)
        elif state == "stopped":
            changed = _defuse(store, launchpad, name)
        elif state == "running":
            changed = _release(store, launchpad, name)
        else:
            changed = 0
        if store.campaigns.get(name)["state"] == state:
            return changed


def pause(store: Store, launchpad: LaunchPad, name: str) -> int:
    """Let nothing new begin; what runs goes on to its end and is recorded. Returns how many Fireworks wait.

    Raises:
        StoreError: it does not run.
    """
    _change(store, name, ["running", "paused"], "paused")
    return _hold(store, launchpad, name)


def resume(store: Store, launchpad: LaunchPad, name: str) -> int:
    """Go on with a paused campaign; safe to repeat. Returns how many Fireworks waited.

    Raises:
        StoreError: it is not paused.
    """
    from workflows.campaign.begin import advance
    from workflows.campaign.stages.rechecks import conclude

    _change(store, name, ["paused", "running"], "running")
    released = _release(store, launchpad, name)
    advance(store, launchpad, name)
    conclude(store, name)
    return released


def stop(store: Store, launchpad: LaunchPad, name: str) -> int:
    """End a campaign for good; what runs is recorded, nothing computed is lost. Returns how many Fireworks it dropped.

    Raises:
        StoreError: it has ended already.
    """
    from workflows.campaign.stages.rechecks import renew_second_hull

    _change(store, name, ["running", "paused", "stopped"], "stopped")
    dropped = _defuse(store, launchpad, name)
    renew_second_hull(store, name)
    return dropped


def _change(store: Store, name: str, among: list[str], to: str) -> None:
    state = store.campaigns.get(name)["state"]
    if state not in among or not store.campaigns.set_state(name, among, to):
        raise StoreError(f"campaign '{name}' is {state}: only one that is {' or '.join(among[:2])} can be {to}")


def _release(store: Store, launchpad: LaunchPad, name: str) -> int:
    released = store.fireworks.set_state(name, {"state": "PAUSED"}, "WAITING")
    if released:
        refresh_stale(launchpad, 0.0, {"metadata.campaign": name})
    return released


def _hold(store: Store, launchpad: LaunchPad, name: str) -> int:
    for launch_id in store.fireworks.reserved_launches(name):
        launchpad.cancel_reservation(launch_id)  # its job in the queue will find nothing to do
    ours = {"state": {"$in": ["READY", "WAITING"]}, "spec._category": {"$ne": RECORDED_ANYWAY}}
    return store.fireworks.set_state(name, ours, "PAUSED")


def _defuse(store: Store, launchpad: LaunchPad, name: str) -> int:
    for launch_id in store.fireworks.reserved_launches(name):
        launchpad.cancel_reservation(launch_id)
    dropped = store.fireworks.set_state(name, {"state": {"$in": ["READY", "PAUSED"]}}, "DEFUSED")
    # what waits for something that runs stays, so that its result is recorded; the rest goes with what it waits for
    for document in store.fireworks.unfinished_workflows(name):
        if not {"RUNNING", "RESERVED"} & set(document["fw_states"].values()):
            waiting = {"state": "WAITING", "fw_id": {"$in": document["nodes"]}}
            dropped += store.fireworks.set_state(name, waiting, "DEFUSED", [document])
    return dropped
