"""Compositions as arrays: each element once, and whether its oxidation states can balance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gnome_torch.candidates.chemistry.elements import element_table, numbers_of

# Sums of oxidation states tried at once; memory, not a limit on what can be asked
_BLOCK = 4_000_000


def merged(numbers: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compositions with each element once: atomic numbers in ascending order, behind zeros where groups merged.

    Args:
        numbers: atomic number of each group of sites, (n, k).
        counts: sites in each group, (k,).

    Returns:
        Atomic numbers, (n, k), and atoms of each, (n, k); both 0 where a row has fewer than k elements.
    """
    order = np.argsort(numbers, axis=1, kind="stable")
    numbers = np.take_along_axis(numbers, order, axis=1)
    amounts = np.asarray(counts)[order]
    for column in range(1, numbers.shape[1]):
        same = numbers[:, column] == numbers[:, column - 1]
        amounts[:, column] += np.where(same, amounts[:, column - 1], 0)
        amounts[:, column - 1][same] = 0
    numbers = np.where(amounts > 0, numbers, 0)
    order = np.argsort(numbers, axis=1, kind="stable")
    return np.take_along_axis(numbers, order, axis=1), np.take_along_axis(amounts, order, axis=1)


def charge_balanced(numbers: np.ndarray, amounts: np.ndarray) -> np.ndarray:
    """Whether common oxidation states, one per element, can add up to zero, (n,).

    A composition of metals only, and an element, need no balance and pass.

    Args:
        numbers: atomic numbers, (n, k); each element once per row, 0 where a row has fewer.
        amounts: atoms of each, (n, k).
    """
    table = element_table()
    free = ~table.forms_anions[numbers].any(axis=1) | ((numbers > 0).sum(axis=1) < 2)
    balanced = free.copy()
    todo = np.flatnonzero(~free)
    # nothing (atomic number 0) has the one oxidation state 0
    nothing = np.full((1, table.common_states.shape[1]), np.nan)
    nothing[0, 0] = 0.0
    states = np.concatenate([nothing, table.common_states[1:]])
    states = states[:, : max(1, int((~np.isnan(states[np.unique(numbers)])).sum(axis=1).max(initial=1)))]
    step = max(1, _BLOCK // states.shape[1] ** numbers.shape[1])
    for start in range(0, len(todo), step):
        rows = todo[start : start + step]
        totals = np.zeros((len(rows), 1))
        for column in range(numbers.shape[1]):
            charges = amounts[rows, column, None] * states[numbers[rows, column]]
            totals = (totals[:, :, None] + charges[:, None, :]).reshape(len(rows), -1)
        balanced[rows] = (totals == 0).any(axis=1)
    return balanced


def is_charge_balanced(counts: Mapping[str, int]) -> bool:
    """`charge_balanced` for one composition: element symbol -> atoms."""
    numbers = numbers_of(list(counts))[None]
    return bool(charge_balanced(numbers, np.array([list(counts.values())], dtype=np.int64))[0])
