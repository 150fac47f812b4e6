"""Workflows of a campaign are added, held back, released and dropped as its state says."""

from __future__ import annotations

from collections.abc import Sequence

from fireworks import Workflow

from workflows.campaign.campaign import Campaign
from workflows.store.launchpad import add_once, refresh_stale
from workflows.store.states import CampaignState

# What has run is recorded even in a paused campaign: a result that waits can be lost. Records are the bookkeeping that
# hears of failures; the start of a campaign and the close of a round begin something new.
# Two queries, because the embedded server would look through all Fireworks for an $or.
NO_RECORDS = (
    {"spec._category": {"$ne": "control"}},
    {"spec._category": "control", "spec._allow_fizzled_parents": {"$ne": True}},
)


def add_workflows(campaign: Campaign, workflows: Sequence[Workflow]) -> None:
    """Add workflows of a campaign that are not there yet; in a paused campaign they wait."""
    add_once(campaign.launchpad, workflows)
    if workflows and campaign.state is not CampaignState.RUNNING:
        follow_state(campaign)


def follow_state(campaign: Campaign) -> int:
    """Make a campaign's Fireworks follow its state, whatever was added or run again since; returns how many did not.

    Running: nothing is paused. Paused: nothing waits but records. Stopped: nothing waits. The state is read once more
    afterwards: somebody may have changed it meanwhile.
    """
    follow = {CampaignState.PAUSED: hold, CampaignState.STOPPED: drop, CampaignState.RUNNING: release}
    while True:
        state = campaign.state
        changed = follow[state](campaign) if state in follow else 0
        if campaign.state is state:
            return changed


def release(campaign: Campaign) -> int:
    """Let what was held go on; returns how many Fireworks that were."""
    released = campaign.store.fireworks.set_state(campaign.name, {"state": "PAUSED"}, "WAITING")
    if released:
        refresh_stale(campaign.launchpad, 0.0, {"metadata.campaign": campaign.name})
    return released


def hold(campaign: Campaign) -> int:
    """Hold what waits, but for records; returns how many Fireworks are held."""
    _cancel_reservations(campaign)
    waiting = {"state": {"$in": ["READY", "WAITING"]}}
    fireworks = campaign.store.fireworks
    return sum(fireworks.set_state(campaign.name, waiting | kind, "PAUSED") for kind in NO_RECORDS)


def drop(campaign: Campaign) -> int:
    """Drop what waits, but for what hears of something that runs; returns how many Fireworks that were."""
    _cancel_reservations(campaign)
    fireworks = campaign.store.fireworks
    dropped = fireworks.set_state(campaign.name, {"state": {"$in": ["READY", "PAUSED"]}}, "DEFUSED")
    # what waits for something that runs stays, so that its result is recorded; the rest goes with what it waits for
    for document in fireworks.unfinished_workflows(campaign.name):
        if not {"RUNNING", "RESERVED"} & set(document["fw_states"].values()):
            waiting = {"state": "WAITING", "fw_id": {"$in": document["nodes"]}}
            dropped += fireworks.set_state(campaign.name, waiting, "DEFUSED", [document])
    return dropped


def _cancel_reservations(campaign: Campaign) -> None:
    """Take Fireworks back from jobs that wait in a queue: these will find nothing to do."""
    for launch_id in campaign.store.fireworks.reserved_launches(campaign.name):
        campaign.launchpad.cancel_reservation(launch_id)
