"""Which phases, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from gnome_torch.stability.hull import STABLE_TOLERANCE
from workflows.catalogue.fields import FIELDS
from workflows.catalogue.known import Known
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
    return [row_of(known) for known in with_background(store, _chosen(store, query, _in_order(store, query)))]


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


def _in_order(store: Store, query: PhaseQuery) -> list[Document]:
    """Entries near the hull; the same crystal, found again, is not shown again."""
    documents = store.finds.phases(query.campaign, query.max_e_above_hull, query.elements, query.chemsys, query.since)
    listed = {document["_id"] for document in documents}
    once = [document for document in documents if document["novelty"].get("duplicate_of") not in listed]
    sort = query.sort.removeprefix("-")
    return sorted(once, key=lambda document: _place(document, sort), reverse=query.sort.startswith("-"))


def _place(document: Document, sort: str) -> tuple[Any, ...]:
    stability = document["stability"]
    first = document["created"] if sort == "created" else FIELDS[sort].read(Known(document))
    return first, stability["e_above_hull"], stability["phase_separation_energy"], document["_id"]


def _chosen(store: Store, query: PhaseQuery, documents: list[Document]) -> list[Known]:
    """The first entries that are as new as is asked for.

    What is known outside is asked for so many at once, until there are enough.
    """
    first = store.candidates.first_formulas(query.campaign) if query.campaign else None
    chosen: list[Known] = []
    at_once = query.limit or len(documents) or 1
    for start in range(0, len(documents), at_once):
        part = documents[start : start + at_once]
        outside = store.finds.known_outside({document["formula"] for document in part})
        known = (Known(document, document["formula"] in outside, first) for document in part)
        chosen += [phase for phase in known if query.wants(phase)]
        if query.limit and len(chosen) >= query.limit:
            return chosen[: query.limit]
    return chosen
