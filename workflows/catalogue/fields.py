"""The fields of an entry, each described once: what `gnome stable`, exports and the OPTIMADE server choose from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gnome_torch.candidates.chemistry.policy import NOBLE_GASES, RADIOACTIVE
from gnome_torch.data.origins import licence_of
from gnome_torch.stability.changes import warnings
from gnome_torch.stability.hull import STABLE_TOLERANCE
from workflows.catalogue.known import Known
from workflows.store import utc

EV = "eV"
PER_ATOM = "eV/atom"


class Kind(StrEnum):
    """Types of values, by OPTIMADE's names."""

    TEXT = "string"
    NUMBER = "float"
    WHOLE = "integer"
    TRUTH = "boolean"
    LIST = "list"


@dataclass(frozen=True)
class Field:
    """One fact about an entry.

    Attributes:
        name: of it.
        kind: type of its values.
        description: what it is, to go behind its name.
        read: its value; None for nothing.
        unit: of numbers; empty for none.
        between: what stands between the parts of a list where they share a cell.
    """

    name: str
    kind: Kind
    description: str
    read: Callable[[Known], Any]
    unit: str = ""
    between: str = ""

    @property
    def meaning(self) -> str:
        """Description and unit."""
        return f"{self.description} ({self.unit})" if self.unit else self.description

    def cell(self, value: Any) -> Any:
        """A value as one cell of a table holds it."""
        return value if value is None or self.kind is not Kind.LIST else self.between.join(value)


def _of_entry(name: str) -> Callable[[Known], Any]:
    return lambda known: known.document[name]


def _within(part: str, name: str) -> Callable[[Known], Any]:
    """A value in a part of the document, which may not be there yet; nothing where it is empty."""

    def read(known: Known) -> Any:
        value = (known.document.get(part) or {}).get(name)
        return None if value == "" else value

    return read


def _likely_disorder(known: Known) -> tuple[str, ...]:
    return tuple("/".join(pair) for pair in known.document["novelty"].get("likely_disorder") or ())


def _correction_sensitive(known: Known) -> bool:
    stability = known.document["stability"] or {}
    without = stability.get("e_above_hull_uncorrected")
    return without is not None and (without <= STABLE_TOLERANCE) != (stability["e_above_hull"] <= STABLE_TOLERANCE)


def _warnings(known: Known) -> tuple[str, ...]:
    return warnings(known.document.get("change"), (known.document.get("calculation") or {}).get("max_force"))


def _displaced(known: Known) -> str | None:
    displaced = known.document.get("displaced")
    if not displaced or known.document["stability"]["e_above_hull"] <= STABLE_TOLERANCE:
        return None
    return str(utc(displaced["until"]).date())


def _decomposition(known: Known) -> tuple[str, ...]:
    fractions = known.document["stability"]["decomposition"]
    largest_first = sorted(fractions, key=lambda key: -fractions[key])
    return tuple(f"{fractions[key]:.2f} {known.formula_of(key)}" for key in largest_first)


def _licence(known: Known) -> str | None:
    outside = known.document.get("outside")
    return licence_of(outside) if outside else None


