"""Oxidation states of a composition, also of large formulas, for which pymatgen gives up.

pymatgen tries all choices and stops at 20 atoms in the reduced formula. Here the best neutral choice is found sum by
sum (dynamic programming): the same rule, states and occurrences of the ICSD, in milliseconds for hundreds of atoms.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from pymatgen.core import Composition, Element, Species

LARGEST = 1000
"""Atoms in the reduced formula; of larger ones nothing is guessed."""


def likeliest_states(composition: Composition) -> dict[str, float]:
    """Mean oxidation state of each element in the neutral choice of the highest score; empty where there is none.

    The score of a choice is the sum over its atoms of how often the ICSD has the oxidation state (pymatgen's
    `icsd_bv.yaml`), as in `Composition.oxi_state_guesses`.

    Args:
        composition: whole numbers of atoms.
    """
    reduced = composition.element_composition.reduced_composition
    amounts = {element.symbol: round(n) for element, n in sorted(reduced.items(), key=lambda item: item[0].symbol)}
    if reduced.num_atoms > LARGEST or any(abs(reduced[symbol] - n) > 1e-6 for symbol, n in amounts.items()):
        return {}
    options = [_sums(symbol, n) for symbol, n in amounts.items()]
    if not all(len(scores) for _, scores in options):
        return {}
    lows, totals = [options[0][0]], [options[0][1]]
    for low, scores in options[1:]:
        lows.append(lows[-1] + low)
        totals.append(_joined(totals[-1], scores))
    charge, states = 0, {}
    for row in range(len(options) - 1, -1, -1):
        low, scores = options[row]
        before = totals[row - 1] if row else np.zeros(1)
        offset = lows[row - 1] if row else 0
        # what the elements before this one are left with, for each of its own sums
        left = charge - (low + np.arange(len(scores))) - offset
        inside = (left >= 0) & (left < len(before))
        both = np.where(inside, scores + before[np.where(inside, left, 0)], -np.inf)
        best = int(both.argmax())
        if not np.isfinite(both[best]):
            return {}
        symbol, n = list(amounts.items())[row]
        states[symbol] = (low + best) / n
        charge -= low + best
    return states


@cache
def _sums(symbol: str, n: int) -> tuple[int, np.ndarray]:
    """The smallest sum of the oxidation states of n atoms, and the best score of it and of each whole number above."""
    element = Element(symbol)
    states = sorted({int(state) for state in element.icsd_oxidation_states or element.common_oxidation_states})
    if not states:
        return 0, np.zeros(0)
    single = np.full(states[-1] - states[0] + 1, -np.inf)
    for state in states:
        single[state - states[0]] = _occurrences().get(f"{symbol}{state}", 0.0)
    total = np.zeros(1)
    for _ in range(n):
        total = _joined(total, single)
    return n * states[0], total


def _joined(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Best scores of the sums of two lists of sums."""
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    joined = np.full(len(one) + len(other) - 1, -np.inf)
    for shift in np.flatnonzero(np.isfinite(shorter)).tolist():
        part = joined[shift : shift + len(longer)]
        np.maximum(part, longer + shorter[shift], out=part)
    return joined


@cache
def _occurrences() -> dict[str, float]:
    """How often the ICSD has each oxidation state, by symbol and state, such as Fe3."""
    Composition("NaCl").oxi_state_guesses()  # which reads pymatgen's table
    table: dict[Species, float] = Composition.oxi_prob or {}
    return {f"{species.symbol}{round(species.oxi_state or 0)}": float(number) for species, number in table.items()}
