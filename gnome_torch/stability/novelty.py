"""Is a crystal new, and should an ordered crystal be believed? Prototype, analogues, duplicates, likely disorder.

Prototype: AFLOW's label (space group, Pearson symbol, Wyckoff letters of each element), the same whatever the elements
and their order, by pymatgen (`get_prototype_from_protostructure`) with moyopy's symmetry. A crystal
and its mirror image have the same one: left and right quartz are one prototype.

Likely disorder: two elements of the crystal that are alike by Hume-Rothery's rules for solid solutions (atomic radii
within 15 %, similar electronegativities, here within 0.3; W. Hume-Rothery, 1934) sit on sites that symmetry would make
equivalent if they were one element. Such an order is often lost at the temperatures at which the crystal forms, and
published new crystals of this kind turned out to be known disordered phases (Leeman et al., PRX Energy 3, 011002,
2024).
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import moyopy
import numpy as np
from pymatgen.core import Element, Structure

from gnome_torch.similarity import first_duplicate
from gnome_torch.stability.formulas import amounts_of

SYMPREC = 0.1
"""Tolerance of the symmetry search, angstrom: that of the published labels, wide enough for relaxed crystals."""

MIRROR_IMAGES = {78: 76, 95: 91, 96: 92, 145: 144, 153: 151, 154: 152, 170: 169, 172: 171, 179: 178, 181: 180, 213: 212}
"""The 11 pairs of space groups that are each other's mirror image (International Tables for Crystallography A)."""

RADIUS_DIFFERENCE = 0.15
"""Hume-Rothery: atoms whose radii differ by more than this part of the larger do not mix."""

ELECTRONEGATIVITY_DIFFERENCE = 0.3
"""On Pauling's scale; chosen: the rule asks for similar ones, or compounds form instead of solid solutions."""


@dataclass(frozen=True)
class Novelty:
    """What is new about a crystal, beside known ones.

    Attributes:
        prototype: label of its prototype; None where the symmetry search fails.
        new_composition: no known crystal has its reduced formula.
        new_prototype: no known crystal has its prototype.
        analogue: name of the known crystal of the same prototype with the most similar elements.
        duplicate_of: name of a known crystal that is the same one.
        likely_disorder: pairs of elements that would share sites, such as ("Fe", "Ni").
    """

    prototype: str | None
    new_composition: bool
    new_prototype: bool
    analogue: str | None
    duplicate_of: str | None
    likely_disorder: Sequence[tuple[str, str]]


def prototype_of(structure: Structure, symprec: float = SYMPREC) -> str | None:
    """Label of a crystal's prototype, the same for all elements and both hands; None where the symmetry search fails.

    Args:
        structure: an ordered crystal.
        symprec: tolerance of the symmetry search, angstrom.
    """
    # loads its library of prototypes, which takes seconds: commands that need no label shall not wait for it
    from pymatgen.analysis.prototypes import get_protostructure_label_from_moyopy, get_prototype_from_protostructure

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            label = get_protostructure_label_from_moyopy(structure, raise_errors=True, symprec=symprec)
            return of_one_hand(str(get_prototype_from_protostructure(str(label))))
    except Exception:  # moyopy's errors have no class of their own; a broken cell has no prototype
        return None


def of_one_hand(label: str) -> str:
    """The label of a prototype, in the space group of the lower number if its group has a mirror image.

    The Wyckoff letters stay: inversion takes a position of one group to that of the same letter in the other, or to one
    that a shift of the origin makes the same, for which the labels are canonical.

    Args:
        label: anonymous formula, Pearson symbol, number of the space group, Wyckoff letters, joined by `_`.
    """
    formula, pearson, number, letters = label.split("_", 3)
    return "_".join((formula, pearson, str(MIRROR_IMAGES.get(int(number), int(number))), letters))


def likely_disorder(structure: Structure, symprec: float = SYMPREC) -> list[tuple[str, str]]:
    """Pairs of like elements that sit on sites which would be equivalent if the two were one.

    Args:
        structure: an ordered crystal.
        symprec: tolerance of the symmetry search, angstrom.
    """
    numbers = np.array(structure.atomic_numbers)
    present = [Element.from_Z(int(z)) for z in np.unique(numbers)]
    pairs = []
    for one, other in combinations(present, 2):
        if not _alike(one, other):
            continue
        orbits = _orbits(structure, np.where(numbers == other.Z, one.Z, numbers), symprec)
        if orbits is not None and any(len(set(numbers[orbits == orbit])) > 1 for orbit in np.unique(orbits)):
            pairs.append((one.symbol, other.symbol))
    return pairs


