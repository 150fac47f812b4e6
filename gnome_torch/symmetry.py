"""Symmetry of a crystal, through moyopy: space group, orbits, and what the operations do to the sites."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import moyopy
import numpy as np
from pymatgen.core import Element, Structure

# Images of sites compared at once; memory, not a limit
_BLOCK = 2_000_000


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
    dataset = _dataset(structure.lattice.matrix, structure.frac_coords, list(structure.atomic_numbers), symprec)
    if dataset is None:
        return Symmetry(1, "P1", tuple(range(len(structure))))
    number = int(dataset.number)
    return Symmetry(number, moyopy.SpaceGroupType(number).hm_short.replace(" ", ""), tuple(dataset.orbits))


def site_permutations(matrix: np.ndarray, frac_coords: np.ndarray, symprec: float = 0.01) -> np.ndarray:
    """What the isometries of a set of sites, all taken as alike, do to them, (n_operations, n_sites), int16.

    Row by row: site i goes to where site `row[i]` is. The operations are those that keep the cell's lattice, the
    translations inside a cell that is not primitive among them; each permutation comes once, the identity first.
    A decorated crystal has the rows that also keep its species (`keeping`).

    Args:
        matrix: lattice vectors as rows, angstrom, (3, 3).
        frac_coords: fractional coordinates, (n_sites, 3).
        symprec: tolerance on positions, angstrom.
    """
    n_sites = len(frac_coords)
    identity = np.arange(n_sites)[None]
    dataset = _dataset(matrix, frac_coords, [1] * n_sites, symprec)
    if dataset is None:
        return identity
    rotations = np.array(dataset.operations.rotations, dtype=float)
    translations = np.array(dataset.operations.translations, dtype=float)
    permutations = [identity]
    step = max(1, _BLOCK // n_sites**2)
    for start in range(0, len(rotations), step):
        some = slice(start, start + step)
        images = np.einsum("oij,nj->oni", rotations[some], frac_coords) + translations[some, None, :]
        apart = images[:, :, None, :] - frac_coords[None, None, :, :]
        apart -= np.round(apart)
        squared = ((apart @ matrix) ** 2).sum(axis=-1)  # (operations, n_sites, n_sites), angstrom^2
        found = squared.argmin(axis=-1)
        # an operation that is one only within the tolerance may send two sites to the same place: leave it out
        one_to_one = (np.sort(found, axis=1) == identity).all(axis=1)
        permutations.append(found[one_to_one])
    unique = np.unique(np.concatenate(permutations), axis=0)
    return unique.astype(np.int16)  # a hundred thousand parents stay in memory


def keeping(permutations: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """The permutations that send every site to one of its own colour."""
    return np.asarray(permutations[(colours[permutations] == colours).all(axis=1)])


def orbits(permutations: np.ndarray) -> np.ndarray:
    """For each site the first site equivalent to it, (n_sites,)."""
    return np.asarray(permutations.min(axis=0))


def _dataset(
    matrix: np.ndarray, frac_coords: np.ndarray, numbers: list[int], symprec: float
) -> moyopy.MoyoDataset | None:
    logging.getLogger("moyo").setLevel(logging.ERROR)  # supercells: it tells of operations that do not keep the cell
    cell = moyopy.Cell(np.asarray(matrix).tolist(), (np.asarray(frac_coords) % 1.0).tolist(), numbers)
    try:
        return moyopy.MoyoDataset(cell, symprec=symprec)
    except ValueError:
        return None


def primitive(structure: Structure, symprec: float = 1e-3) -> Structure | None:
    """Primitive cell in its standard setting; None where no symmetry is found.

    Args:
        structure: an ordered crystal.
        symprec: tolerance on positions, angstrom.
    """
    dataset = _dataset(structure.lattice.matrix, structure.frac_coords, list(structure.atomic_numbers), symprec)
    if dataset is None:
        return None
    cell = dataset.prim_std_cell
    return Structure(cell.basis, [Element.from_Z(number) for number in cell.numbers], cell.positions)
