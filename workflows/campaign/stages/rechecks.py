"""The second opinion: stable phases, and what they stand against, relaxed again at another theory.

After each round the phases that the campaign found on the hull go on from their relaxed crystals at the theory of
`recheck`, and with them everything that they stand against: the phases on the hull of their chemical systems, elements
included. They stand on a hull of their own, count in no round and teach no network. The campaign ends when they have.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from fireworks import LaunchPad

from gnome_torch.stability.hull import STABLE_TOLERANCE
from workflows.campaign.campaign import campaign_settings, recheck_theory
from workflows.campaign.stages.relaxations import candidate_workflow, not_yet_computed
from workflows.catalogue.hulls import renew
from workflows.operate.control import add_workflows
from workflows.store import Store


def launch_rechecks(store: Store, launchpad: LaunchPad, name: str, number: int) -> None:
    """Relax again what a campaign has on the hull after a round, each once; nothing where no theory is set for it."""
    level = recheck_theory(store, name)
    if level is None:
        return
    with store.rounds.claim(name, number, "rechecks"):
        store.rechecks.select(name, number, level.id, _wanted(store, name))
        waiting = not_yet_computed(store, store.rechecks.waiting(name), level)
        add_workflows(
            store, launchpad, name, [candidate_workflow(d, level, None, name, d["after_round"]) for d in waiting]
        )


def conclude(store: Store, name: str) -> None:
    """End a campaign whose last round is over, once its rechecks have ended too; nothing for any other."""
    document = store.campaigns.get(name)
    if document["state"] != "running" or not document.get("over") or store.rechecks.waiting(name):
        return
    renew_second_hull(store, name)
    store.campaigns.end(name, "finished", document["over"])


def renew_second_hull(store: Store, name: str) -> None:
    """Place the entries of the second theory on their own hull."""
    level = recheck_theory(store, name)
    if level is not None:
        renew(store, level.id)


def _wanted(store: Store, name: str) -> list[dict[str, Any]]:
    """Entries to be relaxed again: what the campaign found, and the hull that it stands against."""
    settings, theory = campaign_settings(store, name), store.campaigns.get(name)["theory"]
    distance = max(settings.recheck.distance if settings.recheck else 0.0, STABLE_TOLERANCE)
    found = store.entries.found_by(name, theory, distance)
    wanted = {document["_id"]: document for document in found}
    for system in largest({frozenset(document["elements"]) for document in found}):
        for document in store.entries.on_hull(theory, system, distance):
            if document.get("structure") is not None:  # of some known compounds only the composition is known
                wanted[document["_id"]] = document
    return [wanted[key] for key in sorted(wanted)]


def largest(systems: Collection[frozenset[str]]) -> list[frozenset[str]]:
    """Chemical systems that lie within no other, in an order of their own."""
    return sorted((s for s in systems if not any(s < other for other in systems)), key=sorted)
