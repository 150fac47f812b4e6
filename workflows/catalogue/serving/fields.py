"""Properties that OPTIMADE does not know, under the prefix `_gnome_`: what each is, and where an entry has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gnome_torch.stability.changes import warnings

PREFIX = "gnome"
PER_ATOM = "eV/{atom}"  # UCUM: the atom is an annotation


@dataclass(frozen=True)
class Found:
    """An entry, and what is known of it from elsewhere.

    Attributes:
        entry: its document, without the crystal.
        imported: whether its composition has been imported, at whatever theory.
        second: its place at the theory of its second opinion; None where it has none.
    """

    entry: Mapping[str, Any]
    imported: bool
    second: Mapping[str, Any] | None

    def stability(self, name: str) -> float | None:
        place = self.entry["stability"]
        return None if place is None else float(place[name])


@dataclass(frozen=True)
class Field:
    """A property of ours.

    Attributes:
        name: without the prefix.
        type: OPTIMADE's name of it.
        description: what it is.
        value: of a found phase.
        unit: in UCUM; None for none.
        indexed: whether the database has an index on it.
    """

    name: str
    type: str
    description: str
    value: Callable[[Found], Any]
    unit: str | None = None
    indexed: bool = False

    @property
    def key(self) -> str:
        return f"_{PREFIX}_{self.name}"

    def definition(self) -> dict[str, Any]:
        """As optimade's server takes it, and shows it under /info/structures."""
        unit = {} if self.unit is None else {"unit": self.unit}
        return {"name": self.key, "type": self.type, "description": self.description, "sortable": True, **unit}


FIELDS = (
    Field(
        "e_above_hull",
        "float",
        "Distance to the convex hull of all entries of its theory, per atom; 0 for stable phases. Null while its hull "
        "has not been computed.",
        lambda found: found.stability("e_above_hull"),
        PER_ATOM,
        indexed=True,
    ),
    Field(
        "phase_separation_energy",
        "float",
        "Energy against the best combination of other phases, per atom; negative for stable compounds.",
        lambda found: found.stability("phase_separation_energy"),
        PER_ATOM,
        indexed=True,
    ),
    Field(
        "formation_energy",
        "float",
        "Energy against the elements of its theory, per atom, corrections included.",
        lambda found: found.stability("formation_energy"),
        PER_ATOM,
        indexed=True,
    ),
    Field(
        "energy_per_atom",
        "float",
        "Total energy per atom, corrections included.",
        lambda found: float(found.entry["energy_per_atom"]),
        PER_ATOM,
    ),
    Field(
        "energy_per_atom_uncorrected",
        "float",
        "Total energy per atom as it was computed.",
        lambda found: float(found.entry["energy"] / found.entry["nsites"]),
        PER_ATOM,
    ),
    Field(
        "theory",
        "string",
        "Level of theory: energies and hulls of different theories are not comparable.",
        lambda found: found.entry["theory"],
        indexed=True,
    ),
    Field(
        "campaigns",
        "list",
        "Campaigns that have it, as strings.",
        lambda found: sorted(found.entry["campaigns"]),
        indexed=True,
    ),
    Field(
        "round",
        "integer",
        "Round of the campaign that proposed it; 0 for the known crystals that a campaign begins with.",
        lambda found: found.entry["lineage"]["round"],
        indexed=True,
    ),
    Field(
        "source",
        "string",
        "How it was proposed: prototype, element, file, substitution, saps or random.",
        lambda found: found.entry["source"],
    ),
    Field(
        "parent",
        "string",
        "Prototype or structure whose geometry it began from; null for none.",
        lambda found: found.entry["lineage"]["parent_id"] or None,
    ),
    Field(
        "substitution",
        "string",
        "What was replaced in the parent; null for nothing.",
        lambda found: found.entry["lineage"]["substitution"] or None,
    ),
    Field(
        "new_composition",
        "boolean",
        "Whether its composition is neither in the first data of the campaign that computed it nor imported.",
        lambda found: bool(found.entry["novelty"]["new_composition"]) and not found.imported,
        indexed=True,
    ),
    Field(
        "prototype",
        "string",
        "Label of its prototype: anonymous formula, Pearson symbol, space group number, Wyckoff letters. Null where no "
        "symmetry was found.",
        lambda found: found.entry["novelty"]["prototype"],
        indexed=True,
    ),
    Field(
        "space_group",
        "string",
        "Hermann-Mauguin symbol, found with a tolerance of 0.1 angstrom.",
        lambda found: found.entry["spacegroup"]["symbol"],
    ),
    Field(
        "duplicate_of",
        "string",
        "Older structure that is the same crystal; null for none.",
        lambda found: found.entry["novelty"].get("duplicate_of"),
    ),
    Field(
        "likely_disorder",
        "list",
        "Pairs of elements that probably share their sites, as strings such as Fe/Ni.",
        lambda found: ["/".join(pair) for pair in found.entry["novelty"]["likely_disorder"]],
    ),
    Field(
        "e_above_hull_uncorrected",
        "float",
        "Distance per atom to the hull of the same entries without energy corrections; null where there are none.",
        lambda found: (found.entry["stability"] or {}).get("e_above_hull_uncorrected"),
        PER_ATOM,
    ),
    Field(
        "warnings",
        "list",
        "What its relaxation did that casts doubt on it, as strings such as 'fell apart'.",
        lambda found: list(
            warnings(found.entry.get("change"), (found.entry.get("calculation") or {}).get("max_force"))
        ),
    ),
    Field(
        "predicted_formation_energy",
        "float",
        "Formation energy per atom that the networks predicted; null for first data.",
        lambda found: (found.entry.get("prediction") or {}).get("formation_energy"),
        PER_ATOM,
    ),
    Field(
        "second_opinion_theory",
        "string",
        "Theory at which the phase was relaxed and placed again; null for none.",
        lambda found: found.second and found.second["theory"],
    ),
    Field(
        "second_opinion_e_above_hull",
        "float",
        "Distance per atom to the hull of that theory, as far as competing phases have been computed there.",
        lambda found: found.second and float(found.second["stability"]["e_above_hull"]),
        PER_ATOM,
    ),
)
