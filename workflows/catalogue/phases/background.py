"""What phases are shown with of other documents, read for all of them at once: ancestors, analogues, rechecks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gnome_torch.stability.formulas import amounts_of, symbol_of
from workflows.catalogue.known import NOT_ASKED, Known, Recheck
from workflows.store import CandidateState, Store
from workflows.store.base import Document


def with_background(store: Store, phases: Sequence[Known]) -> list[Known]:
    """The same phases, with the entries that they name, what came of their rechecks, and how they are confirmed."""
    documents = [phase.document for phase in phases]
    others, rechecks, confirmed = _others(store, documents), _rechecks(store, documents), _confirmed(store, documents)
    known = []
    for phase in phases:
        key, campaign = phase.document["_id"], phase.document["lineage"].get("campaign")
        wanted, tried = confirmed.get(campaign, (0, {}))
        recheck = rechecks.get(key, NOT_ASKED)
        tries = tried.get(phase.document["formula"], 0)
        known.append(replace(phase, others=others, recheck=recheck, tried=tries, wanted=wanted))
    return known


def _confirmed(store: Store, documents: Sequence[Document]) -> dict[str, tuple[int, dict[str, int]]]:
    """By campaign: crystals wanted of what is on the hull, and how many it has sent, by formula; if it wants any."""
    names = {document["lineage"].get("campaign") for document in documents} - {None}
    found = {}
    for name in sorted(names):
        settings = store.campaigns.get(name)["settings"] if store.campaigns.exists(name) else {}
        if wanted := settings.get("screening", {}).get("confirm", 0):
            found[name] = wanted, store.candidates.count_by_formula(name)
    return found


def _others(store: Store, documents: Sequence[Document]) -> dict[str, Document]:
    """Ancestors, analogues, older twins and decomposition products by key."""
    others: dict[str, Document] = {}
    wanted = {document["lineage"]["parent_id"] for document in documents}
    wanted |= {document["novelty"].get("analogue") for document in documents}
    wanted |= {document["novelty"].get("duplicate_of") for document in documents}
    wanted |= {key for document in documents for key in document["stability"]["decomposition"]}
    while missing := {key for key in wanted if key} - others.keys():
        read = store.entries.documents_of(missing, ("formula", "lineage", "outside"))
        others |= {key: read.get(key, {}) for key in missing}  # the first parents are prototypes, and no entries
        wanted = {document["lineage"]["parent_id"] for document in read.values()}
    return others


def _rechecks(store: Store, documents: Sequence[Document]) -> dict[str, Recheck]:
    """What came of the rechecks of entries, by entry."""
    candidates = store.rechecks.of_entries([document["_id"] for document in documents])
    twins = store.entries.documents_of(
        {c["entry"] for c in candidates.values() if c["state"] == CandidateState.RELAXED and c.get("entry")}
    )
    asked = {(candidate["campaign"], candidate["theory"]) for candidate in candidates.values()}
    unfinished = {key: store.rechecks.unfinished(*key) for key in asked}
    rechecks = {}
    for document in documents:
        if candidate := candidates.get(document["_id"]):
            absent = unfinished[candidate["campaign"], candidate["theory"]]
            competitors = tuple(formula for formula in absent if _elements_of(formula) <= set(document["elements"]))
            rechecks[document["_id"]] = _recheck(candidate, twins.get(candidate.get("entry", "")), competitors)
    return rechecks


def _recheck(candidate: Document, twin: Document | None, missing: tuple[str, ...]) -> Recheck:
    """What came of a recheck.

    Args:
        candidate: the relaxation.
        twin: entry that came of it; None where there is none.
        missing: competing phases that its hull lacks.
    """
    if candidate["state"] == CandidateState.SELECTED:
        return Recheck("relaxing")
    if candidate["state"] == CandidateState.FAILED:
        return Recheck(f"failed: {candidate['reason']}")
    if twin is None or not twin["stability"]:
        return Recheck("not placed")
    return Recheck(candidate["theory"], float(twin["stability"]["e_above_hull"]), missing)


def _elements_of(formula: str) -> set[str]:
    return {symbol_of(z) for z, _ in amounts_of(formula)}
