"""Pausing, resuming and stopping campaigns: states of their Fireworks, changed in bulk."""

from __future__ import annotations

from workflows.campaign.campaign import Campaign
from workflows.campaign.holding import drop, hold, release
from workflows.campaign.rounds import advance
from workflows.campaign.stages.rechecks import renew_recheck_hull
from workflows.store import CampaignState, StoreError

RUNNING, PAUSED, STOPPED = CampaignState.RUNNING, CampaignState.PAUSED, CampaignState.STOPPED


def pause(campaign: Campaign) -> int:
    """Let nothing new begin; what runs goes on to its end and is recorded. Returns how many Fireworks wait.

    Raises:
        StoreError: it does not run.
    """
    _change(campaign, [RUNNING, PAUSED], PAUSED)
    return hold(campaign)


def resume(campaign: Campaign) -> int:
    """Go on with a paused campaign; safe to repeat. Returns how many Fireworks waited.

    Raises:
        StoreError: it is not paused.
    """
    _change(campaign, [PAUSED, RUNNING], RUNNING)
    released = release(campaign)
    advance(campaign)
    return released


def stop(campaign: Campaign) -> int:
    """End a campaign for good; what runs is recorded, nothing computed is lost. Returns how many Fireworks it dropped.

    Raises:
        StoreError: it has ended already.
    """
    _change(campaign, [RUNNING, PAUSED, STOPPED], STOPPED)
    dropped = drop(campaign)
    renew_recheck_hull(campaign)
    return dropped


def _change(campaign: Campaign, among: list[CampaignState], to: CampaignState) -> None:
    state = campaign.state
    if state not in among or not campaign.store.campaigns.set_state(campaign.name, among, to):
        raise StoreError(
            f"campaign '{campaign.name}' is {state}: only one that is {' or '.join(among[:2])} can be {to}"
        )
