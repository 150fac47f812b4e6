"""Documents of entries: what is written of a computed crystal, and of an entry that comes from outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pymatgen.core import Composition, Structure

from gnome_torch.data.origins import NOT_STATED
from gnome_torch.records import EntryEnergy, Lineage, content_hash, structure_key
from gnome_torch.stability.novelty import likely_disorder, prototype_of
from gnome_torch.symmetry import symmetry
from workflows.store.base import Document, now

SPACE_GROUP_TOLERANCE = 0.1  # angstrom, the Materials Project's


@dataclass(frozen=True)
class OutsideEntry:
    """An entry that comes from outside.

    Attributes:
        key: name in its source.
        structure: crystal; None where only the composition is known.
        energy: its energy, under the key of the entry.
        scheme: name and version of pymatgen of the correction, if it is ours.
        parameters: what it was computed with, which a correction depends on; None if not known.
        licence: under which it may be used.
    """

    key: str
    structure: Structure | None
    energy: EntryEnergy
    scheme: Mapping[str, str] | None = None
    parameters: Mapping[str, Any] | None = None
    licence: str = NOT_STATED

    @property
    def id(self) -> str:
        """Key of the entry."""
        return self.energy.id


def entry_id(structure: Structure, theory: str) -> str:
    """Key of the entry that relaxing a crystal at a theory gives."""
    return content_hash({"input": structure_key(structure), "theory": theory})


def of_crystal(structure: Structure) -> Document:
    """Fields of an entry that follow from its crystal."""
    group = symmetry(structure, SPACE_GROUP_TOLERANCE)
    return {
        **_of_composition(structure.composition),
        "nsites": len(structure),
        "structure": structure.as_dict(),
        "spacegroup": {"number": group.number, "symbol": group.symbol},
        "novelty": {
            "prototype": prototype_of(structure),
            "likely_disorder": [list(pair) for pair in likely_disorder(structure)],
        },
    }


def _of_composition(composition: Composition) -> Document:
    return {
        "formula": composition.reduced_formula,
        "chemsys": composition.chemical_system,
        "elements": sorted(element.symbol for element in composition),
        "nelements": len(composition),
    }


def record_id(record: OutsideEntry, source: str) -> str:
    """What a record is called in its source, at its theory: one indexed field in the place of three."""
    return content_hash({"source": source, "theory": record.energy.theory, "key": record.key})


def written() -> dict[str, datetime]:
    """When an entry was written, and when it last changed: every later write of it notes that anew."""
    moment = now()
    return {"created": moment, "changed": moment}


def _whole(number: float) -> float:
    return int(number) if number == int(number) else number


def of_energy(energy: float, correction: float, nsites: float, theory: str) -> Document:
    """Fields of an entry that hold its energy, eV per cell and eV/atom."""
    return {
        "energy": energy,
        "correction": correction,
        "energy_per_atom": (energy + correction) / nsites,
        "theory": theory,
    }


def outside_document(record: OutsideEntry, source: str, version: str) -> Document:
    """Document of an entry of a source, of a version of it."""
    if record.structure is not None:
        fields = of_crystal(record.structure)
    else:  # one formula unit takes the place of the cell
        composition = Composition(record.energy.reduced_formula)
        fields = {**_of_composition(composition), "nsites": _whole(composition.num_atoms), "structure": None}
        fields |= {"spacegroup": None, "novelty": {"prototype": None, "likely_disorder": []}}
    n = fields["nsites"]
    fields["novelty"]["new_composition"] = False
    return {
        "_id": record.id,
        **fields,
        **of_energy(record.energy.uncorrected * n, record.energy.correction * n, n, record.energy.theory),
        "source": "outside",
        "lineage": {**asdict(Lineage("outside")), "campaign": None},
        "outside": {
            "source": source,
            "key": record.key,
            "version": version,
            "record": record_id(record, source),
            "licence": record.licence,
            "parameters": dict(record.parameters) if record.parameters else None,
        },
        "correction_scheme": dict(record.scheme) if record.scheme else None,
        "campaigns": [],
        "stability": None,
        **written(),
    }
