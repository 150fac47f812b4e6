"""Are two crystals the same one? A fast fingerprint of the neighbours first, then pymatgen's StructureMatcher."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from gnome_torch.symmetry import primitive

_GRID = np.linspace(0.5, 2.5, 81)
"""Radii, in units of the cube root of the volume per atom, at which neighbours are counted, (81,)."""

_FINGERPRINT_DISTANCE = 0.12
"""Crystals whose neighbours, in order, lie further apart than this on average (same units) are taken for different. Of
30 prototypes strained and displaced as far as StructureMatcher still takes them for the same, none was beyond 0.09; but
a layered crystal at another spacing of its layers can be (MnO2, R-3m: 0.135), and then counts as another one."""

SAME_CELL = 0.1
"""Tolerance with which a cell is made primitive before it is compared, angstrom."""


def first_duplicate(structure: Structure, known: Iterable[tuple[str, Structure]]) -> str | None:
    """Name of the first crystal that is the same one, by pymatgen's StructureMatcher; None if there is none.

    Crystals whose neighbours lie elsewhere are left out first, which is cheap.

    Args:
        structure: the crystal.
        known: name and crystal of those of the same formula.
    """
    own, matcher = fingerprint(structure), StructureMatcher()
    for name, other in known:
        if fingerprint_distance(own, fingerprint(other)) <= _FINGERPRINT_DISTANCE and matcher.fit(structure, other):
            return name
    return None


def criterion() -> str:
    """What makes two crystals the same one here, in words, tolerances included."""
    matcher = StructureMatcher()
    tolerances = f"ltol {matcher.ltol}, stol {matcher.stol}, angle_tol {matcher.angle_tol}"
    return f"pymatgen's StructureMatcher ({tolerances}) after a fingerprint of the neighbours ({_FINGERPRINT_DISTANCE})"


def fingerprint(structure: Structure) -> dict[tuple[int, int], np.ndarray]:
    """Mean number of neighbours of each kind within each radius: (element, neighbour) -> (81,).

    Independent of the cell, the origin and the volume.
    """
    unit = (structure.volume / len(structure)) ** (1 / 3)
    centres, neighbours, _, distances = structure.get_neighbor_list(float(_GRID[-1]) * unit)
    numbers = np.array(structure.atomic_numbers)
    found = {}
    for z in np.unique(numbers).tolist():
        for other in np.unique(numbers).tolist():
            chosen = (numbers[centres] == z) & (numbers[neighbours] == other)
            counts = np.searchsorted(np.sort(distances[chosen] / unit), _GRID, side="right")
            found[z, other] = counts / (numbers == z).sum()
    return found


def fingerprint_distance(one: dict[tuple[int, int], np.ndarray], other: dict[tuple[int, int], np.ndarray]) -> float:
    """How far neighbours have to be moved, on average over those within reach, in units of the fingerprints.

    The area between two cumulative counts is the total distance by which one set of neighbours is moved to become the
    other. Infinite for other elements.
    """
    if one.keys() != other.keys():
        return float("inf")
    step = float(_GRID[1] - _GRID[0])
    moved = sum(float(np.abs(one[pair] - other[pair]).sum()) * step for pair in one)
    counted = sum(max(float(one[pair][-1]), float(other[pair][-1])) for pair in one)
    return moved / counted if counted else 0.0


class Compared:
    """A crystal, made ready to be compared with others of its composition."""

    def __init__(self, structure: Structure) -> None:
        """Make its cell primitive, once: that is most of what a comparison costs."""
        self.cell = primitive(structure, SAME_CELL) or structure
        self._neighbours = fingerprint(self.cell)
        self._matcher = StructureMatcher(primitive_cell=False)

    def is_same(self, other: Compared) -> bool:
        """Whether two are the same crystal, whatever their cells and volumes."""
        return (
            len(self.cell) == len(other.cell)
            and fingerprint_distance(self._neighbours, other._neighbours) <= _FINGERPRINT_DISTANCE
            and bool(self._matcher.fit(self.cell, other.cell))
        )


class Distinct:
    """Crystals of one composition, each kept once, whatever its cell and volume."""

    def __init__(self) -> None:
        self._kept: list[Compared] = []

    def add(self, structure: Structure) -> bool:
        """Keep a crystal unless one that is the same is there already; whether it was kept."""
        new = Compared(structure)
        if any(new.is_same(other) for other in self._kept):
            return False
        self._kept.append(new)
        return True
