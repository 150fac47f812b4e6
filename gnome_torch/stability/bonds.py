"""How near two atoms can be: the shortest radii of the elements.

Pyykkö and Atsumi fitted radii to single bonds (Chem. Eur. J. 15, 186, 2009) and to double bonds (Chem. Eur. J. 15,
12770, 2009), Pyykkö, Riedel and Patzschke to triple bonds (Chem. Eur. J. 11, 3511, 2005). The sum of the smallest that
two elements have is about the shortest bond that they make: N2 1.08 angstrom (measured: 1.10), uranyl 1.71 (1.70 to
1.74), V-O 1.59 (1.58), Ce-Ru 2.34 (2.33 in CeRuSn).

The numbers are those of mendeleev 1.3.0 (covalent_radius_pyykko, _double, _triple), which is no dependency: it would
bring a database and twenty packages for a table.
"""

from __future__ import annotations

import numpy as np
from pymatgen.core import Element

LEAST = 0.85
"""Of the sum of two radii. What is nearest: quadruple bonds of chromium (1.85 angstrom, 0.90), alpha-Pu (0.93)."""
LEAST_OF_CATIONS = 0.77
"""The same with a metal of the s block, which in salts is smaller than its radii, of bonds that it does not make there:
Li-Li in Li3N 0.85, K-S 0.79 (2.27 angstrom, in hypothetical perovskites that DFT has relaxed; benchmarks/bonds.py)."""

_PICOMETRES = (
    *(32, 46),  # H to He
    *(124, 85, 73, 60, 54, 53, 53, 67),  # Li to Ne
    *(155, 127, 111, 102, 94, 94, 93, 96),  # Na to Ar
    *(193, 133, 114, 108, 106, 103, 103, 102, 96, 101, 112, 118, 117, 111, 106, 107, 109, 108),  # K to Kr
    *(202, 139, 124, 121, 116, 113, 110, 103, 106, 112, 128, 136, 136, 130, 127, 121, 125, 122),  # Rb to Xe
    *(209, 149, 139, 131, 128, 137, 135, 134, 134, 132, 135, 133, 133, 133, 131, 129, 131, 122),  # Cs to Hf
    *(119, 115, 110, 109, 107, 110, 121, 133, 142, 135, 135, 129, 138, 133),  # Ta to Rn
    *(218, 159, 140, 136, 129, 118, 116, 135, 135, 136, 139, 140, 140, 167, 139, 176, 141, 131),  # Fr to Rf
    *(126, 121, 119, 118, 113, 116, 116, 122, 136, 143, 162, 175, 165, 157),  # Db to Og
)
SHORTEST_RADII = np.array([0, *_PICOMETRES]) / 100
"""The smallest radius of each element, angstrom, by atomic number, (119,); 0 for none."""
_S_METAL = np.array([z > 2 and Element.from_Z(z).block == "s" for z in range(len(SHORTEST_RADII))])


def shortest_distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Nearer than this two atoms are in no crystal that is to be believed, angstrom, (n,).

    Args:
        one: atomic numbers, (n,).
        other: those of their neighbours, (n,).
    """
    least = np.where(_S_METAL[one] | _S_METAL[other], LEAST_OF_CATIONS, LEAST)
    return least * (SHORTEST_RADII[one] + SHORTEST_RADII[other])
