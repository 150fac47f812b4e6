"""The phases that campaigns found, as plain rows, pandas frames and pymatgen entries: what `gnome stable` prints.

from workflows.store.connection import connect
from workflows.catalogue.phases import PhaseQuery, computed_entries, frame, phases
from workflows.store import Store

store = Store(connect().db)
rows = phases(store, PhaseQuery(campaign="quickstart", elements=("Li", "O"), max_e_above_hull=0.02))
frame(rows)                       # a pandas frame, a phase a row
computed_entries(store, rows)     # pymatgen's ComputedStructureEntry, corrected
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gnome_torch.candidates.chemistry.policy import NOBLE_GASES, RADIOACTIVE
from gnome_torch.stability.changes import warnings
from gnome_torch.stability.formulas import amounts_of, symbol_of
from gnome_torch.stability.hull import STABLE_TOLERANCE
from workflows.ground.strict import SettingsError
from workflows.store import Store, utc

if TYPE_CHECKING:
    import pandas as pd
    from pymatgen.entries.computed_entries import ComputedStructureEntry

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


@dataclass(frozen=True)
class PhaseRow:
    """One phase on or near the hull.

    Attributes:
        formula: reduced formula.
        spacegroup: Hermann-Mauguin symbol (tolerance 0.1 angstrom).
        spacegroup_number: its number.
        e_above_hull: eV/atom.
        phase_separation_energy: eV/atom, negative when stable.
        formation_energy: eV/atom.
        new: the composition was not in the campaign's first data (of the campaign asked for, else of the one that
            computed it), and has not been imported at whatever theory.
        prototype: label of its prototype; None where no symmetry was found.
        new_prototype: no known crystal has it; None for known phases.
        analogue: known crystal of the same prototype with the most similar elements.
        duplicate_of: older entry that is the same crystal.
        likely_disorder: pairs of elements that probably share their sites, such as "Fe/Ni".
        e_above_hull_uncorrected: distance to the hull of the same entries without energy corrections, eV/atom; None for
            a theory that has none.
        correction_sensitive: on the hull with the corrections and off it without, or the other way.
        unusual_elements: radioactive ones and noble gases that it holds, which campaigns refuse unless told otherwise.
        round: round that proposed it.
        source: prototype, element, file, substitution, saps or random.
        parent: prototype or entry whose geometry it has.
        substitution: what was replaced in the parent.
        lineage: the same, traced back to a known crystal: substitutions from the first parent on.
        predicted_formation_energy: formation energy that the ensemble predicted, eV/atom; None for first data.
        iqr: spread of that prediction, eV/atom.
        theory: level of theory.
        entry: key in the database.
        warnings: what its relaxation did that casts doubt on it, such as "fell apart".
        recheck: what came of relaxing it again at the theory of the second opinion: empty (not asked for), "relaxing",
            "failed: reason", "not placed" (its hull has not been renewed since, or an element has no reference there),
            or that theory.
        recheck_e_above_hull: distance to the hull of that theory, eV/atom; None unless it is placed there.
        recheck_missing: competing phases whose second opinion is outstanding or has failed: with them, the distance
            may be larger.
        displaced: day on which a deeper phase took it off the hull; empty for what is on it, or never was.
        decomposition: stable phases that it would fall apart into, with their fractions of the atoms, such as
            "0.60 MgO"; itself where it is stable.
    """

    formula: str
    spacegroup: str
    spacegroup_number: int
    e_above_hull: float
    phase_separation_energy: float
    formation_energy: float
    new: bool
    prototype: str | None
    new_prototype: bool | None
    analogue: str
    duplicate_of: str
    likely_disorder: tuple[str, ...]
    e_above_hull_uncorrected: float | None
    correction_sensitive: bool
    unusual_elements: tuple[str, ...]
    round: int
    source: str
    parent: str
    substitution: str
    lineage: tuple[str, ...]
    predicted_formation_energy: float | None
    iqr: float | None
    theory: str
    entry: str
    warnings: tuple[str, ...]
    recheck: str
    recheck_e_above_hull: float | None
    recheck_missing: tuple[str, ...]
    displaced: str
    decomposition: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        lists = {
            name: list(getattr(self, name))
            for name in (
                "lineage",
                "likely_disorder",
                "unusual_elements",
                "warnings",
                "recheck_missing",
                "decomposition",
            )
        }
        return {**asdict(self), **lists}


def phases(store: Store, query: PhaseQuery) -> list[PhaseRow]:
    """Compounds on or near the hull, each crystal once.

    Args:
        store: the database.
        query: which.
    """
    documents = store.entries.phases(query.campaign, query.max_e_above_hull, query.elements, query.chemsys, query.since)
    listed = {document["_id"] for document in documents}
    # the same crystal, found again, is not shown again
    documents = [document for document in documents if document["novelty"].get("duplicate_of") not in listed]
    documents.sort(key=lambda some: _place(some, query.sort.removeprefix("-")), reverse=query.sort.startswith("-"))
    first = store.candidates.first_formulas(query.campaign) if query.campaign else None
    chosen: list[tuple[dict[str, Any], bool]] = []
    # what is known outside is asked for so many at once, until there are enough
    at_once = query.limit or len(documents) or 1
    for start in range(0, len(documents), at_once):
        some = documents[start : start + at_once]
        outside = store.entries.known_outside({document["formula"] for document in some})
        for document in some:
            new = document["novelty"]["new_composition"] if first is None else document["formula"] not in first
            new = new and document["formula"] not in outside
            if _is_asked_for(query.new, new, bool(document["novelty"].get("new_prototype"))):
                chosen.append((document, new))
        if query.limit and len(chosen) >= query.limit:
            chosen = chosen[: query.limit]
            break
    background = _Background(store, [document for document, _ in chosen])
    return [_phase_row(background, document, new) for document, new in chosen]


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


def frame(rows: Iterable[PhaseRow]) -> pd.DataFrame:
    """A pandas frame, a phase a row, indexed by the key of its entry."""
    import pandas as pd

    return pd.DataFrame([row.as_dict() for row in rows], columns=list(PhaseRow.__annotations__)).set_index("entry")


def computed_entries(store: Store, rows: Sequence[PhaseRow]) -> list[ComputedStructureEntry]:
    """pymatgen's entries of phases, in their order: uncorrected energy, the correction beside it, eV per cell."""
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    structures = store.entries.structures([row.entry for row in rows])
    documents = store.entries.documents_of([row.entry for row in rows])
    return [
        ComputedStructureEntry(
            structures[row.entry],
            documents[row.entry]["energy"],
            documents[row.entry]["correction"],
            entry_id=row.entry,
            data={"theory": row.theory, "e_above_hull": row.e_above_hull},
        )
        for row in rows
    ]


