"""The crystals of phases: as files, and as pymatgen's entries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gnome_torch.files import write_whole
from workflows.catalogue.phases.rows import PhaseRow
from workflows.store import Store

if TYPE_CHECKING:
    from pymatgen.core import Structure
    from pymatgen.entries.computed_entries import ComputedStructureEntry

SYMMETRY_TOLERANCE = 0.01
"""Angstrom: a relaxed crystal is written with the symmetry that it has to this."""


def write_crystals(store: Store, rows: Sequence[PhaseRow], directory: Path, kind: Literal["cif", "poscar"]) -> None:
    """Write the crystals of phases, a file each: FORMULA-ENTRY.cif, or FORMULA-ENTRY.poscar."""
    directory.mkdir(parents=True, exist_ok=True)
    structures = store.entries.structures([row.entry for row in rows])
    for row in rows:
        crystal = structures[row.entry]
        text = cif_of(crystal) if kind == "cif" else crystal.to(fmt="poscar")
        write_whole(directory / f"{row.formula}-{row.entry}.{kind}", text)


def cif_of(structure: Structure) -> str:
    """A crystal as CIF, in its conventional cell with space group and operations."""
    from pymatgen.io.cif import CifWriter
    from pymatgen.symmetry.analyzer import SymmetryUndeterminedError

    try:
        return str(CifWriter(structure, symprec=SYMMETRY_TOLERANCE, significant_figures=12))
    except (SymmetryUndeterminedError, TypeError, ValueError):  # spglib finds none where atoms are too near
        return str(CifWriter(structure, significant_figures=12))


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
