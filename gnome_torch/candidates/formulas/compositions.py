"""Compositions from oxidation states alone: the formulas of the compositional pipeline.

Every reduced formula within the limits whose elements' oxidation states (SMACT's, Davies et al., Chem 1, 617, 2016, and
0) can add up to zero is given, once, in a fixed order. Relaxed balancing (Merchant et al., Nature 624, 80, 2023,
Methods): up to two elements may sit between two adjacent ones of their states on average, as silicon does in Li15Si4
at -3.75.

A balance must be one: some element above zero and some below. With everything at 0 any formula would balance; that is
accepted of elements without a negative state alone, of intermetallics.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product
from math import comb, gcd

import numpy as np

from gnome_torch.candidates.chemistry.elements import N_NUMBERS, numbers_of
from gnome_torch.candidates.chemistry.policy import ElementPolicy
from gnome_torch.candidates.tables.keys import composition_keys
from gnome_torch.candidates.tables.shards import reduced_formulas

_BLOCK = 2_000_000
"""Sums of oxidation states tried at once: what bounds the memory."""


@dataclass(frozen=True)
class CompositionLimits:
    """Which formulas are asked for.

    Attributes:
        max_amount: largest stoichiometric number of an element.
        max_atoms: largest number of atoms in the reduced formula.
        min_elements: smallest number of different elements; the largest is the policy's.
        between: how many elements may sit between two adjacent oxidation states; 0 for strict balancing.
    """

    max_amount: int = 8
    max_atoms: int = 20
    min_elements: int = 2
    between: int = 2


@dataclass(frozen=True, eq=False)
class Compositions:
    """Formulas with the same number of elements, as arrays.

    Attributes:
        numbers: atomic numbers in ascending order, (n, k).
        amounts: atoms of each in the reduced formula, (n, k).
        strict: whether the formula balances without an element between two states, (n,).
    """

    numbers: np.ndarray
    amounts: np.ndarray
    strict: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    def formulas(self) -> list[str]:
        """Reduced formulas as pymatgen writes them."""
        return list(reduced_formulas(self.numbers, self.amounts).to_pylist())


def compositions(
    policy: ElementPolicy, limits: CompositionLimits, known: np.ndarray | None = None
) -> Iterator[Compositions]:
    """All formulas that the policy and the limits allow, some thousands at a time, in a fixed order.

    Args:
        policy: elements, chemical systems, largest number of elements and of atoms.
        limits: the rest.
        known: sorted keys of compositions that are left out (`known_compositions`), (m, 2).
    """
    symbols = sorted(policy.allowed, key=lambda symbol: int(numbers_of([symbol])[0]))
    everything = numbers_of(symbols)
    states = oxidation_states()
    everything = everything[[bool(states[z]) for z in everything]]
    atoms = min(limits.max_atoms, policy.max_sites)
    for k in range(max(limits.min_elements, 1), policy.max_elements + 1):
        amounts = stoichiometries(k, limits.max_amount, atoms)
        if len(amounts) == 0 or len(everything) < k:
            continue
        for numbers in _systems(everything, k, policy, len(amounts)):
            found = _balanced_of(numbers, amounts, limits.between)
            if known is not None and len(known):
                found = _without(found, known)
            if len(found):
                yield found


def number_of_formulas(policy: ElementPolicy, limits: CompositionLimits) -> int:
    """Formulas that are looked at: all element sets times all amounts, chemical systems not counted."""
    n = len(policy.allowed)
    atoms = min(limits.max_atoms, policy.max_sites)
    return sum(
        comb(n, k) * len(stoichiometries(k, limits.max_amount, atoms))
        for k in range(max(limits.min_elements, 1), policy.max_elements + 1)
    )


@cache
def oxidation_states() -> tuple[tuple[int, ...], ...]:
    """SMACT's oxidation states of each atomic number (0 to 118), in ascending order; none for a noble gas."""
    import smact

    table: list[tuple[int, ...]] = [()] * N_NUMBERS
    for symbol in smact.ordered_elements(1, 103):
        states = {int(state) for state in smact.Element(symbol).oxidation_states or ()}
        table[int(numbers_of([symbol])[0])] = tuple(sorted(states))
    return tuple(table)


@cache
def stoichiometries(k: int, max_amount: int, max_atoms: int) -> np.ndarray:
    """Amounts of k elements without a common factor, (m, k), in the order of their sum."""
    rows = [row for row in product(range(1, max_amount + 1), repeat=k) if sum(row) <= max_atoms and gcd(*row) == 1]
    return np.array(sorted(rows, key=lambda row: (sum(row), row)), dtype=np.int64).reshape(-1, k)


