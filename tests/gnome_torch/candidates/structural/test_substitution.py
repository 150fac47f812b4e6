"""The substitution model: the published one by options, GNoME's changes, the metals' rule, oxidation states."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from pymatgen.core import Element
from pymatgen.core.structure_prediction.substitution_probability import SubstitutionPredictor, SubstitutionProbability

from gnome_torch.candidates.chemistry.elements import member_table
from gnome_torch.candidates.structural.substitution import (
    Ions,
    SubstitutionModel,
    SubstitutionRules,
    element_assignments,
    element_substitutions,
    ion_substitutions,
    ions_of,
    size_factor,
    substitution_model,
)

PEROVSKITE = ["Ca2+", "Ti4+", "O2-"]


def charged(model: SubstitutionModel) -> np.ndarray:
    return model.states != 0


def substitutions(ions: list[str], rules: SubstitutionRules) -> dict[tuple[str, ...], float]:
    model = substitution_model(rules.lambda_floor)
    found = {}
    for chosen, probability in ion_substitutions(ions, charged(model), model, rules):
        for row, p in zip(chosen, probability, strict=True):
            found[tuple(model.ions[i] for i in row)] = float(p)
    return found


def counts(ions: list[str], rules: SubstitutionRules) -> tuple[int, int]:
    changed = [sum(a != b for a, b in zip(row, ions, strict=True)) for row in substitutions(ions, rules)]
    return changed.count(1), changed.count(2)


def test_the_counts_of_the_design() -> None:
    """Ca2+ Ti4+ O2-, substitutions of one ion and of two (design, section 3)."""
    assert counts(PEROVSKITE, SubstitutionRules.stock()) == (68, 38)
    assert counts(PEROVSKITE, SubstitutionRules(count_unchanged=True)) == (32, 14)
    assert counts(PEROVSKITE, SubstitutionRules()) == (328, 44)


@pytest.mark.parametrize("ions", [["Na+", "Cl-"], ["Sr2+", "O2-"]])
@pytest.mark.parametrize("threshold", [0.01, 0.003])
def test_stock_rules_are_pymatgens_predictor(ions: list[str], threshold: float) -> None:
    theirs = {
        tuple(str(ion) for ion in prediction["substitutions"]): prediction["probability"]
        for prediction in SubstitutionPredictor(threshold=threshold).list_prediction(ions)
    }
    theirs.pop(tuple(ions), None)  # nothing changed
    ours = substitutions(ions, SubstitutionRules.stock(threshold))
    assert ours.keys() == theirs.keys()
    assert all(ours[key] == pytest.approx(theirs[key], rel=1e-9) for key in ours)
    assert ours


def test_probabilities_are_pymatgens_with_and_without_the_floor() -> None:
    theirs = SubstitutionProbability(alpha=-5)
    ours = substitution_model(-5.0)
    for new, old in [("Sr2+", "Ca2+"), ("Mg2+", "Ca2+"), ("Zr4+", "Ti4+"), ("S2-", "O2-"), ("Na+", "Al3+")]:
        assert ours.probability(new, old) == pytest.approx(theirs.cond_prob(new, old), rel=1e-9)
    floored = substitution_model(0.0)
    n = charged(floored).sum()
    assert n == 230
    # the floor makes rare pairs more probable, and conditional probabilities still add up
    assert floored.probability("Cs+", "O2-") > ours.probability("Cs+", "O2-")
    for model in (ours, floored):
        assert model.probabilities.sum(axis=0) == pytest.approx(1.0)
        assert (model.probabilities[:n, n:] == 0).all()


def test_branch_and_bound_equals_the_whole_product() -> None:
    model = substitution_model()
    some = [model.index(ion) for ion in [*PEROVSKITE, "Sr2+", "Ba2+", "Mg2+", "Zr4+", "Sn4+", "S2-", "F-", "Ti3+"]]
    allowed = np.zeros(len(model.ions), dtype=bool)
    allowed[some] = True
    for threshold in (1e-7, 1e-5, 1e-3):
        for count_unchanged in (False, True):
            rules = SubstitutionRules(threshold, count_unchanged=count_unchanged)
            blocks = list(ion_substitutions(PEROVSKITE, allowed, model, rules))
            found = {tuple(row): p for chosen, ps in blocks for row, p in zip(chosen.tolist(), ps, strict=True)}
            expected = {}
            olds = [model.index(ion) for ion in PEROVSKITE]
            for row in itertools.permutations(some, 3):
                p = 1.0
                for new, old in zip(row, olds, strict=True):
                    p *= model.probabilities[new, old] if new != old or count_unchanged else 1.0
                if p > threshold and list(row) != olds:
                    expected[row] = p
            assert found.keys() == expected.keys()
            assert all(found[key] == pytest.approx(expected[key]) for key in found)
            assert sum(len(ps) for _, ps in blocks) == len(found)  # none twice


def test_blocks_are_small_and_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = substitutions(PEROVSKITE, SubstitutionRules(1e-5))
    monkeypatch.setattr("gnome_torch.candidates.structural.substitution._BLOCK", 50)
    model = substitution_model()
    sizes = [len(p) for _, p in ion_substitutions(PEROVSKITE, charged(model), model, SubstitutionRules(1e-5))]
    assert max(sizes) <= 300  # one partial choice may bring more than a block, never the whole
    assert substitutions(PEROVSKITE, SubstitutionRules(1e-5)) == whole


def test_elements_take_the_best_of_their_ions() -> None:
    model, rules = substitution_model(), SubstitutionRules(1e-4)
    elements = ["Ca", "Sr", "Fe", "Ti", "Mn", "O", "S"]
    by_ion: dict[tuple[int, ...], float] = {}
    for row, p in substitutions(PEROVSKITE, rules).items():
        numbers = tuple(int(model.numbers[model.index(ion)]) for ion in row)
        by_ion[numbers] = max(by_ion.get(numbers, 0.0), p)
    allowed = member_table(elements)
    expected = {key: p for key, p in by_ion.items() if all(allowed[z] for z in key) and key != (20, 22, 8)}
    blocks = list(element_substitutions(PEROVSKITE, allowed, model, rules))
    found = {tuple(row): p for news, ps in blocks for row, p in zip(news.tolist(), ps, strict=True)}
    assert found == pytest.approx(expected)
    assert any(len(set(key)) < 3 for key in found)  # one element on two sites, in two oxidation states


def test_metals_follow_the_chemical_scale() -> None:
    model = substitution_model()
    assert model.probability("Ag0+", "Cu0+") > model.probability("Al0+", "Cu0+") > model.probability("Cs0+", "Cu0+")
    # three steps of Pettifor's scale: Cu 72, Ag 71, Au 70, Ni 67
    ratio = model.probability("Ag0+", "Cu0+") / model.probability("Ni0+", "Cu0+")
    assert ratio == pytest.approx((0.2 + np.exp(-1 / 6)) / (0.2 + np.exp(-5 / 6)))
    assert model.probability("F0+", "Mg0+") == model.probability("Mg0+", "F0+") == 0.0  # no metal becomes a non-metal
    assert model.probability("Si0+", "Al0+") > 0.0
    with pytest.raises(KeyError):
        model.index("Xx2+")
    assert model.probability("Xx2+", "Ca2+") == 0.0


def test_metals_keep_the_ratio_of_their_sizes() -> None:
    """MgZn2 -> CaMg2 grows all over; MgZn2 -> ZnMg2 turns it round."""
    model = substitution_model()
    ions = ["Mg0+", "Zn0+"]
    olds = np.array([model.index(ion) for ion in ions])
    radius = {symbol: Element(symbol).molar_volume ** (1 / 3) for symbol in ("Ca", "Mg", "Zn", "Cd")}

    def factor(*news: str) -> float:
        changes = [np.log(radius[new] / radius[old]) for new, old in zip(news, ("Mg", "Zn"), strict=True)]
        return float(np.exp(-np.std(changes) / 0.1))

    pairs = list(itertools.permutations(radius, 2))
    news = np.array([[Element(symbol).Z for symbol in pair] for pair in pairs], dtype=np.uint8)
    assert size_factor(model, olds, news) == pytest.approx([factor(*pair) for pair in pairs], rel=1e-6)
    assert factor("Mg", "Zn") == 1.0
    assert factor("Ca", "Mg") > 0.6 > 0.3 > factor("Zn", "Mg")
    # ions have no say in it, and a lone metal has nothing to keep a ratio to
    assert (size_factor(model, np.array([model.index(ion) for ion in PEROVSKITE]), np.ones((5, 3), int)) == 1).all()
    assert (size_factor(model, olds[:1], news[:, :1]) == 1).all()
    found = {}
    for chosen, p in ion_substitutions(ions, model.numbers < 40, model, SubstitutionRules(1e-5)):
        found |= {tuple(model.ions[i] for i in row): float(q) for row, q in zip(chosen, p, strict=True)}
    assert found["Ca0+", "Mg0+"] == pytest.approx(
        model.probability("Ca0+", "Mg0+") * model.probability("Mg0+", "Zn0+") * factor("Ca", "Mg"), rel=1e-6
    )
    assert min(found.values()) > 1e-5


@pytest.mark.parametrize(
    ("ions", "symbols"),
    [
        (PEROVSKITE, ["K", "Ca", "Mg", "F"]),
        (["Mg0+", "Zn0+"], ["K", "Ca", "Mg", "F"]),
        (["Mg0+", "Zn0+"], ["Mg", "Zn"]),
        (["Ca2+", "Al0+", "S2-"], ["Ca", "Zn", "N", "Pd"]),
    ],
)
def test_every_assignment_is_there(ions: list[str], symbols: list[str]) -> None:
    model, allowed = substitution_model(), member_table(symbols)
    numbers, p = element_assignments(ions, allowed, model, 2000)
    ways = list(itertools.permutations(sorted(Element(symbol).Z for symbol in symbols), len(ions)))
    assert sorted(map(tuple, numbers.tolist())) == ways
    assert (np.diff(p) <= 0).all()
    assert (p > 0).all()
    # where the threshold lets them pass they have the same probability
    by_assignment = dict(zip(map(tuple, numbers.tolist()), p.tolist(), strict=True))
    for news, ps in element_substitutions(ions, allowed, model, SubstitutionRules(1e-9)):
        for row, probability in zip(news.tolist(), ps, strict=True):
            if len(set(row)) == len(row):
                assert by_assignment[tuple(row)] == pytest.approx(probability)


def test_many_elements_leave_the_most_probable_assignments() -> None:
    model, everything = substitution_model(), np.ones(119, dtype=bool)
    for ions, most, per_ion in ((PEROVSKITE, 2000, 13), (["Mg0+", "Zn0+"], 2000, 45), (PEROVSKITE, 24, 4)):
        numbers, p = element_assignments(ions, everything, model, most)
        assert len(numbers) <= most
        assert (np.diff(p) <= 0).all()
        assert all(len(set(row)) == len(ions) for row in numbers.tolist())
        assert all(len(set(column)) <= per_ion for column in numbers.T.tolist())
        own = [int(model.numbers[model.index(ion)]) for ion in ions]
        assert numbers[0].tolist() == own
        assert p[0] == 1.0
    assert len(element_assignments(PEROVSKITE, member_table(["K", "F"]), model, 2000)[0]) == 0


@pytest.mark.parametrize(
    ("formula", "symbols", "given", "ions"),
    [
        ("CaTiO3", ("Ca", "Ti", "O"), None, Ions(("Ca2+", "Ti4+", "O2-"), "guessed")),
        ("Fe3O4", ("O", "Fe"), None, Ions(("O2-", "Fe3+"), "nearest to neutral")),
        ("Fe3O4", ("Fe", "O"), (2, -2), Ions(("Fe2+", "O2-"), "given")),
        ("Ni3Al", ("Ni", "Al"), None, Ions(("Ni0+", "Al0+"), "chemical scale")),
        ("Cu", ("Cu",), None, Ions(("Cu0+",), "chemical scale")),
        ("CaSi2", ("Ca", "Si"), None, Ions(("Ca2+", "Si0+"), "mixed")),  # the table has no silicide ion
        ("Fe18CrNi8", ("Fe", "Cr", "Ni"), None, Ions(("Fe0+", "Cr0+", "Ni0+"), "chemical scale")),
    ],
)
def test_ions(formula: str, symbols: tuple[str, ...], given: tuple[int, ...] | None, ions: Ions) -> None:
    assert ions_of(formula, symbols, given) == ions
