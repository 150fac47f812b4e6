"""Symmetry of a crystal, through moyopy."""

from __future__ import annotations

from dataclasses import dataclass

import moyopy
from pymatgen.core import Structure


@dataclass(frozen=True)
class Symmetry:
    """Space group and orbits of a crystal.

    Attributes:
        number: space-group number; 1 when the search failed.
        symbol: Hermann-Mauguin symbol.
        orbits: for each site the index of the first site equivalent to it, (n_sites,).
    """

    number: int
    symbol: str
    orbits: tuple[int, ...]


def symmetry(structure: Structure, symprec: float = 0.01) -> Symmetry:
    """Space group and orbits.

    Args:
        structure: an ordered crystal.
        symprec: tolerance on positions, angstrom.

    Returns:
        P1 with every site its own orbit where moyopy finds no consistent symmetry (heavily distorted cells).
    """
    cell = moyopy.Cell(
        structure.lattice.matrix.tolist(), (structure.frac_coords % 1.0).tolist(), list(structure.atomic_numbers)
    )
    try:
        dataset = moyopy.MoyoDataset(cell, symprec=symprec)
    except ValueError:
        return Symmetry(1, "P1", tuple(range(len(structure))))
    number = int(dataset.number)
    return Symmetry(number, moyopy.SpaceGroupType(number).hm_short.replace(" ", ""), tuple(dataset.orbits))
