"""Structure types to begin from, under stable keys: AFLOW's that pymatgen ships, and further ones in a table of ours.

aflow:AB_cF8_225_a_b   the AFLOW label (288 crystals; graphite and others come twice under one label)
type:Sr3Ti2O7          the name that the type goes by in the literature (`prototypes.yaml`)
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from importlib import resources

import moyopy
import numpy as np
import yaml
from pymatgen.core import Lattice, Structure
from pymatgen.util.coord import pbc_diff

from gnome_torch.symmetry import primitive

AFLOW = "aflow:"
TYPE = "type:"

_SAME_SITE = 0.01  # images of a site nearer than this are one, angstrom


def is_prototype(key: str) -> bool:
    """Whether a key of a crystal is one of this library's."""
    return key.startswith((AFLOW, TYPE))


@cache
def prototypes() -> dict[str, Structure]:
    """All prototypes: key -> primitive cell with its own chemistry; AFLOW's first, then those of our table."""
    return {**aflow_prototypes(), **tabulated_prototypes()}


@cache
def aflow_prototypes() -> dict[str, Structure]:
    """Those of the AFLOW library: key -> crystal with its own chemistry, in the library's order.

    The key is the AFLOW label; where the library holds several crystals of one label (graphite, for instance),
    the later ones get a suffix: `aflow:A_hP4_194_bc`, `aflow:A_hP4_194_bc#2`.

    Source: Mehl et al., Comput. Mater. Sci. 136, S1 (2017), as distributed in pymatgen.
    """
    # takes seconds to read: only when somebody asks for it
    from pymatgen.analysis.prototypes._data import AFLOW_PROTOTYPE_LIBRARY

    seen: Counter[str] = Counter()
    library = {}
    for item in AFLOW_PROTOTYPE_LIBRARY:
        label = item["tags"]["aflow"]
        seen[label] += 1
        suffix = f"#{seen[label]}" if seen[label] > 1 else ""
        structure = item["snl"].structure.copy()
        structure.remove_oxidation_states()
        library[f"{AFLOW}{label}{suffix}"] = structure
    return library


@cache
def tabulated_prototypes() -> dict[str, Structure]:
    """Those of `prototypes.yaml`: types that AFLOW's library lacks and that compounds are often found in."""
    text = (resources.files("gnome_torch.candidates") / "prototypes.yaml").read_text(encoding="utf-8")
    return {f"{TYPE}{name}": crystal_of(**row) for name, row in yaml.safe_load(text).items()}


def crystal_of(space_group: int, cell: list[float], sites: list[list], source: str) -> Structure:
    """Primitive cell of a crystal that is written down as in a paper.

    Args:
        space_group: number in the International Tables, in their standard setting (unique axis b, hexagonal axes of
            rhombohedral lattices, origin choice 2).
        cell: a, b, c, angstrom, and alpha, beta, gamma, degrees, of the conventional cell.
        sites: element, x, y, z of one site of each orbit.
        source: where the type was described; for the reader.
    """
    lattice = Lattice.from_parameters(*cell)
    operations = moyopy.operations_from_number(space_group, setting=moyopy.Setting.standard())
    species, coords = [], []
    for symbol, *position in sites:
        images = np.einsum("oij,j->oi", np.array(operations.rotations), position) + np.array(operations.translations)
        orbit: list[np.ndarray] = []
        for image in images:
            apart = pbc_diff(np.array(orbit).reshape(-1, 3), image)
            if not (np.linalg.norm(lattice.get_cartesian_coords(apart), axis=1) < _SAME_SITE).any():
                orbit.append(image)
        species += [symbol] * len(orbit)
        coords += orbit
    crystal = Structure(lattice, species, coords, to_unit_cell=True)
    return primitive(crystal) or crystal
