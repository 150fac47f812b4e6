"""Crystals that come from ASE: frames, trajectories, rows of a database."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, cast

import numpy as np
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from gnome_torch.data.sound import CrystalError, check_is_bulk, sound, sound_lattice

if TYPE_CHECKING:
    from ase import Atoms

_ISOTOPE = re.compile(r"^(\s*)[DT](?=\s)", re.MULTILINE)


def crystal_of_atoms(atoms: Atoms) -> Structure:
    """The crystal that ASE's atoms are.

    Raises:
        CrystalError: they have no cell, are not periodic in all directions, are a molecule or slab in a box, or cannot
            be a crystal for another reason.
    """
    if not np.isfinite(atoms.cell.array).all():
        raise CrystalError(f"its cell is not finite: {atoms.cell.array.tolist()}")
    if atoms.cell.rank < 3:
        raise CrystalError("it has no cell: no crystal")
    if not atoms.pbc.all():
        raise CrystalError(f"not periodic in three dimensions (pbc {' '.join('FT'[int(flag)] for flag in atoms.pbc)})")
    if not (atoms.numbers > 0).all():
        raise CrystalError("X is not an element")
    structure = AseAtomsAdaptor.get_structure(atoms)
    sound_lattice(structure.lattice)
    structure = sound(structure)
    check_is_bulk(structure)
    return structure


def atoms_of_frame(text: str) -> Atoms:
    """The atoms of one frame of extended XYZ, isotopes as their elements, which ASE does not know.

    Raises:
        Exception: whatever ASE's reader stumbles over.
    """
    from ase.io import read

    head, _, atoms = text.partition("\n")
    comment, _, lines = atoms.partition("\n")
    plain = "\n".join([head, comment, _ISOTOPE.sub(r"\1H", lines)])
    return cast("Atoms", read(io.StringIO(plain), format="extxyz"))
