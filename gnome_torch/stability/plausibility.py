"""Relaxations that must not become entries, and entries that must not enter a hull.

Not finished, collapsed, blown apart, or of an energy that no crystal has: each would be a false "stable".
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from ase.data import covalent_radii
from pymatgen.core import Structure

from gnome_torch.records import Relaxation
from gnome_torch.stability.bonds import shortest_distance
from gnome_torch.stability.formulas import fractions_of, symbols_of
from gnome_torch.stability.hull import Computed, against_zero

# Before a relaxation, which may push atoms apart: in units of the sum of covalent radii (Cordero et al., Dalton Trans.
# 2008, 2832, which ASE has).
SHORTEST_START = 0.4
OVERLAP = 0.3  # angstrom; less than half of the shortest bond that there is, of H2
SMALLEST_VOLUME_PER_ATOM = 2.0  # cubic angstrom; hydrogen in its densest compounds has more
MAX_VOLUME_PER_ATOM = 150.0  # cubic angstrom; above that of any solid element in pymatgen's table of molar volumes
# eV/atom. Chosen well above what separates an element's real structures, and below the hole that SevenNet-0 has in
# silicon (23 below the other crystals).
DEEPEST_ELEMENT = 5.0
# eV/atom. The deepest that were measured are fluorides: YF3 -4.45, ErF3 -4.43, LaF3 -4.40, CaF2 -4.24, and of the
# oxides Sc2O3 -3.96 (standard enthalpies, NBS tables, Wagman et al. 1982). 1.5 below them is room for the errors of a
# potential in the compound and in its elements; the holes that have been met lay deeper (-8.8).
DEEPEST_COMPOUND = -6.0


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
    # below the shortest distances lie the holes of machine-learned potentials, whose energies are without meaning and
    # would look like the most stable phases
    numbers = np.array(structure.atomic_numbers)
    reach = float(shortest_distance(numbers, numbers).max())
    centres, neighbours, _, distances = structure.get_neighbor_list(reach)
    ratios = distances / shortest_distance(numbers[centres], numbers[neighbours])
    if len(ratios) and ratios.min() < 1.0:
        return f"collapsed: two atoms {distances[int(ratios.argmin())]:.2f} angstrom apart"
    return None


def unfit(structure: Structure) -> str | None:
    """Why a crystal is not worth a calculation, None if nothing speaks against it."""
    volume = structure.volume / len(structure)
    if not SMALLEST_VOLUME_PER_ATOM <= volume <= MAX_VOLUME_PER_ATOM:
        return f"{volume:.1f} cubic angstrom per atom: no crystal has that"
    radii = covalent_radii[np.array(structure.atomic_numbers)]
    centres, neighbours, _, distances = structure.get_neighbor_list(2 * SHORTEST_START * float(radii.max()))
    ratios = distances / (radii[centres] + radii[neighbours])
    if len(ratios) and ratios.min() < SHORTEST_START:
        return f"two atoms {distances[int(ratios.argmin())]:.2f} angstrom apart"
    return None


def no_crystal(structure: Structure) -> str | None:
    """Why sites in a cell are no crystal, whatever their energy: an atom in a box, atoms on top of each other."""
    volume = structure.volume / len(structure)
    if volume > MAX_VOLUME_PER_ATOM:
        return f"{volume:,.0f} cubic angstrom per atom: an atom or a molecule in a box is no crystal"
    _, _, _, distances = structure.get_neighbor_list(OVERLAP)
    if len(distances):
        return f"two atoms {distances.min():.2f} angstrom apart"
    return None


def unbelievable(entries: Iterable[Computed], reference: float = math.nan) -> dict[str, str]:
    """Entries whose energies no crystal has, with the reason: what a hole in a potential looks like from outside.

    An element's crystal far below all the others of the element; a compound far below its elements.

    Args:
        entries: of one theory.
        reference: energy of every element, eV/atom: 0 for formation energies, which no element may lie below; nan
            where that of its lowest crystal counts.
    """
    entries = list(entries)
    fractions = fractions_of(entry.reduced_formula for entry in entries)
    energies = np.array([entry.energy_per_atom for entry in entries])
    found: dict[str, str] = {}
    references = np.full(fractions.shape[1], reference)
    pure = (fractions > 0).sum(axis=1) == 1
    for row in np.flatnonzero(pure & (energies < reference)).tolist():
        if problem := against_zero(entries[row].reduced_formula, energies[row] - reference):
            found[entries[row].id] = problem
    for z in np.unique(fractions[pure].argmax(axis=1)).tolist() if math.isnan(reference) else ():
        rows = np.flatnonzero(pure & (fractions[:, z] > 0)).tolist()
        ranked = sorted(rows, key=lambda row: (energies[row], entries[row].id))
        while len(ranked) > 1 and energies[ranked[1]] - energies[ranked[0]] > DEEPEST_ELEMENT:
            gap = energies[ranked[1]] - energies[ranked[0]]
            lowest = entries[ranked.pop(0)]
            found[lowest.id] = f"{gap:.1f} eV/atom below every other crystal of {symbols_of(1 << z)[0]}"
        references[z] = energies[ranked[0]]
    # nan, which is never too deep, where an element has no reference
    formation = energies - np.where(fractions > 0, fractions * references, 0.0).sum(axis=1)
    for row in np.flatnonzero(~pure & (formation < DEEPEST_COMPOUND)).tolist():
        found[entries[row].id] = f"formation energy {formation[row]:.1f} eV/atom"
    return found
