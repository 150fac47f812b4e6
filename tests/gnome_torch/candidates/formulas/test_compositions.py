"""Formulas from oxidation states: against a search that tries every assignment, one formula at a time."""

from __future__ import annotations

from itertools import combinations, product
from math import gcd

import numpy as np
import pytest
import smact
from pymatgen.core import Composition

from gnome_torch.candidates.chemistry.policy import ElementPolicy
from gnome_torch.candidates.formulas.compositions import (
    CompositionLimits,
    Compositions,
    compositions,
    number_of_formulas,
    oxidation_states,
    stoichiometries,
)
from gnome_torch.candidates.structural.proposals import known_compositions

ELEMENTS = ("Li", "Mg", "Fe", "Si", "P", "O", "Cl")


def everything(policy: ElementPolicy, limits: CompositionLimits, known: np.ndarray | None = None) -> dict[str, bool]:
    """Every formula with whether it balances strictly; none may come twice."""
    found: dict[str, bool] = {}
    for some in compositions(policy, limits, known):
        for formula, strict in zip(some.formulas(), some.strict.tolist(), strict=True):
            assert formula not in found
            found[formula] = strict
    return found


def balances(amounts: dict[str, int], between: int) -> bool:
    """Straight from the definition: states of some elements, ranges of the others."""
    states = {symbol: sorted({*smact.Element(symbol).oxidation_states, 0}) for symbol in amounts}
    if all(some[0] >= 0 for some in states.values()):
        return True
    for n_free in range(between + 1):
        for free in combinations(amounts, n_free):
            rest = [symbol for symbol in amounts if symbol not in free]
            for choice in product(*(states[symbol] for symbol in rest)):
                total = sum(amounts[s] * q for s, q in zip(rest, choice, strict=True))
                low = sum(amounts[s] * states[s][0] for s in free)
                high = sum(amounts[s] * states[s][-1] for s in free)
                if not low <= -total <= high:
                    continue
                if any(choice):
                    return True
                # only what is in between can be charged: one up, another down
                pairs = [(a, b) for a in free for b in free if a != b]
                if any(states[a][-1] > 0 > states[b][0] for a, b in pairs):
                    return True
    return False


@pytest.mark.parametrize("between", [0, 1, 2])
def test_against_every_assignment(between: int) -> None:
    policy = ElementPolicy(frozenset(ELEMENTS), max_elements=3, max_sites=8)
    limits = CompositionLimits(max_amount=4, max_atoms=8, between=between)
    found = everything(policy, limits)
    expected, looked_at = {}, 0
    for k in (2, 3):
        for symbols in combinations(ELEMENTS, k):
            for amounts in product(range(1, 5), repeat=k):
                if sum(amounts) <= 8 and gcd(*amounts) == 1:
                    looked_at += 1
                    chosen = dict(zip(symbols, amounts, strict=True))
                    if balances(chosen, between):
                        expected[Composition(chosen).reduced_formula] = balances(chosen, 0)
    assert found == expected
    assert number_of_formulas(policy, limits) == looked_at


def test_silicon_between_two_states() -> None:
    """Li15Si4 (Merchant et al.): silicon at -15/4. Strictly, no state of silicon divides 15."""
    policy = ElementPolicy(frozenset({"Li", "Si"}))
    strict = everything(policy, CompositionLimits(max_amount=15, max_atoms=20, between=0))
    relaxed = everything(policy, CompositionLimits(max_amount=15, max_atoms=20, between=1))
    assert "Li15Si4" not in strict
    assert relaxed["Li15Si4"] is False
    assert strict["Li4Si"]
    assert strict.keys() < relaxed.keys()
    assert relaxed["Li4Si"]
    # silicon alone cannot take nine electrons for two atoms, but lithium at 8/9 can sit in between instead
    assert relaxed["Li9Si2"] is False


def test_metals_need_no_balance_and_noble_gases_do_not_come() -> None:
    policy = ElementPolicy(frozenset({"Ni", "Al", "Ar"}), excluded=frozenset())
    limits = CompositionLimits(max_amount=3, between=0)
    assert set(everything(policy, limits)) == {"AlNi", "Al2Ni", "AlNi2", "Al3Ni", "AlNi3", "Al3Ni2", "Al2Ni3"}
    assert oxidation_states()[18] == ()


def test_what_is_known_and_outside_the_systems_is_left_out() -> None:
    limits = CompositionLimits(max_amount=3, between=0)
    policy = ElementPolicy(frozenset(ELEMENTS), systems=(frozenset({"Li", "O"}), frozenset({"Mg", "Cl"})))
    found = everything(policy, limits)
    assert {frozenset(e.symbol for e in Composition(f)) for f in found} == {
        frozenset(["Li", "O"]),
        frozenset({"Mg", "Cl"}),
    }
    rest = everything(policy, limits, known_compositions(["Li4O2", "MgCl2"]))
    assert found.keys() - rest.keys() == {"Li2O", "MgCl2"}


def test_the_same_in_the_same_order() -> None:
    policy, limits = ElementPolicy(frozenset(ELEMENTS), max_elements=3), CompositionLimits(max_amount=3)
    one, other = ([f for some in compositions(policy, limits) for f in some.formulas()] for _ in range(2))
    assert one == other


def test_amounts_have_no_common_factor_and_stay_within_their_limits() -> None:
    rows = stoichiometries(3, 5, 9)
    assert all(gcd(*row) == 1 and sum(row) <= 9 and max(row) <= 5 for row in rows.tolist())
    assert len({tuple(row) for row in rows.tolist()}) == len(rows)
    assert isinstance(next(compositions(ElementPolicy(frozenset({"Li", "O"})), CompositionLimits())), Compositions)