_ALL = (
    # what it is
    Field(
        "entry",
        Kind.TEXT,
        "key of the entry: content hash of the crystal that went in and the theory",
        _of_entry("_id"),
    ),
    Field("formula", Kind.TEXT, "reduced formula", _of_entry("formula")),
    Field("chemsys", Kind.TEXT, "chemical system", _of_entry("chemsys")),
    Field("nsites", Kind.WHOLE, "atoms in the cell", _of_entry("nsites")),
    Field(
        "spacegroup",
        Kind.TEXT,
        "Hermann-Mauguin symbol of the space group, found with a tolerance of 0.1 angstrom",
        _within("spacegroup", "symbol"),
    ),
    Field(
        "spacegroup_number",
        Kind.WHOLE,
        "number of the space group, found with a tolerance of 0.1 angstrom",
        _within("spacegroup", "number"),
    ),
    Field(
        "unusual_elements",
        Kind.LIST,
        "radioactive elements and noble gases that it holds, which campaigns refuse unless told otherwise",
        lambda known: tuple(sorted((RADIOACTIVE | NOBLE_GASES).intersection(known.document["elements"]))),
        between=" ",
    ),
    Field(
        "likely_disorder",
        Kind.LIST,
        "pairs of elements that probably share their sites, such as Fe/Ni",
        _likely_disorder,
        between=" ",
    ),
    # its energy
    Field(
        "theory",
        Kind.TEXT,
        "how its energy was computed: energies and hulls of different theories are not comparable",
        _of_entry("theory"),
    ),
    Field("energy", Kind.NUMBER, "total energy of the cell as it was computed", _of_entry("energy"), EV),
    Field("correction", Kind.NUMBER, "added to the energy of the cell before the hull", _of_entry("correction"), EV),
    Field(
        "energy_per_atom",
        Kind.NUMBER,
        "total energy per atom, corrections included",
        lambda known: float(known.document["energy_per_atom"]),
        PER_ATOM,
    ),
    Field(
        "energy_per_atom_uncorrected",
        Kind.NUMBER,
        "total energy per atom as it was computed",
        lambda known: float(known.document["energy"] / known.document["nsites"]),
        PER_ATOM,
    ),
    Field(
        "formation_energy",
        Kind.NUMBER,
        "energy per atom against the elements of its theory, corrections included",
        _within("stability", "formation_energy"),
        PER_ATOM,
    ),
    Field(
        "predicted_formation_energy",
        Kind.NUMBER,
        "formation energy per atom that the ensemble predicted; none for first data",
        _within("prediction", "formation_energy"),
        PER_ATOM,
    ),
    Field("iqr", Kind.NUMBER, "inter-quartile range of that prediction", _within("prediction", "iqr"), PER_ATOM),
    # its place on the hull
    Field(
        "e_above_hull",
        Kind.NUMBER,
        "distance per atom to the convex hull of all entries of its theory; 0 for stable phases, none while it has not "
        "been placed there",
        _within("stability", "e_above_hull"),
        PER_ATOM,
    ),
    Field(
        "e_above_hull_uncorrected",
        Kind.NUMBER,
        "distance per atom to the hull of the same entries without energy corrections; none where the theory has none",
        _within("stability", "e_above_hull_uncorrected"),
        PER_ATOM,
    ),
    Field(
        "correction_sensitive",
        Kind.TRUTH,
        "whether it is on the hull with the corrections and off it without, or the other way",
        _correction_sensitive,
    ),
    Field(
        "phase_separation_energy",
        Kind.NUMBER,
        "energy per atom against the best combination of phases of other compositions; negative for stable compounds",
        _within("stability", "phase_separation_energy"),
        PER_ATOM,
    ),
    Field(
        "decomposition",
        Kind.LIST,
        "stable phases that it would fall apart into, with their fractions of the atoms, such as 0.60 MgO; itself "
        "where it is stable",
        _decomposition,
        between=" + ",
    ),
    Field(
        "displaced",
        Kind.TEXT,
        "day on which a deeper phase took it off the hull; none for what is on it, or never was",
        _displaced,
    ),
    # what is new about it
    Field(
        "new",
        Kind.TRUTH,
        "whether its composition is new: not imported, at whatever theory, not in the first data of a campaign that "
        "had begun by then, and no other campaign came to it earlier",
        lambda known: known.is_new_composition,
    ),
    Field(
        "new_composition",
        Kind.TRUTH,
        "whether its composition is new: not imported, at whatever theory, not in the first data of a campaign that "
        "had begun by then, and no other campaign came to it earlier",
        lambda known: known.is_new_composition,
    ),
    Field(
        "prototype",
        Kind.TEXT,
        "label of its prototype: anonymous formula, Pearson symbol, space group number, Wyckoff letters; none where no "
        "symmetry was found",
        _within("novelty", "prototype"),
    ),
    Field(
        "new_prototype",
        Kind.TRUTH,
        "whether no known crystal has its prototype; none for known phases",
        _within("novelty", "new_prototype"),
    ),
    Field(
        "analogue",
        Kind.TEXT,
        "known crystal of the same prototype with the most similar elements",
        lambda known: known.name_of(known.document["novelty"].get("analogue")),
    ),
    Field(
        "duplicate_of",
        Kind.TEXT,
        "older entry that is the same crystal, if any, other than an earlier find of the same campaign",
        lambda known: known.duplicate_of,
    ),
    # where it comes from
    Field("campaigns", Kind.LIST, "campaigns that have it", lambda known: tuple(sorted(known.document["campaigns"]))),
    Field(
        "round",
        Kind.WHOLE,
        "round of the campaign that proposed it, or, in a list that has each crystal once, that came to it first; 0 "
        "for the known crystals that a campaign begins with",
        lambda known: known.round,
    ),
    Field(
        "source",
        Kind.TEXT,
        "how it was proposed: prototype, element, file, substitution, saps or random; outside for what was imported",
        _of_entry("source"),
    ),
    Field(
        "parent",
        Kind.TEXT,
        "prototype or entry whose geometry it began from, if any",
        _within("lineage", "parent_id"),
    ),
    Field(
        "substitution",
        Kind.TEXT,
        "what was replaced in the parent, if anything",
        _within("lineage", "substitution"),
    ),
    Field(
        "lineage",
        Kind.LIST,
        "the same, traced back to a known crystal: that crystal, then each substitution",
        lambda known: known.ancestry(),
        between=" | ",
    ),
    Field(
        "licence",
        Kind.TEXT,
        "licence of an imported entry, as its publisher states it; none for what campaigns computed",
        _licence,
    ),
    # what casts doubt on it
    Field(
        "warnings",
        Kind.LIST,
        "what its relaxation did that casts doubt on it, such as 'fell apart'",
        _warnings,
        between="; ",
    ),
    Field(
        "recheck",
        Kind.TEXT,
        "what came of relaxing it again at another theory: nothing (not asked for), 'relaxing', 'failed: reason', 'not "
        "placed' (its hull has not been renewed since, or an element has no reference there), or that theory",
        lambda known: known.recheck.outcome,
    ),
    Field(
        "recheck_theory",
        Kind.TEXT,
        "theory at which it was relaxed again and placed; none until then",
        lambda known: known.recheck.theory,
    ),
    Field(
        "recheck_e_above_hull",
        Kind.NUMBER,
        "distance per atom to the hull of that theory, as far as competing phases have been computed there; none "
        "unless it is placed there",
        lambda known: known.recheck.e_above_hull,
        PER_ATOM,
    ),
    Field(
        "crystals_tried",
        Kind.WHOLE,
        "crystals of its composition that its campaign has relaxed or is relaxing; 0 where `screening.confirm` is 0",
        lambda known: known.tried,
    ),
    Field(
        "unconfirmed",
        Kind.TRUTH,
        "fewer than `screening.confirm` asks for: the ground state may be another crystal",
        lambda known: known.tried < known.wanted,
    ),
    Field(
        "recheck_missing",
        Kind.LIST,
        "competing phases whose recheck is outstanding or has failed: with them, the distance may be larger",
        lambda known: known.recheck.missing,
        between=" ",
    ),
)
FIELDS = {field.name: field for field in _ALL}


def explained(summary: str | None, names: Iterable[str]) -> str:
    """A docstring that says of each attribute what it is."""
    return "\n".join(
        [summary or "", "", "Attributes:", *(f"    {name}: {FIELDS[name].meaning}." for name in names), ""]
    )