def _alike(one: Element, other: Element) -> bool:
    radii = [float(element.atomic_radius) for element in (one, other) if element.atomic_radius is not None]
    if len(radii) < 2 or not (one.X > 0 and other.X > 0):
        return False
    small, large = sorted(radii)
    return (large - small) / large <= RADIUS_DIFFERENCE and abs(one.X - other.X) <= ELECTRONEGATIVITY_DIFFERENCE


def _orbits(structure: Structure, numbers: np.ndarray, symprec: float) -> np.ndarray | None:
    """Number of the orbit of each site, (n_sites,), if the sites held these elements."""
    try:
        cell = moyopy.Cell(structure.lattice.matrix.tolist(), structure.frac_coords.tolist(), numbers.tolist())
        return np.array(moyopy.MoyoDataset(cell, symprec=symprec).orbits)
    except Exception:  # as above
        return None


class KnownCrystals:
    """Known crystals, found by composition and by prototype."""

    def __init__(self, crystals: Iterable[tuple[str, Structure]] = ()) -> None:
        """Take crystals.

        Args:
            crystals: name and ordered crystal of each.
        """
        self._by_formula: dict[str, list[tuple[str, Structure]]] = defaultdict(list)
        self._by_prototype: dict[str, list[tuple[str, Structure]]] = defaultdict(list)
        for name, structure in crystals:
            self.add(name, structure)

    def add(self, name: str, structure: Structure) -> None:
        """Add one crystal.

        Args:
            name: unique.
            structure: ordered.
        """
        structure = structure.copy().remove_oxidation_states()
        self._by_formula[structure.reduced_formula].append((name, structure))
        prototype = prototype_of(structure)
        if prototype is not None:
            self._by_prototype[prototype].append((name, structure))

    def judge(self, structure: Structure) -> Novelty:
        """What is new about a crystal, which is not added."""
        structure = structure.copy().remove_oxidation_states()
        prototype = prototype_of(structure)
        relatives = self._by_prototype.get(prototype, []) if prototype else []
        return Novelty(
            prototype=prototype,
            new_composition=structure.reduced_formula not in self._by_formula,
            new_prototype=prototype is not None and not relatives,
            analogue=nearest_analogue(structure.reduced_formula, [(n, s.reduced_formula) for n, s in relatives]),
            duplicate_of=self.duplicate_of(structure),
            likely_disorder=likely_disorder(structure),
        )

    def duplicate_of(self, structure: Structure) -> str | None:
        """Name of a known crystal that is the same one, by pymatgen's StructureMatcher; None if there is none.

        Crystals of the same formula whose neighbours lie elsewhere are left out first, which is cheap.
        """
        structure = structure.copy().remove_oxidation_states()
        return first_duplicate(structure, self._by_formula.get(structure.reduced_formula, []))


def nearest_analogue(formula: str, relatives: Iterable[tuple[str, str]]) -> str | None:
    """Name of the known crystal of the same prototype whose elements are the most similar; None if there is none.

    Similar: near on Pettifor's chemical scale, those of equal amounts compared in order.

    Args:
        formula: of the crystal.
        relatives: name and formula of the known crystals of its prototype.
    """
    own = _chemical_scale(formula)
    ranked = [
        (sum(abs(a - b) for a, b in zip(own, _chemical_scale(other), strict=True)), name) for name, other in relatives
    ]
    return min(ranked)[1] if ranked else None


@lru_cache(maxsize=1 << 16)
def _chemical_scale(formula: str) -> tuple[float, ...]:
    """Pettifor's numbers of the elements of a formula, in the order of their amounts."""
    total = sum(amount for _, amount in amounts_of(formula))
    ranked = sorted(
        (round(amount / total, 6), float(Element.from_Z(z).mendeleev_no)) for z, amount in amounts_of(formula)
    )
    return tuple(number for _, number in ranked)
