"""Keys for many at once: of candidates, as they are stored; of compositions and of decorated sites, to compare.

Those to compare have 128 bits: a key is a sum of pseudo-random numbers, one per (place, element). Equal content gives
equal keys, and two different ones agree with a probability of 2^-128, so that comparing keys is comparing content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

_NUMBERS = 128  # atomic numbers, with room
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def candidate_ids(parent_ids: Iterable[str], numbers: np.ndarray, volumes: np.ndarray) -> list[str]:
    """Content hashes of candidates: parent, volume (to 0.001 cubic angstrom), atomic number on each of its sites.

    Args:
        parent_ids: key of the parent of each, n of them.
        numbers: atomic numbers in the order of the parent's sites, uint8, (n, n_sites).
        volumes: of the cells, cubic angstrom, (n,).
    """
    milli = np.round(np.asarray(volumes) * 1000).astype(">i8")
    content = np.concatenate([milli[:, None].view(np.uint8), numbers], axis=1).tobytes()
    width = 8 + numbers.shape[1]
    rows = (content[start : start + width] for start in range(0, len(content), width))
    return [
        hashlib.sha256(f"{parent_id}|".encode() + row).hexdigest()[:24]
        for parent_id, row in zip(parent_ids, rows, strict=True)
    ]


def mix(values: np.ndarray) -> np.ndarray:
    """Scramble 64-bit numbers one to one (the finaliser of SplitMix64, Steele et al., OOPSLA 2014)."""
    with np.errstate(over="ignore"):
        x = np.asarray(values, dtype=np.uint64) + _GOLDEN
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(x ^ (x >> np.uint64(31)))


def composition_keys(numbers: np.ndarray, amounts: np.ndarray) -> np.ndarray:
    """Keys of reduced compositions, (n, 2); formulas with a common factor, or in another order, have one key.

    Args:
        numbers: atomic numbers, (n, k); each element once per row, 0 where a row has fewer.
        amounts: atoms of each, (n, k), 0 where `numbers` is 0.
    """
    amounts = amounts // np.maximum(np.gcd.reduce(amounts, axis=1), 1)[:, None]
    terms = mix(numbers.astype(np.uint64) << np.uint64(32) | amounts.astype(np.uint64))
    terms[amounts == 0] = 0
    with np.errstate(over="ignore"):
        return np.stack([terms.sum(axis=1), mix(terms).sum(axis=1, where=amounts > 0)], axis=1)


class SiteKeys:
    """Keys of decorations of a fixed set of sites that are equal when a symmetry operation turns one into the other.

    For each operation the sites' numbers are summed; the key is the smallest of these sums and a symmetric function
    of all, so it does not depend on which of the equivalent decorations came first.
    """

    def __init__(self, permutations: np.ndarray, groups: np.ndarray, salt: int) -> None:
        """Tables for decorations that put one element on each group of sites.

        Args:
            permutations: operations on sites, (n_operations, n_sites).
            groups: group of each site, (n_sites,), counted from 0.
            salt: makes keys of different geometries different.
        """
        n_sites = permutations.shape[1]
        numbers = np.arange(_NUMBERS, dtype=np.uint64)
        sites = np.arange(n_sites, dtype=np.uint64)
        noise = mix(mix(np.uint64(salt) + (sites << np.uint64(8))[:, None] + numbers[None, :]))  # (n_sites, 128)
        n_groups = int(groups.max()) + 1
        self.tables = np.zeros((len(permutations), n_groups, _NUMBERS), dtype=np.uint64)
        for group in range(n_groups):
            images = permutations[:, groups == group]  # (n_operations, sites of the group)
            with np.errstate(over="ignore"):
                self.tables[:, group] = noise[images].sum(axis=1)

    def __call__(self, elements: np.ndarray) -> np.ndarray:
        """Keys, (n, 2), of decorations given as atomic number per group, (n, n_groups)."""
        smallest = np.full(len(elements), np.iinfo(np.uint64).max, dtype=np.uint64)
        total = np.zeros(len(elements), dtype=np.uint64)
        columns = [np.ascontiguousarray(elements[:, group]) for group in range(elements.shape[1])]
        with np.errstate(over="ignore"):
            for table in self.tables:
                image = table[0][columns[0]]
                for group, column in enumerate(columns[1:], start=1):
                    image = image + table[group][column]
                np.minimum(smallest, image, out=smallest)
                total += mix(image)
        return np.stack([smallest, total], axis=1)
