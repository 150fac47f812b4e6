"""Relaxations that must not become entries, and entries that must not enter a hull.

Not finished, collapsed, blown apart, or of an energy that no crystal has: each would be a false "stable".
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from ase.data import covalent_radii

from gnome_torch.records import Entry, Relaxation

# Shortest distance in units of the sum of covalent radii. H2, N2 and O2 are at 1.19, 0.77 and 0.92; below lie the holes
# of machine-learned potentials, whose energies are without meaning and would look like the most stable phases.
SHORTEST = 0.7
MAX_VOLUME_PER_ATOM = 150.0  # cubic angstrom; above that of any solid element in pymatgen's table of molar volumes
# eV/atom. Chosen well above what separates an element's real structures, and below the hole that SevenNet-0 has in
# silicon (23 below the other crystals).
DEEPEST_ELEMENT = 5.0
# eV/atom. Chosen with room below strongly bound fluorides (CaF2 comes out at -4.2 with SevenNet-0 and MP2020).
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
    radii = covalent_radii[np.array(structure.atomic_numbers)]
    centres, neighbours, _, distances = structure.get_neighbor_list(2 * SHORTEST * float(radii.max()))
    ratios = distances / (radii[centres] + radii[neighbours])
    if len(ratios) and ratios.min() < SHORTEST:
        closest = int(ratios.argmin())
        return f"collapsed: two atoms {distances[closest]:.2f} angstrom apart"
    return None


def unbelievable(entries: Iterable[Entry]) -> dict[str, str]:
    """Entries whose energies no crystal has, with the reason: what a hole in a potential looks like from outside.

    An element's crystal far below all the others of the element; a compound far below its elements.
    """
    entries = list(entries)
    found: dict[str, str] = {}
    references: dict[str, float] = {}
    elements: dict[str, list[Entry]] = {}
    for entry in entries:
        if len(entry.composition) == 1:
            elements.setdefault(entry.composition.chemical_system, []).append(entry)
    for symbol, crystals in elements.items():
        ranked = sorted(crystals, key=lambda entry: (entry.energy_per_atom, entry.id))
        while len(ranked) > 1 and ranked[1].energy_per_atom - ranked[0].energy_per_atom > DEEPEST_ELEMENT:
            gap = ranked[1].energy_per_atom - ranked[0].energy_per_atom
            found[ranked.pop(0).id] = f"{gap:.1f} eV/atom below every other crystal of {symbol}"
        references[symbol] = ranked[0].energy_per_atom
    for entry in entries:
        composition = entry.composition.fractional_composition
        symbols = [element.symbol for element in composition]
        if len(symbols) > 1 and references.keys() >= set(symbols):
            energy = entry.energy_per_atom - sum(x * references[e.symbol] for e, x in composition.items())
            if energy < DEEPEST_COMPOUND:
                found[entry.id] = f"formation energy {energy:.1f} eV/atom"
    return found
