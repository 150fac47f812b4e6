"""Known crystals to substitute in: checked, and measured once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from pymatgen.core import Lattice, Structure

SHELLS = 20
"""Distances that describe a pair of sites: enough to tell cubic from hexagonal stacking."""

OVERLAP = 0.5
"""Atoms nearer than this lie on one another, angstrom."""


class ParentError(ValueError):
    """A crystal in which nothing can be substituted; the message says why."""


@dataclass(frozen=True, eq=False)
class Parent:
    """A known crystal to substitute in.

    Attributes:
        id: key that candidates name it by.
        numbers: atomic number of each site, (n_sites,).
        matrix: lattice vectors as rows, angstrom, (3, 3).
        frac_coords: fractional coordinates, (n_sites, 3).
        closest: shortest distance of each pair of sites over all images, angstrom, (n_sites, n_sites); for a site and
            itself that to its nearest own image.
        volume: of the cell, cubic angstrom.
        states: oxidation state of each element (atomic number -> state) where the crystal came with them.
    """

    id: str
    numbers: np.ndarray
    matrix: np.ndarray
    frac_coords: np.ndarray
    closest: np.ndarray
    volume: float
    states: Mapping[int, int] | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def structure(self) -> Structure:
        """The crystal."""
        return Structure(Lattice(self.matrix), self.numbers.tolist(), self.frac_coords)


def parent_of(key: str, structure: Structure, max_sites: int | None = None) -> Parent:
    """Check a crystal and measure it.

    Args:
        key: its name.
        structure: the crystal; oxidation states are used if every site has one.
        max_sites: largest number of atoms in the cell.

    Raises:
        ParentError: it is disordered, has a single atom, overlapping atoms, too many atoms, or something that is no
            element.
    """
    if not structure.is_ordered:
        raise ParentError("partly occupied sites: order it first (pymatgen's OrderDisorderedStructureTransformation)")
    unknown = sorted({site.species_string for site in structure if not 1 <= getattr(site.specie, "Z", 0) <= 118})
    if unknown:
        raise ParentError(f"unknown element {', '.join(unknown)}")
    if len(structure) < 2:
        raise ParentError("one atom in the cell: nothing but another element can come of it; give a larger cell")
    if max_sites is not None and len(structure) > max_sites:
        raise ParentError(f"more than {max_sites} atoms in the cell")
    matrix, frac_coords = np.array(structure.lattice.matrix), np.array(structure.frac_coords)
    volume = abs(float(np.linalg.det(matrix)))
    if not np.isfinite(matrix).all() or not np.isfinite(frac_coords).all() or volume < 1e-3:
        raise ParentError("its cell has no volume, or a coordinate is not a number")
    closest = pair_distances(matrix, frac_coords)[..., 0]
    if closest.min() < OVERLAP:
        raise ParentError(f"overlapping atoms, {closest.min():.2f} angstrom apart")
    numbers = np.array([site.specie.Z for site in structure], dtype=np.uint8)
    return Parent(key, numbers, matrix, frac_coords, np.ascontiguousarray(closest), volume, _states(structure))


def pair_distances(matrix: np.ndarray, frac_coords: np.ndarray) -> np.ndarray:
    """Shortest distances of each pair of sites over all images, ascending, angstrom, (n_sites, n_sites, 20)."""
    reduced = Lattice(matrix).get_lll_reduced_lattice()
    coords = np.asarray(frac_coords) @ matrix @ np.linalg.inv(reduced.matrix)
    apart = coords[:, None, :] - coords[None, :, :]
    apart -= np.round(apart)
    images = np.array(list(product(range(-2, 3), repeat=3)), dtype=float)
    vectors = (apart[:, :, None, :] + images) @ reduced.matrix  # (n, n, 125, 3)
    distances = np.sqrt((vectors**2).sum(axis=-1))
    itself = np.arange(len(coords))
    distances[itself, itself, len(images) // 2] = np.inf
    return np.sort(np.partition(distances, SHELLS, axis=-1)[..., :SHELLS], axis=-1)


def _states(structure: Structure) -> Mapping[int, int] | None:
    """Oxidation states that came with the crystal: integers, one per element, neutral together."""
    states: dict[int, int] = {}
    total = 0.0
    for site in structure:
        state = getattr(site.specie, "oxi_state", None)
        if not state or state != int(state) or states.setdefault(site.specie.Z, int(state)) != state:
            return None
        total += state
    return states if abs(total) < 1e-6 else None