def _is_asked_for(which: New, new_composition: bool, new_prototype: bool) -> bool:
    return {
        "": True,
        "composition": new_composition,
        "prototype": new_prototype,
        "any": new_composition or new_prototype,
    }[which]


def _place(document: Mapping[str, Any], sort: str) -> tuple[Any, ...]:
    stability = document["stability"]
    first = {
        "e_above_hull": stability["e_above_hull"],
        "phase_separation_energy": stability["phase_separation_energy"],
        "formation_energy": stability["formation_energy"],
        "formula": document["formula"],
        "round": document["lineage"]["round"],
        "created": document["created"],
    }[sort]
    return first, stability["e_above_hull"], stability["phase_separation_energy"], document["_id"]


class _Background:
    """What the rows say of other entries, read all at once: ancestors, analogues, second opinions."""

    def __init__(self, store: Store, documents: Sequence[Mapping[str, Any]]) -> None:
        self.entries: dict[str, dict[str, Any]] = {}
        wanted = {d["lineage"]["parent_id"] for d in documents} | {d["novelty"].get("analogue") for d in documents}
        wanted |= {key for d in documents for key in d["stability"]["decomposition"]}
        while missing := {key for key in wanted if key} - self.entries.keys():
            found = store.entries.documents_of(sorted(missing), ("formula", "lineage", "outside"))
            self.entries |= {key: found.get(key, {}) for key in missing}  # the first parents are prototypes
            wanted = {document["lineage"]["parent_id"] for document in found.values()}
        self.rechecks = store.rechecks.of_entries([document["_id"] for document in documents])
        self.second = store.entries.documents_of(
            sorted({d["entry"] for d in self.rechecks.values() if d["state"] == "relaxed" and d.get("entry")})
        )
        of = {(d["campaign"], d["theory"]) for d in self.rechecks.values()}
        self.unfinished = {key: store.rechecks.unfinished(*key) for key in of}

    def entry(self, key: str | None) -> dict[str, Any] | None:
        return (self.entries.get(key) or None) if key else None


def _recheck(background: _Background, document: Mapping[str, Any]) -> tuple[str, float | None, tuple[str, ...]]:
    """Outcome of a phase's second opinion, its distance to the hull there, and what that hull lacks."""
    candidate = background.rechecks.get(document["_id"])
    if candidate is None:
        return "", None, ()
    if candidate["state"] == "selected":
        return "relaxing", None, ()
    if candidate["state"] == "failed":
        return f"failed: {candidate['reason']}", None, ()
    entry = background.second.get(candidate["entry"])
    if entry is None or not entry["stability"]:
        return "not placed", None, ()
    unfinished = background.unfinished[candidate["campaign"], candidate["theory"]]
    missing = tuple(
        some for some in unfinished if {symbol_of(z) for z, _ in amounts_of(some)} <= set(document["elements"])
    )
    return candidate["theory"], float(entry["stability"]["e_above_hull"]), missing


