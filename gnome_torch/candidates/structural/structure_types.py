"""Structure types: parents with the same arrangement of sites, whatever stands on them and whatever their size.

Perovskites from a hundred papers are one type. Their candidates are compared by what stands on which site of the type,
so that one composition on one prototype is proposed once, from its most probable parent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gnome_torch.candidates.parents import Parent, pair_distances
from gnome_torch.symmetry import site_permutations

TOLERANCE = 0.1
"""Largest difference of corresponding distances, in units of the cube root of the volume per atom (2.2 to 2.6 A)."""

_QUANTILES = 32
_MAX_STEPS = 5_000


@dataclass(frozen=True, eq=False)
class StructureType:
    """Sites without species.

    Attributes:
        id: its most symmetric parent.
        distances: that parent's, in units of the cube root of its volume per atom, (n_sites, n_sites, 20).
        permutations: isometries of its sites, (n_operations, n_sites).
    """

    id: str
    distances: np.ndarray
    permutations: np.ndarray


@dataclass(frozen=True, eq=False)
class TypedParent:
    """A parent, with its sites in the order of its type's.

    Attributes:
        parent: the crystal.
        type: index of its structure type.
        order: site of the parent at each site of the type, (n_sites,).
        permutations: its own isometries, species aside, on the sites of the type, (n_operations, n_sites).
    """

    parent: Parent
    type: int
    order: np.ndarray
    permutations: np.ndarray


def classify(parents: Sequence[Parent], tolerance: float = TOLERANCE) -> tuple[list[StructureType], list[TypedParent]]:
    """Sort parents into structure types.

    The most symmetric parents come first and found the types; the order of `parents` does not matter.

    Returns:
        The types, and the parents in the order of (type, key).
    """
    permutations = {parent.id: site_permutations(parent.matrix, parent.frac_coords) for parent in parents}
    ranked = sorted(parents, key=lambda parent: (-len(permutations[parent.id]), parent.id))
    types: list[StructureType] = []
    by_size: dict[int, _Bucket] = {}
    shared: dict[tuple[tuple[int, ...], bytes], np.ndarray] = {}  # most parents of a type have one symmetry
    typed = []
    for parent in ranked:
        own = permutations[parent.id]
        distances = pair_distances(parent.matrix, parent.frac_coords) / (parent.volume / len(parent)) ** (1 / 3)
        distances = distances.astype(np.float32)
        bucket = by_size.setdefault(len(parent), _Bucket())
        index, order = bucket.find(types, distances, tolerance)
        if index is None:
            index, order = len(types), np.arange(len(parent))
            types.append(StructureType(parent.id, distances, own))
            bucket.add(index, distances)
        rank = np.empty(len(order), dtype=np.int16)
        rank[order] = np.arange(len(order))
        reordered = np.unique(rank[own[:, order]], axis=0)
        reordered = shared.setdefault((reordered.shape, reordered.tobytes()), reordered)
        typed.append(TypedParent(parent, index, order, reordered))
    typed.sort(key=lambda item: (item.type, item.parent.id))
    return types, typed


@dataclass
class _Bucket:
    """The types of one number of sites."""

    indices: list[int] = field(default_factory=list)
    quantiles: np.ndarray = field(default_factory=lambda: np.empty((16, _QUANTILES)))

    def add(self, index: int, distances: np.ndarray) -> None:
        if len(self.indices) == len(self.quantiles):
            self.quantiles = np.concatenate([self.quantiles, np.empty_like(self.quantiles)])
        self.quantiles[len(self.indices)] = _quantiles(distances)
        self.indices.append(index)

    def find(
        self, types: list[StructureType], distances: np.ndarray, tolerance: float
    ) -> tuple[int | None, np.ndarray]:
        """The type that these distances fit best, and the sites in its order."""
        if self.indices:
            # sorted values move by at most as much as the values themselves: what differs here cannot fit
            apart = np.abs(self.quantiles[: len(self.indices)] - _quantiles(distances)).max(axis=1)
            # the best fit first: within a wide tolerance sites may also correspond by a symmetry that is not quite one
            for some in (tolerance / 1000, tolerance / 30, tolerance / 3, tolerance):
                for position in np.flatnonzero(apart <= some):
                    index = self.indices[position]
                    order = _same_order(types[index].distances, distances, some)
                    if order is not None:
                        return index, order
        return None, np.zeros(0, dtype=np.intp)


def _quantiles(distances: np.ndarray) -> np.ndarray:
    flat = np.sort(distances, axis=None)
    return np.asarray(flat[np.linspace(0, len(flat) - 1, _QUANTILES).astype(int)])


def _same_order(reference: np.ndarray, distances: np.ndarray, tolerance: float) -> np.ndarray | None:
    """Order of sites in which distances agree with the reference's, found by backtracking; None if there is none."""
    n_sites = len(reference)
    # the sorted distances of a site to all others, in every shell: sites that differ there cannot correspond
    possible = (
        np.abs(np.sort(reference, axis=1)[:, None] - np.sort(distances, axis=1)[None]).max(axis=(2, 3)) <= tolerance
    )
    order = np.full(n_sites, -1)
    choices = [iter(np.flatnonzero(possible[0]))]
    used = np.zeros(n_sites, dtype=bool)
    for _ in range(_MAX_STEPS):
        depth = len(choices) - 1
        if order[depth] >= 0:
            used[order[depth]] = False
            order[depth] = -1
        site = next((s for s in choices[-1] if not used[s]), None)
        if site is None:
            choices.pop()
            if not choices:
                return None
            continue
        known = order[:depth]
        apart = np.abs(reference[depth, :depth] - distances[site, known])
        itself = np.abs(reference[depth, depth] - distances[site, site]).max()
        if itself > tolerance or (depth and apart.max() > tolerance):
            continue
        order[depth] = site
        used[site] = True
        if depth == n_sites - 1:
            return order
        choices.append(iter(np.flatnonzero(possible[depth + 1])))
    return None
