"""Relaxations that must not become entries: not finished, collapsed, or blown apart."""

from __future__ import annotations

import math

import numpy as np
from ase.data import covalent_radii

from gnome_torch.records import Relaxation

# Shortest distance in units of the sum of covalent radii. H2, N2 and O2 are at 1.19, 0.77 and 0.92; below 0.6 lie the
# holes of machine-learned potentials, whose energies are without meaning and would look like the most stable phases.
SHORTEST = 0.6
MAX_VOLUME_PER_ATOM = 150.0  # cubic angstrom; caesium has 117


def implausible(relaxation: Relaxation) -> str | None:
    """Why a relaxation is not to be believed, None if nothing speaks against it."""
    if not math.isfinite(relaxation.energy):
        return f"energy is {relaxation.energy}"
    if not relaxation.converged:
        return f"not converged after {relaxation.steps} steps"
    structure = relaxation.structure
    volume = structure.volume / len(structure)
    if volume > MAX_VOLUME_PER_ATOM:
        return f"blown apart: {volume:.0f} cubic angstrom per atom"
    radii = covalent_radii[np.array(structure.atomic_numbers)]
    centres, neighbours, _, distances = structure.get_neighbor_list(2 * SHORTEST * float(radii.max()))
    ratios = distances / (radii[centres] + radii[neighbours])
    if len(ratios) and ratios.min() < SHORTEST:
        closest = int(ratios.argmin())
        return f"collapsed: two atoms {distances[closest]:.2f} angstrom apart"
    return None
