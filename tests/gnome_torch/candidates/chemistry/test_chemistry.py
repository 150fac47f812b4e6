"""Compositions as arrays: charge balance, keys, formulas, the element policy, against pymatgen and plain loops."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition, Element

from gnome_torch.candidates.chemistry.balance import charge_balanced, is_charge_balanced, merged
from gnome_torch.candidates.chemistry.elements import element_table, is_anion_former
from gnome_torch.candidates.chemistry.policy import ElementPolicy
from gnome_torch.candidates.structural.proposals import known_compositions
from gnome_torch.candidates.tables.keys import SiteKeys, composition_keys
from gnome_torch.candidates.tables.shards import reduced_formulas

SYMBOLS = ["Li", "Na", "Mg", "Ca", "Al", "Ti", "Fe", "Cu", "Au", "Si", "P", "N", "O", "S", "F", "Cl", "H"]
COMPOSITIONS = st.dictionaries(st.sampled_from(SYMBOLS), st.integers(1, 9), min_size=1, max_size=5)
OXIDES = ElementPolicy(frozenset({"Li", "Mg", "Al", "O"}), max_sites=14)


def arrays(compositions: list[dict[str, int]], width: int = 5) -> tuple[np.ndarray, np.ndarray]:
    numbers = np.zeros((len(compositions), width), dtype=np.uint8)
    amounts = np.zeros((len(compositions), width), dtype=np.int64)
    for row, composition in enumerate(compositions):
        for column, (symbol, amount) in enumerate(composition.items()):
            numbers[row, column], amounts[row, column] = Element(symbol).Z, amount
    return numbers, amounts


@pytest.mark.parametrize(
    ("formula", "balanced"),
    [({"Mg": 1, "O": 1}, True), ({"Mg": 1, "O": 2}, False), ({"Li": 1, "Mg": 3}, True), ({"O": 2}, True),
     ({"Fe": 3, "O": 4}, False), ({"Ca": 1, "Ti": 1, "O": 3}, True)],
)  # fmt: skip
def test_charge_balance(formula: dict[str, int], balanced: bool) -> None:
    assert is_charge_balanced(formula) is balanced  # Fe3O4 needs mixed valence, which one state each cannot give


@settings(max_examples=60, deadline=None)
@given(st.lists(COMPOSITIONS, min_size=1, max_size=30))
def test_charge_balance_of_many_is_that_of_each(compositions: list[dict[str, int]]) -> None:
    def slow(composition: dict[str, int]) -> bool:
        if len(composition) == 1 or not any(map(is_anion_former, composition)):
            return True
        options = [Element(symbol).common_oxidation_states for symbol in composition]
        return any(
            sum(n * state for n, state in zip(composition.values(), states, strict=True)) == 0
            for states in product(*options)
        )

    assert charge_balanced(*arrays(compositions)).tolist() == [slow(c) for c in compositions]


@settings(max_examples=60, deadline=None)
@given(st.lists(COMPOSITIONS, min_size=1, max_size=30))
def test_formulas_are_pymatgens(compositions: list[dict[str, int]]) -> None:
    assert reduced_formulas(*arrays(compositions)).to_pylist() == [Composition(c).reduced_formula for c in compositions]


def test_formulas_that_pymatgen_writes_in_its_own_way() -> None:
    """Gases, peroxides, polyanions."""
    odd: list[dict[str, int]] = [{"Na": 4, "O": 4}, {"K": 1, "O": 1}, {"H": 2, "O": 2}, {"O": 5}, {"N": 1}, {"Cl": 3}]
    odd += [{"Ca": 3, "P": 2, "O": 8}, {"Mg": 1, "O": 2, "H": 2}, {"Na": 2, "O": 1}, {"N": 4, "H": 8}]
    assert reduced_formulas(*arrays(odd)).to_pylist() == [Composition(c).reduced_formula for c in odd]


def test_formulas_of_random_compositions_of_all_elements() -> None:
    rng = np.random.default_rng(0)
    usual = [z for z in range(1, 95) if z not in (2, 10, 18, 36, 54, 86)]
    for counts in ([1, 1, 1, 1], [2, 4, 6, 8], [3, 2, 8, 8]):
        numbers, amounts = merged(rng.choice(usual, (500, 4)), np.array(counts))
        symbols = element_table().symbols
        expected = [
            Composition({str(symbols[z]): int(n) for z, n in zip(row, some, strict=True) if z}).reduced_formula
            for row, some in zip(numbers, amounts, strict=True)
        ]
        assert reduced_formulas(numbers, amounts).to_pylist() == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(COMPOSITIONS, min_size=2, max_size=30), st.integers(1, 4))
def test_composition_keys_are_equal_for_equal_reduced_formulas_only(
    compositions: list[dict[str, int]], factor: int
) -> None:
    keys = [tuple(key) for key in composition_keys(*arrays(compositions)).tolist()]
    turned = [dict(reversed([(s, n * factor) for s, n in c.items()])) for c in compositions]
    assert keys == [tuple(key) for key in composition_keys(*arrays(turned)).tolist()]
    formulas = [Composition(c).reduced_formula for c in compositions]
    assert len(set(keys)) == len(set(formulas))


def test_known_compositions() -> None:
    known = known_compositions(["NaCl", "Na2Cl2", "CaTiO3", "O2", "Li0.5CoO2", "Ca3(PO4)2"])
    assert len(known) == 5
    assert known.tolist() == sorted(known.tolist())
    keys = composition_keys(*arrays([{"Cl": 3, "Na": 3}, {"Li": 1, "Co": 2, "O": 4}, {"O": 3, "Ca": 1, "Ti": 1}]))
    assert {tuple(key) for key in keys.tolist()} < {tuple(key) for key in known.tolist()}
    assert known_compositions([]).shape == (0, 2)
    with pytest.raises(ValueError, match="'NaCk' is not a chemical formula"):
        known_compositions(["NaCl", "NaCk"])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_site_keys_are_equal_for_equivalent_decorations_only(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 6))
    cycle = np.roll(np.arange(n), 1)
    group = np.array([np.roll(np.arange(n), k) for k in range(n)])  # the rotations of a ring
    assert (group[1] == cycle).all()
    decorations = np.array(
        data.draw(st.lists(st.lists(st.integers(1, 3), min_size=n, max_size=n), min_size=1, max_size=20))
    )
    keys = SiteKeys(group, np.arange(n), 7)(decorations)
    classes = [min(tuple(row[p]) for p in group) for row in decorations]
    assert len({tuple(key) for key in keys.tolist()}) == len(set(classes))
    for a, key_a in zip(classes, keys.tolist(), strict=True):
        for b, key_b in zip(classes, keys.tolist(), strict=True):
            assert (a == b) == (key_a == key_b)
    # sites that always carry the same element can be keyed as one group, with the same result
    halves = np.arange(n) % 2
    grouped = SiteKeys(group, halves, 7)(decorations[:, :2])
    assert grouped.tolist() == SiteKeys(group, np.arange(n), 7)(decorations[:, :2][:, halves]).tolist()
    # another geometry has other keys
    assert SiteKeys(group, np.arange(n), 8)(decorations).tolist() != keys.tolist()


@pytest.mark.parametrize(
    ("formula", "policy", "reason"),
    [
        ({"Li": 1, "Xe": 1}, ElementPolicy(frozenset({"Li", "Xe"})), "element not allowed"),
        ({"Li": 1, "Pm": 1}, ElementPolicy(frozenset({"Li", "Pm"})), "element not allowed"),
        ({"Li": 1, "Pm": 1}, ElementPolicy(frozenset({"Li", "Pm"}), excluded=frozenset()), None),
        ({"Li": 1, "Na": 1}, OXIDES, "element not allowed"),
        ({"Li": 4}, OXIDES, "a single element"),
        ({"Li": 10, "O": 5}, OXIDES, "too many atoms"),
        ({"Li": 1, "Mg": 1, "O": 1}, ElementPolicy(frozenset({"Li", "Mg", "O"}), max_elements=2), "too many elements"),
        ({"Mg": 1, "O": 2}, ElementPolicy(frozenset({"Mg", "O"}), charge_balance=True), "not charge balanced"),
        (
            {"Mg": 1, "Al": 2, "Li": 1},
            ElementPolicy(frozenset({"Li", "Mg", "Al"}), systems=(frozenset({"Li", "Mg"}), frozenset({"Mg", "Al"}))),
            "outside the chemical systems",
        ),
        ({"Mg": 1, "Al": 2}, ElementPolicy(frozenset({"Li", "Mg", "Al"}), systems=(frozenset({"Mg", "Al"}),)), None),
        ({"Mg": 1, "O": 1}, OXIDES, None),
    ],
)
def test_policy(formula: dict[str, int], policy: ElementPolicy, reason: str | None) -> None:
    assert policy.refusal(formula) == reason


def test_the_first_rule_that_refuses_is_the_one_that_counts() -> None:
    numbers, amounts = arrays([{"Xe": 40}, {"Li": 40}, {"Li": 20, "O": 20}, {"Li": 2, "O": 1}])
    refusals = {rule: refused.tolist() for rule, refused in OXIDES.refusals(numbers, amounts)}
    assert refusals == {
        "element not allowed": [True, False, False, False],
        "a single element": [False, True, False, False],
        "too many elements": [False] * 4,
        "too many atoms": [False, False, True, False],
    }
