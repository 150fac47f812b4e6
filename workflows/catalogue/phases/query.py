"""Which phases, and in which order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any, Literal

from gnome_torch.stability.hull import STABLE_TOLERANCE
from workflows.catalogue.fields import FIELDS
from workflows.catalogue.known import Known, oldest
from workflows.catalogue.phases.background import with_background
from workflows.catalogue.phases.rows import PhaseRow, row_of
from workflows.ground.strict import SettingsError
from workflows.store import Store
from workflows.store.base import Document

SORTS = ("e_above_hull", "phase_separation_energy", "formation_energy", "formula", "round", "created")
New = Literal["", "composition", "prototype", "any"]


@dataclass(frozen=True)
class PhaseQuery:
    """Which phases, and in which order.

    Attributes:
        campaign: of this campaign; None for all.
        elements: phases that hold all of these.
        chemsys: phases of just these elements.
        max_e_above_hull: eV/atom.
        new: only new compositions, new prototypes, or any of the two; empty for all.
        since: only what was computed since.
        sort: one of `SORTS`; with a minus in front the largest first.
        limit: at most this many; 0 for all.
    """

    campaign: str | None = None
    elements: tuple[str, ...] = ()
    chemsys: tuple[str, ...] = ()
    max_e_above_hull: float = STABLE_TOLERANCE
    new: New = ""
    since: datetime | None = None
    sort: str = "e_above_hull"
    limit: int = 0

    def __post_init__(self) -> None:
        if self.sort.removeprefix("-") not in SORTS:
            raise SettingsError(f"sort = {self.sort!r}: one of {', '.join(SORTS)}, with a minus for the largest first")

    def wants(self, known: Known) -> bool:
        """Whether a phase is as new as is asked for."""
        new_composition = known.is_new_composition
        new_prototype = bool(FIELDS["new_prototype"].read(known))
        return {
            "": True,
            "composition": new_composition,
            "prototype": new_prototype,
            "any": new_composition or new_prototype,
        }[self.new]


def phases(store: Store, query: PhaseQuery) -> list[PhaseRow]:
    """Compounds on or near the hull, each crystal once.

    Args:
        store: the database.
        query: which.
    """
    sort, downwards = query.sort.removeprefix("-"), query.sort.startswith("-")
    documents = _documents(store, query)
    each = [replace(known, campaign=query.campaign) for known in _each_once(documents, _older_twins(store, documents))]
    in_order = sorted(each, key=lambda known: _place(known, sort), reverse=downwards)
    chosen = list(islice(filter(query.wants, in_order), query.limit or None))
    return [row_of(known) for known in with_background(store, chosen)]


def phase_rows(
    store: Store,
    campaign: str | None,
    max_e_above_hull: float = STABLE_TOLERANCE,
    new_only: bool = False,
    limit: int = 0,
) -> list[PhaseRow]:
    """The most stable phases first: `phases`, for what is asked most.

    Args:
        store: the database.
        campaign: its name; None for all campaigns.
        max_e_above_hull: eV/atom.
        new_only: leave out compositions of the first data.
        limit: at most this many; 0 for all.
    """
    new: New = "composition" if new_only else ""
    return phases(store, PhaseQuery(campaign, max_e_above_hull=max_e_above_hull, new=new, limit=limit))


def _documents(store: Store, query: PhaseQuery) -> list[Document]:
    """Entries near the hull, those nearest to it first."""
    return store.finds.phases(query.campaign, query.max_e_above_hull, query.elements, query.chemsys, query.since)


def _older_twins(store: Store, documents: Sequence[Document]) -> dict[str, Document]:
    """Entries of campaigns that are the same crystal as one listed, were there earlier, and are not listed."""
    older = {document["novelty"].get("duplicate_of") for document in documents} - {None}
    absent = older - {document["_id"] for document in documents}
    twins = store.entries.documents_of(absent, ("created", "lineage", "outside"))
    return {key: document for key, document in twins.items() if not document["outside"]}


def _each_once(documents: Sequence[Document], twins: Mapping[str, Document]) -> list[Known]:
    """Of entries of a theory that are the same crystal the most stable one, with the one that was there first.

    Entries of two theories stand on two hulls: neither is the more stable one.

    Args:
        documents: the entries, the most stable first.
        twins: older ones that are not among them.
    """
    older = {document["_id"]: document["novelty"].get("duplicate_of") for document in documents}
    groups: dict[tuple[str, str], list[Document]] = defaultdict(list)
    for document in documents:
        groups[oldest(document["_id"], older), document["theory"]].append(document)
    return [
        Known(same[0], first=min([*same, twins.get(first, same[0])], key=lambda d: (d["created"], d["_id"])))
        for (first, _), same in groups.items()
    ]


def _place(known: Known, sort: str) -> tuple[Any, ...]:
    document = known.document
    stability = document["stability"]
    first = document["created"] if sort == "created" else FIELDS[sort].read(known)
    return first, stability["e_above_hull"], stability["phase_separation_energy"], document["_id"]
