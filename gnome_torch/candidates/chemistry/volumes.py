"""Reference volumes and contacts of substituted crystals, for many at once.

Two published schemes, both taken relative to the parent, so that its own deviation carries over. The reference volume
is their weighted geometric mean, which is better than either: a median error of 13 % between perovskites of Castelli et
al. (19 and 17 % alone) and 12 % between forty rock salts (13 and 30 % alone); benchmarks/candidates.py prints these.

- data-mined bond lengths (DLS: Chu et al., Comput. Mater. Sci. 146, 184, 2018, with pymatgen's parameters): the volume
  at which the shortest contact has the length that its two elements ask for;
- tabulated volumes of the solid elements (molar volumes), added up.
"""

from __future__ import annotations

import numpy as np

from gnome_torch.candidates.chemistry.elements import element_table

# The weight of bond lengths; the tabulated volumes are poor where halides become oxides, and have the rest.
BOND_WEIGHT = 2 / 3

# A parent more open or denser than this against its own estimate (a molecular crystal, one under pressure) says nothing
# about other elements.
OPENNESS = (0.7, 1.5)


def bond_length_volume(
    numbers: np.ndarray, counts: np.ndarray, closest: np.ndarray, volume: np.ndarray | float
) -> np.ndarray:
    """Volume by data-mined lattice scaling, cubic angstrom, (n,); nan where an element has no parameters.

    Args:
        numbers: atomic number of each group of sites, (n, k).
        counts: sites in each group, (k,).
        closest: shortest distance between sites of two groups, angstrom, (n, k, k) or (1, k, k).
        volume: volume of the cell at which `closest` was measured, cubic angstrom, (n,) or one.
    """
    table = element_table()
    weights = np.asarray(counts) / np.sum(counts)
    x = table.electronegativity[numbers]
    mean = (x * weights).sum(axis=1, keepdims=True)
    spread = np.sqrt((weights * (x - mean) ** 2).sum(axis=1, keepdims=True))
    radius = table.bond_radius[numbers] + table.bond_polarity[numbers] * spread
    return np.asarray(volume / _shortest(closest, radius) ** 3)


def elemental_volume_sum(numbers: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Sum of the volumes that the atoms have in the solid elements, cubic angstrom, (n,)."""
    return np.asarray((element_table().atomic_volume[numbers] * counts).sum(axis=1))


def estimate(numbers: np.ndarray, counts: np.ndarray, closest: np.ndarray, volume: np.ndarray | float) -> np.ndarray:
    """Weighted geometric mean of the two schemes, cubic angstrom, (n,); tabulated volumes alone where bonds lack data.

    Args: as `bond_length_volume`.
    """
    tabulated = elemental_volume_sum(numbers, counts)
    bonds = bond_length_volume(numbers, counts, closest, volume)
    bonds = np.where(np.isnan(bonds), tabulated, bonds)
    return np.asarray(bonds**BOND_WEIGHT * tabulated ** (1 - BOND_WEIGHT))


def reference_volume(
    old: np.ndarray, new: np.ndarray, counts: np.ndarray, closest: np.ndarray, volume: np.ndarray | float
) -> np.ndarray:
    """Volume of a substituted crystal, cubic angstrom, (n,).

    Args:
        old: atomic number of each group of sites in the parent, (n, k) or (1, k).
        new: the same in the substituted crystal, (n, k).
        counts: sites in each group, (k,).
        closest: shortest distance between sites of two groups in the parent, angstrom, (n, k, k) or (1, k, k).
        volume: the parent's volume, cubic angstrom, (n,) or one.
    """
    openness = np.clip(volume / estimate(old, counts, closest, volume), *OPENNESS)
    return estimate(new, counts, closest, volume) * openness


def contact(numbers: np.ndarray, closest: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Shortest distance in units of the sum of the two covalent radii, (n,).

    Args:
        numbers: atomic number of each group of sites, (n, k).
        closest: shortest distance between sites of two groups, angstrom, (n, k, k) or (1, k, k).
        scale: factor of lengths from `closest` to the crystal, (n,).
    """
    return _shortest(closest, element_table().covalent_radius[numbers]) * scale


def _shortest(closest: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Smallest ratio of a distance to the sum of the two radii, (n,)."""
    k = radius.shape[1]
    shortest = np.full(len(radius), np.inf)
    for a in range(k):
        for b in range(a, k):
            shortest = np.minimum(shortest, closest[:, a, b] / (radius[:, a] + radius[:, b]))
    return shortest
