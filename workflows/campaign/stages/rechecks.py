"""Rechecks: stable phases, and what they stand against, relaxed again at another theory.

After each round the phases that the campaign found on the hull go on from their relaxed crystals at the theory of
`recheck`, and with them everything that they stand against: the phases on the hull of their chemical systems, elements
included. They stand on a hull of their own, count in no round and teach no network. The campaign ends when they have.
"""

from __future__ import annotations

from collections.abc import Collection

from gnome_torch.stability.hull import STABLE_TOLERANCE
from workflows.campaign.campaign import Campaign
from workflows.campaign.holding import add_workflows
from workflows.campaign.plan import candidate_workflow
from workflows.campaign.stages.relaxations import not_yet_computed
from workflows.catalogue.hulls import renew
from workflows.store.base import Document


def launch_rechecks(campaign: Campaign, number: int) -> None:
    """Relax again what a campaign has on the hull after a round, each once; nothing where no theory is set for it."""
    theory, rechecks = campaign.recheck_theory, campaign.store.rechecks
    if theory is None:
        return
    with campaign.store.rounds.claim(campaign.name, number, "rechecks"):
        rechecks.select(campaign.name, number, theory.id, _wanted(campaign))
        waiting = not_yet_computed(campaign, rechecks.waiting(campaign.name), theory)
        add_workflows(campaign, [candidate_workflow(document, theory, None) for document in waiting])


def renew_recheck_hull(campaign: Campaign) -> None:
    """Place the entries of the other theory on their own hull."""
    if campaign.recheck_theory is not None:
        renew(campaign.store, campaign.recheck_theory.id)


def _wanted(campaign: Campaign) -> list[Document]:
    """Entries to be relaxed again: what the campaign found, and the hull that it stands against."""
    entries, recheck = campaign.store.entries, campaign.settings.recheck
    distance = max(recheck.distance if recheck else 0.0, STABLE_TOLERANCE)
    finds = campaign.store.finds.of_campaign(campaign.name, campaign.theory_id, distance)
    wanted = {document["_id"]: document for document in finds}
    for system in largest({frozenset(document["elements"]) for document in finds}):
        for document in entries.on_hull(campaign.theory_id, system, distance):
            if document.get("structure") is not None:  # of some known compounds only the composition is known
                wanted[document["_id"]] = document
    return [wanted[key] for key in sorted(wanted)]


def largest(systems: Collection[frozenset[str]]) -> list[frozenset[str]]:
    """Chemical systems that lie within no other, in an order of their own."""
    return sorted((s for s in systems if not any(s < other for other in systems)), key=sorted)
