"""How near atoms may be to one another, and how much room they take: from tabulated radii.

Of the 233 compounds in pymatgen's prototype library 94 % keep these separations, and 90 % have a volume between 0.59
and 1.10 of the estimate, so that GNoME's range, 0.4 to 1.2, holds them (`benchmarks/rediscovery.py tables`).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations_with_replacement

import numpy as np
from pymatgen.core import Composition, Element

from gnome_torch.candidates.chemistry.elements import element_table, numbers_of
from gnome_torch.candidates.random_search.options import pair_of

OF_COVALENT = 0.75
"""Smallest distance of two atoms, in units of the sum of their covalent radii; also that of the element policy."""

OF_VAN_DER_WAALS = 0.75
"""Smallest distance of two equal anions, in units of twice their van der Waals radius: 2.28 angstrom for oxygen."""

REPELLING_ANIONS = frozenset({"O", "F", "Cl", "Br", "I"})
"""Anions that do not bind to their own kind in most compounds; peroxides need a separation of their own."""


def minimum_separations(
    composition: Composition, overrides: Mapping[str, float] | None = None
) -> dict[tuple[str, str], float]:
    """Smallest distance of each pair of elements, angstrom; the pairs in alphabetical order.

    Args:
        composition: whose elements.
        overrides: distances in the place of the tabulated ones, angstrom, such as {"O-O": 1.3}.
    """
    symbols = sorted(element.symbol for element in composition)
    table = element_table()
    anion = max(symbols, key=lambda symbol: float(np.nan_to_num(table.electronegativity[Element(symbol).Z])))
    given = {pair_of(text): distance for text, distance in (overrides or {}).items()}
    found = {}
    for one, other in combinations_with_replacement(symbols, 2):
        z, y = numbers_of([one, other]).tolist()
        distance = OF_COVALENT * float(table.covalent_radius[z] + table.covalent_radius[y])
        if one == other == anion and len(symbols) > 1 and anion in REPELLING_ANIONS:
            distance = OF_VAN_DER_WAALS * 2 * float(table.van_der_waals_radius[z])
        found[one, other] = given.get((one, other), distance)
    return found


def separation_matrix(symbols: list[str], separations: Mapping[tuple[str, str], float]) -> np.ndarray:
    """Smallest distance of each pair of sites, angstrom, (n_sites, n_sites)."""
    kinds = sorted(set(symbols))
    table = np.array([[separations[min(a, b), max(a, b)] for b in kinds] for a in kinds])
    index = np.array([kinds.index(symbol) for symbol in symbols])
    return np.asarray(table[np.ix_(index, index)])


def estimated_volume(composition: Composition) -> float:
    """Volume that a composition takes, cubic angstrom, by atomic radii.

    Of each atom the volume in the solid element or, of non-metals if smaller, that of its van der Waals sphere.
    """
    table = element_table()
    total = 0.0
    for element, amount in composition.items():
        volume = float(table.atomic_volume[element.Z])
        radius = float(table.van_der_waals_radius[element.Z])
        if not element.is_metal and np.isfinite(radius):
            volume = min(volume, 4 / 3 * np.pi * radius**3)
        total += amount * volume
    return float(total)
