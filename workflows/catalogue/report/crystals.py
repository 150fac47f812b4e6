"""What the viewer draws of a crystal: the atoms of one cell with their periodic images on its faces, and bonds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pymatgen.core import Structure

FACE = 0.02  # a coordinate this near a face of the cell counts as on it
BOND = 1.2  # longest bond as a multiple of the sum of the covalent radii
MAX_ATOMS = 600  # no images on the faces beyond that


@dataclass(frozen=True)
class Crystal:
    """Atoms around the middle of their cell.

    Attributes:
        elements: symbols, an atom each.
        positions: angstrom, an atom each.
        bonds: pairs of atoms, by their numbers from 0.
        cell: the three edges, angstrom.
        origin: corner that the edges begin at, angstrom.
    """

    elements: tuple[str, ...]
    positions: tuple[tuple[float, float, float], ...]
    bonds: tuple[tuple[int, int], ...]
    cell: tuple[tuple[float, float, float], ...]
    origin: tuple[float, float, float]


def crystal_of(structure: Structure) -> Crystal:
    """The drawing of a crystal."""
    from ase.data import atomic_numbers, covalent_radii

    elements, fractions = [], []
    for site in structure:
        for image in _images(np.mod(site.frac_coords, 1.0), len(structure) <= MAX_ATOMS):
            elements.append(site.specie.symbol)
            fractions.append(image)
    matrix = structure.lattice.matrix
    middle = matrix.sum(axis=0) / 2
    positions = np.array(fractions) @ matrix - middle
    radii = covalent_radii[[atomic_numbers[symbol] for symbol in elements]]
    return Crystal(
        elements=tuple(elements),
        positions=tuple(_vector(position) for position in positions),
        bonds=_bonds(positions, radii),
        cell=tuple(_vector(edge) for edge in matrix),
        origin=_vector(-middle),
    )


def _images(fraction: np.ndarray, on_faces: bool) -> list[np.ndarray]:
    """The site, and its images on the opposite faces, edges and corners of the cell."""
    images = [np.where(fraction > 1 - FACE, fraction - 1, fraction)]
    for axis in range(3):
        if on_faces and images[0][axis] < FACE:
            images += [image + np.eye(3)[axis] for image in images]
    return images


def _bonds(positions: np.ndarray, radii: np.ndarray) -> tuple[tuple[int, int], ...]:
    from scipy.spatial import cKDTree

    pairs = cKDTree(positions).query_pairs(BOND * 2 * float(radii.max()), output_type="ndarray")
    lengths = np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)
    bonded = pairs[lengths < BOND * (radii[pairs[:, 0]] + radii[pairs[:, 1]])]
    return tuple(sorted((int(a), int(b)) for a, b in bonded))


def _vector(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (round(float(value), 3) + 0.0 for value in values)
    return x, y, z
