"""The crystals of the AFLOW prototype library that pymatgen ships (288 real structures), under stable keys."""

from __future__ import annotations

from collections import Counter
from functools import cache

from pymatgen.core import Structure

PREFIX = "aflow:"


@cache
def prototypes() -> dict[str, Structure]:
    """All prototypes: key -> crystal with its own chemistry, in the library's order.

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
        library[f"{PREFIX}{label}{suffix}"] = structure
    return library
