"""How rounds follow one another, and how a campaign ends: the one event of the loop.

Nothing polls. Whoever ends something, records a relaxation for instance, calls `advance`; whichever call sees that
enough has ended adds the next round's workflow, once, or ends the campaign.
"""

from __future__ import annotations

import math
from datetime import timedelta

from workflows.campaign.campaign import Campaign
from workflows.campaign.holding import add_workflows
from workflows.campaign.pipelines import pipelines_of
from workflows.campaign.plan import round_workflow
from workflows.campaign.stages.rechecks import renew_recheck_hull
from workflows.store import ENDED, CampaignState, SearchState, now, utc
from workflows.store.base import Document
from workflows.store.collections.rounds import is_done


def advance(campaign: Campaign) -> None:
    """Add the workflow that follows a round, for every round of which enough has ended; or end the campaign.

    Nothing follows in a campaign that is paused or has ended. Once, whoever calls it and however often.
    """
    if campaign.state is not CampaignState.RUNNING:
        return
    rounds = campaign.store.rounds.all(campaign.name)
    for document in rounds:
        # a round that has been followed needs nothing more; only the latest is looked at again, in case its successor
        # was deleted (lpad reset)
        if is_done(document, "next") and document is not rounds[-1]:
            continue
        if _all_is_sent(campaign, document) and _may_be_followed(campaign, document["number"]):
            number = document["number"]
            with campaign.store.rounds.claim(campaign.name, number, "next"):
                add_workflows(campaign, [round_workflow(campaign.settings, number + 1)])
    _conclude(campaign)


def _all_is_sent(campaign: Campaign, document: Document) -> bool:
    """Whether every pipeline of a round has sent on what it chose; the first data are crystals alone."""
    return all(is_done(document, pipeline.sent) for pipeline in pipelines_of(campaign.settings, document["number"]))


def _may_be_followed(campaign: Campaign, number: int) -> bool:
    """Whether the next round may start: this one's share of relaxations has ended.

    The first data are waited for entirely (no hull without its elements), and so is everything, of whatever round,
    before the campaign ends: after the last round, and after one that chose nothing. A search that has not made its
    crystals yet stands for all the relaxations that it may bring. Time alone (`retrain.after_h`) is noticed when a
    relaxation ends, and by `gnome doctor`.
    """
    name, settings = campaign.name, campaign.settings
    candidates, searches = campaign.store.candidates, campaign.store.searches
    needs_all = number == 0 or number >= settings.rounds or settings.retrain.fraction == 1.0
    if needs_all and candidates.any_waiting(name, number) and not (number and _has_waited(campaign, number)):
        return False  # as nearly always: without counting
    searching = searches.count(name, number, SearchState.SELECTED)
    total = candidates.count(name, number) + searching * settings.compositional.search.relaxations
    if number >= settings.rounds or total == 0:
        # in this order: a search writes its candidates before it ends
        return searches.count(name, state=SearchState.SELECTED) == 0 and candidates.count_unended(name) == 0
    ended = candidates.count(name, number, ENDED)
    if number and ended and _has_waited(campaign, number):
        return True
    fraction = settings.retrain.fraction if number else 1.0
    return ended >= math.ceil(fraction * total)


def _has_waited(campaign: Campaign, number: int) -> bool:
    """Whether the relaxations of a round were sent so long ago that the next one is not to wait for more of them."""
    sent = campaign.store.rounds.get(campaign.name, number).get("sent")
    after_h = campaign.settings.retrain.after_h
    return after_h is not None and sent is not None and utc(sent) + timedelta(hours=after_h) <= now()


def _conclude(campaign: Campaign) -> None:
    """End a campaign whose last round is over, once its rechecks have ended too."""
    document = campaign.store.campaigns.get(campaign.name)
    if document["state"] != CampaignState.RUNNING or not document.get("over"):
        return
    if campaign.store.rechecks.waiting(campaign.name):
        return
    renew_recheck_hull(campaign)
    campaign.store.campaigns.end(campaign.name, CampaignState.FINISHED, document["over"])
