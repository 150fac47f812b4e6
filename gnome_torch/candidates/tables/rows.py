"""Candidates as arrays, a few dozen bytes each, and the tally of what became of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Tally:
    """What became of everything that was proposed; the only thing here that changes on the way."""

    proposed: int = 0
    duplicates: int = 0
    known: int = 0
    tried: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    passed: int = 0

    def add(self, other: Tally) -> None:
        """Add another part's numbers."""
        self.proposed += other.proposed
        self.duplicates += other.duplicates
        self.known += other.known
        self.tried += other.tried
        self.refused.update(other.refused)
        self.passed += other.passed


@dataclass(frozen=True, eq=False)
class Rows:
    """Candidates of one structure type as arrays.

    Attributes:
        parent: index of the parent in the list of typed parents, (n,).
        numbers: atomic number on each site, in the parent's order, (n, n_sites).
        olds: element that each group of sites had, (n, n_groups), 0 where a row has fewer groups.
        news: element that it gets, (n, n_groups).
        counts: sites in each group, (n, n_groups).
        partial: whether an ion was replaced on some of its sites only, (n,); the last group in a row are then its
            other sites.
        volume: cubic angstrom, (n,).
        contact: shortest distance in units of the sum of the covalent radii, (n,).
        probability: (n,).
        keys: what stands where, the same for equivalent decorations of one structure type, (n, 2).
    """

    parent: np.ndarray
    numbers: np.ndarray
    olds: np.ndarray
    news: np.ndarray
    counts: np.ndarray
    partial: np.ndarray
    volume: np.ndarray
    contact: np.ndarray
    probability: np.ndarray
    keys: np.ndarray

    def __len__(self) -> int:
        return len(self.parent)

    def take(self, rows: np.ndarray) -> Rows:
        """Some of the rows, in the order asked for."""
        return Rows(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def joined(parts: Sequence[Rows]) -> Rows:
    """Rows of several parts of one structure type."""
    n_groups = max(part.olds.shape[1] for part in parts)

    def column(name: str) -> np.ndarray:
        arrays = [getattr(part, name) for part in parts]
        if name in ("olds", "news", "counts"):
            arrays = [np.pad(array, ((0, 0), (0, n_groups - array.shape[1]))) for array in arrays]
        return np.concatenate(arrays)

    return Rows(*(column(name) for name in Rows.__dataclass_fields__))


def unique(rows: Rows) -> Rows:
    """Of the rows with one key the most probable, then the first parent's; in the order of parent and key."""
    order = np.lexsort((rows.parent, -rows.probability, rows.keys[:, 1], rows.keys[:, 0]))
    keys = rows.keys[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = (keys[1:] != keys[:-1]).any(axis=1)
    best = order[first]
    return rows.take(best[np.argsort(rows.parent[best], kind="stable")])
