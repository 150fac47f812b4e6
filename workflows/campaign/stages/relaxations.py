"""Crystals go to relaxation: a small workflow each, or, where a theory is cheap, one for many."""

from __future__ import annotations

from collections.abc import Sequence

from pymatgen.core import Structure

from workflows.campaign.campaign import Campaign
from workflows.campaign.holding import add_workflows
from workflows.campaign.pipelines import STRUCTURAL
from workflows.campaign.plan import candidate_workflow, chunk_workflow, in_turn
from workflows.relax import Theory
from workflows.store import CandidateState, entry_id
from workflows.store.base import Document


def launch_relaxations(campaign: Campaign, number: int, search: str | None = None) -> None:
    """Send a round's selected candidates to relaxation, once; what was computed before is taken from the database.

    A repetition adds only what is missing (after `lpad reset`, for instance, everything that has not ended).

    Args:
        campaign: whose.
        number: of the round.
        search: only the crystals that were drawn for this composition; None for those that no search has made.
    """
    store, name = campaign.store, campaign.name
    with store.rounds.claim(name, number, STRUCTURAL.sent if search is None else f"search {search}"):
        waiting = store.candidates.waiting(name, number, search)
        to_compute = not_yet_computed(campaign, waiting, campaign.theory)
        size = campaign.settings.relaxations.per_firework
        if size == 1:
            workflows = [candidate_workflow(d, campaign.theory, campaign.rough_theory) for d in to_compute]
        else:
            # of all candidates, so that a repetition comes to the same chunks
            keys = store.candidates.keys(name, number, search)
            chunks = [keys[start : start + size] for start in range(0, len(keys), size)]
            wanted = {document["_id"] for document in to_compute}
            workflows = [chunk_workflow(name, number, chunk) for chunk in chunks if not wanted.isdisjoint(chunk)]
        add_workflows(campaign, in_turn(workflows, store.fireworks.first_rank()))
    store.rounds.mark_sent(name, number)


def launch_restart(campaign: Campaign, number: int, key: str) -> None:
    """Add the relaxation that goes on from a candidate's last crystal, once.

    Args:
        campaign: whose.
        number: of the round; for a recheck, of the round after which it was chosen.
        key: of the candidate.
    """
    document = campaign.store.candidates.get(key)
    if document["state"] == CandidateState.SELECTED:
        with campaign.store.rounds.claim(
            campaign.name, number, f"restart {key.rpartition('/')[2]} {document['restarts']}"
        ):
            add_workflows(campaign, [candidate_workflow(document, campaign.theory_of(document), None)])


def not_yet_computed(campaign: Campaign, waiting: Sequence[Document], theory: Theory) -> list[Document]:
    """Candidates that are to be computed; the others end here: with an entry that is there, or as not worth it."""
    store, found = campaign.store, []
    ids = {d["_id"]: entry_id(Structure.from_dict(d["structure"]), theory.id) for d in waiting}
    computed = store.entries.existing(list(ids.values()))
    if waiting and not waiting[0].get("recheck_of"):  # what is rechecked is no find of the campaign
        store.entries.share(computed, campaign.name)
    for document in waiting:
        key = document["_id"]
        if ids[key] in computed:
            store.candidates.end(key, CandidateState.RELAXED, entry=ids[key], reused=True)
        elif (reason := theory.refusal(Structure.from_dict(document["structure"]))) is not None:
            store.candidates.end(key, CandidateState.FAILED, reason=f"not computed: {reason}", directory=None)
        else:
            found.append(document)
    return found
