"""SAPS: which sites of an ion to replace, one choice of each kind that symmetry can tell apart.

From one orbit to all of them, and parts of an orbit (those that a subgroup of the parent's symmetry leaves together):
every set of sites, reduced by the parent's symmetry, up to a number of sites and of choices.

Source: Merchant et al., Nature 624, 80 (2023), Methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np


@dataclass(frozen=True)
class PartialLimits:
    """How far the choices go.

    Attributes:
        split_sites: an ion on more sites than this is replaced by whole orbits only.
        choices: choices per ion at most; the most symmetric ones of each count of sites come first.
    """

    split_sites: int = 12
    choices: int = 64

    def __post_init__(self) -> None:
        if not 0 <= self.split_sites <= 20:
            raise ValueError(f"split_sites={self.split_sites}: 0 (whole orbits only) to 20 (a million sets of sites)")
        if self.choices < 0:
            raise ValueError(f"choices={self.choices}: must not be negative")


@dataclass(frozen=True)
class SiteChoice:
    """Some, not all, of an ion's sites.

    Attributes:
        sites: the sites replaced, ascending.
        images: number of equivalent choices that this one stands for, itself included.
    """

    sites: tuple[int, ...]
    images: int


def partial_choices(
    permutations: np.ndarray, sites: np.ndarray, limits: PartialLimits = PartialLimits()
) -> tuple[list[SiteChoice], int]:
    """One representative of each symmetry-distinct choice of some of the sites.

    The representative is the one whose last site comes first (the smallest as a binary number, site i the digit 2^i).

    Args:
        permutations: symmetry operations on all sites of the crystal, (n_operations, n_sites); they keep `sites`.
        sites: the ion's sites, ascending, (n,).
        limits: sizes above which choices are left out.

    Returns:
        The choices, by the number of sites, then the most symmetric first; and how many the limits left out, whole
        orbits only counted above `split_sites` (-1: too many to count).
    """
    rank = np.full(permutations.shape[1], -1)
    rank[sites] = np.arange(len(sites))
    own = np.unique(rank[permutations[:, sites]], axis=0)  # (n_operations, n)
    if len(sites) <= limits.split_sites:
        found = _all_distinct(own)
    elif len(np.unique(own.min(axis=0))) <= 16:
        found = _whole_orbits(own)
    else:
        return [], -1
    chosen = _fair(found, limits.choices)
    return [SiteChoice(tuple(int(sites[i]) for i in c.sites), c.images) for c in chosen], len(found) - len(chosen)


def _all_distinct(permutations: np.ndarray) -> list[SiteChoice]:
    """Every set of sites but none and all, one of each class.

    A set is a binary number. Each operation turns all of them at once, by two tables for the lower and the upper half
    of the sites; a set represents its class if no operation makes it smaller.
    """
    n = permutations.shape[1]
    numbers = np.arange(1 << n, dtype=np.uint32)
    half = n // 2
    low, high = numbers & ((1 << half) - 1), numbers >> half
    smallest = numbers.copy()
    unchanged = np.zeros(len(numbers), dtype=np.int64)
    for permutation in permutations:
        images = _images(permutation[:half])[low] | _images(permutation[half:])[high]
        np.minimum(smallest, images, out=smallest)
        unchanged += images == numbers
    representatives = numbers[smallest == numbers][1:-1]
    return [
        SiteChoice(tuple(i for i in range(n) if number >> i & 1), len(permutations) // int(unchanged[number]))
        for number in representatives.tolist()
    ]


def _images(permutation: np.ndarray) -> np.ndarray:
    """Image of every set of the first sites, (2^n,)."""
    table = np.zeros(1, dtype=np.uint32)
    for target in permutation:
        table = np.concatenate([table, table | np.uint32(1 << int(target))])
    return table


def _whole_orbits(permutations: np.ndarray) -> list[SiteChoice]:
    """Every union of orbits but none and all; an operation changes none of them."""
    first = permutations.min(axis=0)
    orbits = [np.flatnonzero(first == representative) for representative in np.unique(first)]
    return [
        SiteChoice(tuple(sorted(int(site) for orbit in some for site in orbit)), 1)
        for count in range(1, len(orbits))
        for some in combinations(orbits, count)
    ]


def _fair(choices: list[SiteChoice], limit: int) -> list[SiteChoice]:
    """At most `limit`, every count of sites getting its turn, its most symmetric choices first."""
    by_count: dict[int, list[SiteChoice]] = {}
    for choice in sorted(choices, key=lambda choice: (choice.images, choice.sites)):
        by_count.setdefault(len(choice.sites), []).append(choice)
    turns = [(turn, count, choice) for count, some in by_count.items() for turn, choice in enumerate(some)]
    turns.sort(key=lambda item: item[:2])
    kept = turns[:limit]
    kept.sort(key=lambda item: (item[1], item[0]))
    return [choice for _, _, choice in kept]
