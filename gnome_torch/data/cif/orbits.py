"""All atoms of a cell from its sites and symmetry operations, where rounded coordinates make no atoms of their own.

An operation that moves a site by no more than the rounding of its coordinates leaves the atom in its place: 0.333,
0.667 stands on the threefold axis. Such a site is set onto its axis, plane or centre before the others are made of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pymatgen.core import Lattice, Structure

from gnome_torch.data.cif.blocks import CifError
from gnome_torch.data.cif.operations import Operations
from gnome_torch.data.cif.sites import Site

SURELY_ONE = 0.05
"""Images of a site this near are one atom, angstrom: no rounding explains more for coordinates of three digits."""
AT_MOST = 0.3
"""How far rounding may take an image, angstrom, before coordinates are too coarse to tell."""
MOST_ATOMS = 100_000
"""Atoms in a cell; thousands of times what a calculation can bear."""


def all_atoms(lattice: Lattice, sites: Sequence[Site], operations: Operations) -> Structure:
    """The cell with every image of every site, sorted by electronegativity.

    Raises:
        CifError: there are too many, or images of a site are neither one atom nor several.
    """
    if len(sites) * len(operations) > MOST_ATOMS:
        raise CifError(f"{len(sites)} sites and {len(operations)} operations: more than {MOST_ATOMS} atoms")
    species, positions, labels = [], [], []
    for site in sites:
        images = _orbit(lattice, site, operations)
        species += [site.species] * len(images)
        positions += list(images)
        labels += [site.label] * len(images)
    return Structure(lattice, species, positions, labels=labels).get_sorted_structure()


def _orbit(lattice: Lattice, site: Site, operations: Operations) -> np.ndarray:
    """The different images of a site, (n, 3)."""
    if len(operations) == 1:
        return _in_cell(site.position[None])
    apart, distances = _from_itself(lattice, site.position, operations)
    reach = np.abs(operations.rotations - np.eye(3)) @ site.rounding  # of each coordinate, (n_operations, 3)
    rounded = (np.abs(apart) <= 1.01 * reach + 1e-4).all(axis=1) & (distances < AT_MOST)
    stays = rounded | (distances < SURELY_ONE)
    position = site.position + apart[stays].mean(axis=0)
    images = _in_cell(operations.rotations @ position + operations.translations)
    apart = images[:, None] - images[None]
    near = np.linalg.norm((apart - np.rint(apart)) @ lattice.matrix, axis=-1) < SURELY_ONE
    first = near.argmax(axis=1) == np.arange(len(images))
    if first.sum() * stays.sum() != len(operations):
        raise CifError(
            f"line {site.line}: site {site.label}: its images nearly coincide: give more digits of its coordinates"
        )
    return np.asarray(images[first])


def _from_itself(lattice: Lattice, position: np.ndarray, operations: Operations) -> tuple[np.ndarray, np.ndarray]:
    """How far each operation takes a place: fractional, (n, 3), and in angstrom, (n,)."""
    apart = operations.rotations @ position + operations.translations - position
    apart -= np.rint(apart)
    return apart, np.linalg.norm(apart @ lattice.matrix, axis=1)


def _in_cell(positions: np.ndarray) -> np.ndarray:
    inside = positions - np.floor(positions)
    return np.where(inside > 1 - 1e-9, 0.0, inside)
