"""The crystals of phases: as files, and as pymatgen's entries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from workflows.catalogue.phases.rows import PhaseRow
from workflows.store import Store

if TYPE_CHECKING:
    from pymatgen.entries.computed_entries import ComputedStructureEntry


def write_crystals(store: Store, rows: Sequence[PhaseRow], directory: Path, kind: Literal["cif", "poscar"]) -> None:
    """Write the crystals of phases, a file each: FORMULA-ENTRY.cif, or FORMULA-ENTRY.poscar."""
    directory.mkdir(parents=True, exist_ok=True)
    structures = store.entries.structures([row.entry for row in rows])
    for row in rows:
        structures[row.entry].to(filename=str(directory / f"{row.formula}-{row.entry}.{kind}"), fmt=kind)


def computed_entries(store: Store, rows: Sequence[PhaseRow]) -> list[ComputedStructureEntry]:
    """Entries as pymatgen has them, in the order of the rows: energies uncorrected, corrections beside them, eV."""
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
