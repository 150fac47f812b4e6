"""Sending crystals to relaxation: a small workflow each, or, where a theory is cheap, one for many.

relax (the theory's own Fireworks) -> record          one crystal
relax many -> resume                                  `relaxations.per_firework` crystals
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fireworks import Firework, LaunchPad, Workflow
from pymatgen.core import Structure

from gnome_torch.records import content_hash
from workflows.campaign.campaign import (
    PRIORITY,
    campaign_settings,
    campaign_theory,
    candidate_theory,
    prerelaxation,
)
from workflows.operate.control import add_workflows
from workflows.relax import Theory, relaxation_workflow
from workflows.store import Store, entry_id

# what a round has to have launched before it can be over, by pipeline: names of claims
LAUNCHED = {"structural": "relaxations", "compositional": "searches"}


RANK = 1e-6
"""By how much the priority of a crystal is below that of the one before it."""


def launch_relaxations(store: Store, launchpad: LaunchPad, name: str, number: int, search: str | None = None) -> None:
    """Send a round's selected candidates to relaxation, once; what was computed before is taken from the database.

    A repetition adds only what is missing (after `lpad reset`, for instance, everything that has not ended).

    Args:
        store: the database.
        launchpad: where the workflows go.
        name: of the campaign.
        number: of the round.
        search: only the crystals that were drawn for this composition; None for those that no search has made.
    """
    level = campaign_theory(store, name)
    with store.rounds.claim(name, number, LAUNCHED["structural"] if search is None else f"search {search}"):
        to_compute = not_yet_computed(store, store.candidates.waiting(name, number, search), level)
        size = campaign_settings(store, name).relaxations.per_firework
        if size == 1:
            rough = prerelaxation(store, name)
            workflows = [candidate_workflow(document, level, rough, name, number) for document in to_compute]
        else:
            # of all candidates, so that a repetition comes to the same chunks
            keys = store.candidates.keys(name, number, search)
            chunks = [keys[start : start + size] for start in range(0, len(keys), size)]
            wanted = {document["_id"] for document in to_compute}
            workflows = [chunk_workflow(chunk, name, number) for chunk in chunks if not wanted.isdisjoint(chunk)]
        add_workflows(store, launchpad, name, in_turn(store, workflows))
    store.rounds.mark_sent(name, number)


def launch_restart(store: Store, launchpad: LaunchPad, name: str, number: int, key: str) -> None:
    """Add the relaxation that goes on from a candidate's last crystal, once."""
    document = store.candidates.get(key)
    if document["state"] == "selected":
        with store.rounds.claim(name, number, f"restart {key.rpartition('/')[2]} {document['restarts']}"):
            add_workflows(
                store,
                launchpad,
                name,
                [candidate_workflow(document, candidate_theory(store, document), None, name, number)],
            )


def in_turn(store: Store, workflows: Sequence[Workflow]) -> Sequence[Workflow]:
    """Rank relaxations so that campaigns that share a queue take turns.

    FireWorks runs what has the highest priority, then what was added first: a campaign of a thousand crystals would
    keep all others waiting. So the first of a campaign's crystals ranks beside the first that still waits of the
    others, the second beside their second, and so on (start-time fair queueing; Goyal, Vin and Cheng, 1997).
    """
    for rank, workflow in enumerate(workflows, start=store.fireworks.first_rank()):
        for firework in workflow.fws:
            if firework.spec["_category"] == "relax":
                firework.spec["_rank"] = rank
                firework.spec["_priority"] = PRIORITY["relax"] - min(rank * RANK, 1.0)
    return workflows


def not_yet_computed(store: Store, waiting: Sequence[dict[str, Any]], level: Theory) -> list[dict[str, Any]]:
    """Candidates that are to be computed; the others end here: with an entry that is there, or as not worth it."""
    found = []
    ids = {d["_id"]: entry_id(Structure.from_dict(d["structure"]), level.id) for d in waiting}
    computed = store.entries.existing(list(ids.values()))
    if waiting and not waiting[0].get("recheck_of"):  # a second opinion is no find of the campaign
        store.entries.share(computed, waiting[0]["campaign"])
    for document in waiting:
        key = document["_id"]
        if ids[key] in computed:
            store.candidates.end(key, "relaxed", entry=ids[key], reused=True)
        elif (reason := level.refusal(Structure.from_dict(document["structure"]))) is not None:
            store.candidates.end(key, "failed", reason=f"not computed: {reason}", directory=None)
        else:
            found.append(document)
    return found


def candidate_workflow(
    document: dict[str, Any], level: Theory, rough: Theory | None, name: str, number: int
) -> Workflow:
    """Relax one candidate, roughly first if there is a theory for that, then record it, whatever became of it.

    One that broke off before goes on from its last crystal.
    """
    from workflows.firetasks.record import RecordRelaxation

    recheck = bool(document.get("recheck_of"))
    title = f"{name}: {document['formula']} {document['_id'].rsplit('/', 1)[-1][:8]}" + (", again" if recheck else "")
    restart = document.get("restarts", 0)
    if restart:
        title += f", restart {restart}"
    workflow, job = relaxation_workflow(
        Structure.from_dict(document["restart_structure"] if restart else document["structure"]),
        level,
        title,
        {"_category": "relax", "_priority": PRIORITY["recheck" if recheck else "relax"]},
        None if restart else rough,
    )
    parameters = {"restart": restart} if restart else {}
    record = Firework(
        RecordRelaxation(campaign=name, round=number, candidate=document["_id"], job=job, **parameters),
        spec=after_relaxation(),
        name=f"{title}: record",
    )
    workflow.append_wf(Workflow([record]), workflow.leaf_fw_ids)
    workflow.metadata = {
        "campaign": name,
        "round": number,
        "stage": "recheck" if recheck else "relax",
        "gnome_key": f"relax/{document['_id']}" + (f"/{restart}" if restart else ""),
    }
    return workflow


def chunk_workflow(keys: Sequence[str], name: str, number: int) -> Workflow:
    """Relax some candidates one after another in one Firework; each result is written when it is there."""
    from workflows.firetasks.relax_many import RelaxMany, Resume

    title = f"{name}: {len(keys)} crystals of round {number}"
    spec = {"_category": "relax", "_priority": PRIORITY["relax"], "_add_launchpad_and_fw_id": True}
    which = {"campaign": name, "round": number}
    relax = Firework(RelaxMany(**which, candidates=list(keys)), spec=spec, name=title)
    resume = Firework(
        Resume(**which, candidates=list(keys)), after_relaxation(), name=f"{title}: resume", parents=[relax]
    )
    return Workflow(
        [relax, resume],
        name=title,
        metadata={**which, "stage": "relax", "gnome_key": f"relax/{content_hash({'candidates': list(keys)})}"},
    )


def after_relaxation() -> dict[str, Any]:
    """Spec of what hears of the end of a relaxation, whatever that was."""
    return {
        "_category": "control",
        "_priority": PRIORITY["record"],
        "_add_launchpad_and_fw_id": True,
        "_allow_fizzled_parents": True,
    }