def balances(numbers: np.ndarray, amounts: np.ndarray, between: int) -> np.ndarray:
    """Whether oxidation states can add up to zero, (s, m), for sets of elements and amounts.

    Args:
        numbers: atomic numbers of each set, (s, k).
        amounts: (m, k).
        between: how many elements may have any value between two adjacent states.
    """
    s, k = numbers.shape
    states, count = _padded_states()
    width = int(count[numbers].max())
    values = states[numbers][:, :, :width]  # (s, k, width), nan behind the last state
    lowest, highest = np.nanmin(values, axis=2), np.nanmax(values, axis=2)
    found = np.zeros((s, len(amounts)), dtype=bool)
    metals = (lowest >= 0).all(axis=1)
    found[metals] = True
    for free in _subsets(k, between):
        rest = [i for i in range(k) if i not in free]
        for choice in product(range(width), repeat=len(rest)):
            todo = np.flatnonzero(~found.all(axis=1))
            if len(todo) == 0:
                return found
            chosen = (
                np.stack([values[todo, i, c] for i, c in zip(rest, choice, strict=True)], axis=1)
                if rest
                else (np.zeros((len(todo), 0)))
            )
            there = ~np.isnan(chosen).any(axis=1)
            todo, chosen = todo[there], chosen[there]
            if len(todo) == 0:
                continue
            fixed = chosen @ amounts[:, rest].T  # (t, m)
            low, high = lowest[todo][:, free], highest[todo][:, free]
            if not free:
                # all at 0 is no balance
                found[todo] |= (fixed == 0) & (chosen != 0).any(axis=1)[:, None]
                continue
            least, most = low @ amounts[:, free].T, high @ amounts[:, free].T
            inside = (-fixed >= least) & (-fixed <= most)
            # the same for the elements in between: with nothing else charged, one of them has to be positive and
            # another negative
            charged = (chosen != 0).any(axis=1) | ((low < 0).any(axis=1) & _opposite(low, high))
            found[todo] |= inside & charged[:, None]
    return found


def _opposite(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Whether one of the elements in between can be positive while another is negative, (t,)."""
    if low.shape[1] < 2:
        return np.zeros(len(low), dtype=bool)
    positive, negative = high > 0, low < 0
    return (positive[:, 0] & negative[:, 1]) | (positive[:, 1] & negative[:, 0])


def _subsets(k: int, between: int) -> list[list[int]]:
    """Elements that are in between, the fewest first."""
    return [list(some) for n in range(min(between, k) + 1) for some in combinations(range(k), n)]


def _balanced_of(numbers: np.ndarray, amounts: np.ndarray, between: int) -> Compositions:
    strict = balances(numbers, amounts, 0)
    accepted = strict if between == 0 else strict | balances(numbers, amounts, between)
    sets, rows = np.nonzero(accepted)
    return Compositions(numbers[sets], amounts[rows], strict[sets, rows])


def _systems(everything: np.ndarray, k: int, policy: ElementPolicy, m: int) -> Iterator[np.ndarray]:
    """Sets of k elements, (s, k), as many at a time as fit into a block."""
    at_once = max(1, _BLOCK // m)
    allowed = [frozenset(numbers_of(list(system)).tolist()) for system in policy.systems]
    some: list[tuple[int, ...]] = []
    for chosen in combinations(everything.tolist(), k):
        if allowed and not any(system.issuperset(chosen) for system in allowed):
            continue
        some.append(chosen)
        if len(some) == at_once:
            yield np.array(some, dtype=np.int64)
            some = []
    if some:
        yield np.array(some, dtype=np.int64)


def _without(found: Compositions, known: np.ndarray) -> Compositions:
    keys = composition_keys(found.numbers, found.amounts)
    at = np.searchsorted(known[:, 0], keys[:, 0])
    candidate = known[np.minimum(at, len(known) - 1)]
    new = ~(candidate == keys).all(axis=1)
    return Compositions(found.numbers[new], found.amounts[new], found.strict[new])


@cache
def _padded_states() -> tuple[np.ndarray, np.ndarray]:
    """Oxidation states and 0 of each atomic number, padded with nan, (119, w), and how many they are, (119,)."""
    rows = [sorted({*some, 0}) for some in oxidation_states()]
    padded = np.full((N_NUMBERS, max(map(len, rows))), np.nan)
    for z, some in enumerate(rows):
        padded[z, : len(some)] = some
    return padded, np.array([len(some) for some in rows])