def _phase_row(background: _Background, document: Mapping[str, Any], new: bool) -> PhaseRow:
    lineage, stability, novelty = document["lineage"], document["stability"], document["novelty"]
    prediction = document.get("prediction") or {}
    without = stability.get("e_above_hull_uncorrected")
    recheck, recheck_distance, recheck_missing = _recheck(background, document)
    return PhaseRow(
        formula=document["formula"],
        spacegroup=document["spacegroup"]["symbol"],
        spacegroup_number=document["spacegroup"]["number"],
        e_above_hull=stability["e_above_hull"],
        phase_separation_energy=stability["phase_separation_energy"],
        formation_energy=stability["formation_energy"],
        new=new,
        prototype=novelty["prototype"],
        new_prototype=novelty.get("new_prototype"),
        analogue=_named(background, novelty.get("analogue")),
        duplicate_of=novelty.get("duplicate_of") or "",
        likely_disorder=tuple("/".join(pair) for pair in novelty["likely_disorder"]),
        e_above_hull_uncorrected=without,
        correction_sensitive=is_sensitive(stability),
        unusual_elements=tuple(sorted((RADIOACTIVE | NOBLE_GASES).intersection(document["elements"]))),
        round=lineage["round"],
        source=lineage["source"],
        parent=lineage["parent_id"] or "",
        substitution=lineage["substitution"],
        lineage=ancestry(background, lineage),
        predicted_formation_energy=prediction.get("formation_energy"),
        iqr=prediction.get("iqr"),
        theory=document["theory"],
        entry=document["_id"],
        warnings=warnings(document.get("change"), (document.get("calculation") or {}).get("max_force")),
        recheck=recheck,
        recheck_e_above_hull=recheck_distance,
        recheck_missing=recheck_missing,
        displaced=_displaced(document),
        decomposition=tuple(
            f"{fraction:.2f} {(background.entry(key) or {}).get('formula', key)}"
            for key, fraction in sorted(stability["decomposition"].items(), key=lambda some: -some[1])
        ),
    )


def is_sensitive(stability: Mapping[str, Any]) -> bool:
    """Whether the energy corrections decide if an entry is on the hull."""
    without = stability.get("e_above_hull_uncorrected")
    return without is not None and (without <= STABLE_TOLERANCE) != (stability["e_above_hull"] <= STABLE_TOLERANCE)


def correction_note(row: PhaseRow) -> str:
    """What the corrections decide of a phase; empty for nothing."""
    if not row.correction_sensitive:
        return ""
    return f"hangs on the energy corrections: {row.e_above_hull_uncorrected:.3f} eV/atom above the hull without them"


def _displaced(document: Mapping[str, Any]) -> str:
    """When a phase that is not stable any more was last on the hull."""
    displaced = document.get("displaced")
    if not displaced or document["stability"]["e_above_hull"] <= STABLE_TOLERANCE:
        return ""
    return str(utc(displaced["until"]).date())


def _named(background: _Background, key: str | None) -> str:
    """A known crystal as people know it: its formula, and its name where it comes from."""
    document = background.entry(key)
    if document is None:
        return key or ""
    name = (document["outside"] or {}).get("key") or document["lineage"]["parent_id"] or key
    return f"{document['formula']} ({name})"


def write_crystals(store: Store, rows: Sequence[PhaseRow], directory: Path, kind: Literal["cif", "poscar"]) -> None:
    """Write the crystals of phases, a file each: FORMULA-ENTRY.cif, or FORMULA-ENTRY.poscar."""
    directory.mkdir(parents=True, exist_ok=True)
    structures = store.entries.structures([row.entry for row in rows])
    for row in rows:
        structures[row.entry].to(filename=str(directory / f"{row.formula}-{row.entry}.{kind}"), fmt=kind)


def ancestry(background: _Background, lineage: Mapping[str, Any]) -> tuple[str, ...]:
    """Steps from the first known crystal to this one: the crystal, then each substitution."""
    steps = []
    while True:
        steps.append(lineage["substitution"] or "as it is")
        parent = lineage["parent_id"] or ("random search" if lineage["source"] == "random" else "")
        document = background.entry(parent)
        if document is None:
            return (parent, *reversed(steps))
        lineage = document["lineage"]
