"""Atoms that are too near one another, pushed apart in their cell: the soft spheres of AIRSS."""

from __future__ import annotations

import numpy as np
from pymatgen.core import Structure
from scipy.optimize import minimize

MARGIN = 1.01
"""Spheres are taken this much larger: those that still touch a little at the end keep their distance."""


def push_apart(structure: Structure, separations: np.ndarray, steps: int = 100) -> Structure:
    """Move atoms until none is nearer to another than allowed, as far as the cell lets them.

    Minimises the sum over pairs of (1 - distance / separation)^2. Symmetry is kept, since the forces have it.

    Args:
        structure: a crystal.
        separations: smallest distance of each pair of sites, angstrom, (n_sites, n_sites).
        steps: of the minimiser, at most.
    """
    import vesin  # loads torch where that is installed

    matrix = structure.lattice.matrix
    wanted = separations * MARGIN
    if not wanted.max() > 0:
        return structure
    neighbours = vesin.NeighborList(cutoff=float(wanted.max()), full_list=False)

    def overlap(flat: np.ndarray) -> tuple[float, np.ndarray]:
        positions = flat.reshape(-1, 3)
        i, j, vectors, distances = neighbours.compute(positions, matrix, periodic=True, quantities="ijDd")
        size = wanted[i, j]
        near = (distances < size) & (distances > 1e-6)
        i, j, size = i[near], j[near], size[near]
        deep = 1.0 - distances[near] / size
        forces = np.zeros_like(positions)
        push = (-2.0 * deep / size / distances[near])[:, None] * vectors[near]  # gradient at j
        np.add.at(forces, j, push)
        np.add.at(forces, i, -push)
        return float((deep**2).sum()), forces.ravel()

    start = structure.cart_coords.ravel()
    if overlap(start)[0] == 0.0:
        return structure
    found = minimize(overlap, start, jac=True, method="L-BFGS-B", options={"maxiter": steps})
    return Structure(
        structure.lattice, structure.species, found.x.reshape(-1, 3), coords_are_cartesian=True, to_unit_cell=True
    )


def nearest_ratio(structure: Structure, separations: np.ndarray) -> float:
    """Smallest distance in units of what is allowed; below 1, two atoms are too near.

    Args:
        structure: a crystal.
        separations: smallest distance of each pair of sites, angstrom, (n_sites, n_sites).
    """
    import vesin

    if not separations.max() > 0:
        return float("inf")
    neighbours = vesin.NeighborList(cutoff=2 * float(separations.max()), full_list=False)
    i, j, distances = neighbours.compute(
        structure.cart_coords, structure.lattice.matrix, periodic=True, quantities="ijd"
    )
    allowed = separations[i, j]
    ratios = distances[allowed > 0] / allowed[allowed > 0]
    return float(ratios.min()) if len(ratios) else float("inf")
