"""Properties that OPTIMADE does not know, under the prefix `_gnome_`: which fields are served, and as what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workflows.catalogue.fields import FIELDS, PER_ATOM, Field
from workflows.catalogue.known import Known

PREFIX = "gnome"
UNITS = {PER_ATOM: "eV/{atom}"}
"""Our units in UCUM; the atom is an annotation there."""


@dataclass(frozen=True)
class Property:
    """A field as it is served.

    Attributes:
        name: without the prefix.
        field: what it is.
        indexed: whether the database has an index on it.
    """

    name: str
    field: Field
    indexed: bool = False

    @property
    def key(self) -> str:
        """Name with the prefix."""
        return f"_{PREFIX}_{self.name}"

    def definition(self) -> dict[str, Any]:
        """As optimade's server takes it, and shows it under /info/structures."""
        description = f"{self.field.description[:1].upper()}{self.field.description[1:]}."
        unit = {"unit": UNITS[self.field.unit]} if self.field.unit else {}
        return {"name": self.key, "type": self.field.kind.value, "description": description, "sortable": True, **unit}

    def value(self, known: Known) -> Any:
        """Of an entry, as JSON has it."""
        value = self.field.read(known)
        return list(value) if isinstance(value, tuple) else value


def _property(name: str, field: str = "", indexed: bool = False) -> Property:
    return Property(name, FIELDS[field or name], indexed)


PROPERTIES = (
    _property("e_above_hull", indexed=True),
    _property("phase_separation_energy", indexed=True),
    _property("formation_energy", indexed=True),
    _property("energy_per_atom"),
    _property("energy_per_atom_uncorrected"),
    _property("theory", indexed=True),
    _property("campaigns", indexed=True),
    _property("round", indexed=True),
    _property("source"),
    _property("parent"),
    _property("substitution"),
    _property("new_composition", indexed=True),
    _property("prototype", indexed=True),
    _property("space_group", "spacegroup"),
    _property("duplicate_of"),
    _property("likely_disorder"),
    _property("e_above_hull_uncorrected"),
    _property("warnings"),
    _property("predicted_formation_energy"),
    # names that clients know
    _property("second_opinion_theory", "recheck_theory"),
    _property("second_opinion_e_above_hull", "recheck_e_above_hull"),
)
