"""The hull against pymatgen's PhaseDiagram on the same entries, and its refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition, Element, Lattice, Structure
from scipy.optimize import linprog

from gnome_torch.records import Entry, Lineage
from gnome_torch.stability.formulas import FormulaError, fractions_of
from gnome_torch.stability.hull import Hull, MissingReferenceError, MixedTheoryError, one_theory
from gnome_torch.stability.programs import _proved, solve

ELEMENTS = ("Li", "Mg", "Al", "O")


def entry(formula: str, energy_per_atom: float, key: str = "", theory: str = "t") -> Entry:
    """An entry of a composition; where its atoms are does not matter to a hull."""
    composition = Composition(formula)
    species = [element for element, n in composition.items() for _ in range(int(n))]
    sites = [[(i + 0.5) / len(species), 0, 0] for i in range(len(species))]
    structure = Structure(Lattice.cubic(5), species, sites)
    energy = energy_per_atom * len(species)
    return Entry(key or f"{formula}@{energy_per_atom}", structure, energy, 0.0, theory, Lineage("file"))


def test_by_hand() -> None:
    """A-B with one stable and one unstable compound, calculated on paper."""
    hull = Hull([entry("Li", -1.0), entry("O", -2.0), entry("LiO", -2.5), entry("LiO3", -2.0)])
    stable, unstable = entry("LiO", -2.5), entry("LiO3", -2.0)
    # LiO: formation -2.5 + 1.5 = -1; without it LiO3 and Li: LiO3 is -2.0 + 1.75 = -0.25, so 2/3 of it: -1/6
    point = hull.point(stable)
    assert point.formation_energy == pytest.approx(-1.0)
    assert point.e_above_hull == 0.0
    assert point.phase_separation_energy == pytest.approx(-1.0 + 1 / 6)
    assert point.decomposition == {stable.id: pytest.approx(1.0)}
    # LiO3 between LiO (weight of atoms 1/2) and O: hull -0.5
    point = hull.point(unstable)
    assert point.e_above_hull == pytest.approx(0.25)
    assert point.phase_separation_energy == pytest.approx(0.25)
    assert sum(point.decomposition.values()) == pytest.approx(1.0)
    assert point.decomposition[stable.id] == pytest.approx(0.5)
    assert hull.point(entry("Li", -1.0)).phase_separation_energy == 0.0


@st.composite
def random_entries(draw: st.DrawFn) -> list[Entry]:
    energies = st.floats(-3.0, 1.0, allow_nan=False).map(lambda x: round(x, 4))
    entries = [
        entry(symbol, draw(energies), f"{symbol}-{i}") for symbol in ELEMENTS for i in range(draw(st.integers(1, 2)))
    ]
    for i in range(draw(st.integers(0, 12))):
        amounts = draw(st.lists(st.integers(0, 3), min_size=4, max_size=4).filter(lambda n: sum(x > 0 for x in n) > 1))
        formula = "".join(f"{s}{n}" for s, n in zip(ELEMENTS, amounts, strict=True) if n)
        entries.append(entry(formula, draw(energies), f"{formula}-{i}"))
    return entries


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(random_entries())
def test_equals_pymatgen(entries: list[Entry]) -> None:
    """Energy above hull, formation energy and phase-separation energy of every entry of random systems."""
    hull = Hull(entries)
    reference = {e.id: PDEntry(e.composition, e.energy + e.correction, name=e.id) for e in entries}
    diagram = PhaseDiagram(list(reference.values()))
    for e in entries:
        point = hull.point(e)
        pd_entry = reference[e.id]
        assert point.formation_energy == pytest.approx(diagram.get_form_energy_per_atom(pd_entry), abs=1e-6)
        assert point.e_above_hull == pytest.approx(diagram.get_e_above_hull(pd_entry), abs=1e-6)
        assert sum(point.decomposition.values()) == pytest.approx(1.0, abs=1e-6)
        if len(e.composition) > 1:
            others = [r for o, r in reference.items() if r.composition.reduced_formula != e.reduced_formula]
            without = PhaseDiagram(others).get_hull_energy_per_atom(e.composition)
            assert point.phase_separation_energy == pytest.approx(e.energy_per_atom - without, abs=1e-6)


ALL = ("Li", "Mg", "Al", "O", "F", "Si", "Fe", "S", "Na")


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[float], list[str]]:
    """Formulas with formation energies of up to nine elements, of wildly different size; compositions to ask for."""

    def formula(n_elements: int) -> str:
        symbols = draw(st.permutations(ALL))[:n_elements]
        return "".join(f"{symbol}{draw(st.integers(1, 4))}" for symbol in symbols)

    scale = draw(st.sampled_from([1e-4, 1.0, 1e3]))
    known = [formula(draw(st.integers(2, 5))) for _ in range(draw(st.integers(1, 25)))]
    energies = [round(draw(st.floats(-3.0, 0.5)), 3) * scale for _ in known]
    asked = [formula(draw(st.integers(1, 8))) for _ in range(4)]
    asked += [draw(st.sampled_from(known))]
    return known, energies, asked


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables())
def test_any_composition_equals_a_linear_program(table: tuple[list[str], list[float], list[str]]) -> None:
    """HiGHS on all compounds of the table at once, one query at a time."""
    known, energies, asked = table
    asked = [formula for formula in asked if {e.symbol for e in Composition(formula)} <= symbols_in(known)]
    hull = Hull.of_formation_energies(known, energies)
    found = hull.decompositions(asked)
    scale = max(1.0, *map(abs, energies))
    for row, formula in enumerate(asked):
        without = [(k, e) for k, e in zip(known, energies, strict=True) if not same(k, formula)]
        assert found.energy[row] == pytest.approx(reference(known, energies, formula), abs=1e-8 * scale)
        if len(Composition(formula)) == 1:
            assert found.energy_without[row] == 0.0
            continue
        expected = reference([k for k, _ in without], [e for _, e in without], formula)
        assert found.energy_without[row] == pytest.approx(expected, abs=1e-8 * scale)
        # the phases add up to the composition and to the energy
        parts = hull.separation(found, row)
        total = sum(amount * fractions_of([hull.formula_of(phase)])[0] for phase, amount in parts)
        np.testing.assert_allclose(total, fractions_of([formula])[0], atol=1e-7)
        total_energy = sum(amount * lowest(known, energies, hull.formula_of(phase)) for phase, amount in parts)
        assert total_energy == pytest.approx(expected, abs=1e-6 * scale)


def lowest(formulas: list[str], energies: list[float], formula: str) -> float:
    """Lowest energy listed for a composition, eV/atom; 0 for an element."""
    return min((e for f, e in zip(formulas, energies, strict=True) if same(f, formula)), default=0.0)


def symbols_in(formulas: list[str]) -> set[str]:
    return {element.symbol for formula in formulas for element in Composition(formula)}


def same(one: str, other: str) -> bool:
    return Composition(one).fractional_composition.almost_equals(Composition(other).fractional_composition)


def reference(formulas: list[str], energies: list[float], target: str) -> float:
    """Lowest energy at a composition, eV/atom, the elements at 0."""
    symbols = sorted({e.symbol for e in Composition(target)})
    columns = [Composition(s).fractional_composition for s in symbols]
    costs = [0.0] * len(symbols)
    for formula, energy in zip(formulas, energies, strict=True):
        composition = Composition(formula).fractional_composition
        if {e.symbol for e in composition} <= set(symbols):
            columns.append(composition)
            costs.append(energy)
    matrix = np.array([[composition[symbol] for composition in columns] for symbol in symbols])
    aim = Composition(target).fractional_composition
    scale = max(1.0, *map(abs, costs))  # HiGHS's tolerances are absolute
    result = linprog(np.array(costs) / scale, A_eq=matrix, b_eq=[aim[symbol] for symbol in symbols], method="highs")
    assert result.success
    return float(result.fun) * scale


def test_degenerate_hulls() -> None:
    """Compounds on the tie-lines of others, at exactly the hull, duplicates, and equal energies."""
    known = ["LiO", "LiO3", "Li3O", "Li2O2", "Li4O4", "Li5O", "Mg2O2", "LiMgO2"]
    energies = [-1.0, -0.5, -0.5, -1.0, -0.9, -1 / 3, -1.0, -1.0]  # all on straight lines
    hull = Hull.of_formation_energies(known, energies, [f"{i}" for i in range(len(known))])
    np.testing.assert_allclose(hull.energies(known), [-1.0, -0.5, -0.5, -1.0, -1.0, -1 / 3, -1.0, -1.0], atol=1e-12)
    np.testing.assert_allclose(hull.energies(["Li7MgO8", "Li3Mg", "O"]), [-1.0, 0.0, 0.0], atol=1e-12)
    assert hull.id_of(int(hull.decompositions(["LiO"]).own[0])) == "0"  # of equal energies the first id
    flat = Hull.of_formation_energies([f"Li{n}O{m}" for n in range(1, 9) for m in range(1, 9)], [0.0] * 64)
    np.testing.assert_allclose(flat.energies(["Li7O5", "Li11O3"]), 0.0, atol=1e-12)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(random_entries(), st.integers(0, 100))
def test_added_entries_make_the_same_hull(entries: list[Entry], cut: int) -> None:
    """Any part first, questions in between, the rest after: as if all had been there from the start."""
    whole = Hull(entries)
    elements = [e for e in entries if len(e.composition) == 1]
    others = [e for e in entries if len(e.composition) > 1]
    first = {e.composition.reduced_formula: e for e in elements}  # one of each element
    rest = [e for e in elements if e.id not in {f.id for f in first.values()}] + others
    cut %= len(rest) + 1
    hull = Hull([*first.values(), *rest[:cut]])
    hull.points(rest)  # fills what is remembered
    for e in rest[cut:]:
        hull.add([e])
    assert hull.fingerprint() == whole.fingerprint()
    for one, other in zip(hull.points(entries), whole.points(entries), strict=True):
        assert one.formation_energy == pytest.approx(other.formation_energy, abs=1e-12)
        assert one.e_above_hull == pytest.approx(other.e_above_hull, abs=1e-12)
        assert one.phase_separation_energy == pytest.approx(other.phase_separation_energy, abs=1e-12)
    assert hull.references == whole.references
    assert len(hull) == len({e.reduced_formula for e in entries})


def test_what_cannot_be_added_changes_nothing() -> None:
    hull = Hull([entry("Li", -1.0), entry("O", -2.0), entry("LiO", -2.5)])
    before = hull.fingerprint()
    for bad, error in (
        ([entry("MgO", -3.0)], MissingReferenceError),
        ([entry("Li2O", -2.0, theory="other")], MixedTheoryError),
        ([entry("Li2O", float("nan"))], ValueError),
    ):
        with pytest.raises(error):
            hull.add(bad)
        assert hull.fingerprint() == before
        assert hull.energy(Composition("Li2O")) == pytest.approx(-2 / 3)
    hull.add([entry("MgO", -3.0), entry("Mg", -1.5)])
    assert hull.elements == {"Li", "O", "Mg"}
    assert hull.energy(Composition("MgO")) == pytest.approx(-3.0 + 1.75)


def test_what_the_simplex_cannot_prove_goes_to_highs() -> None:
    """A singular basis to start from is refused by numpy for the whole batch: HiGHS answers each program."""
    fractions = np.array([[[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]] * 3)
    energies = np.array([[0.0, 0.0, -1.0], [0.0, 0.0, 1.0], [0.0, 0.0, np.inf]])
    targets = np.array([[0.5, 0.5], [0.25, 0.75], [0.3, 0.7]])
    usual = solve(fractions, energies, targets)
    np.testing.assert_allclose(usual.energy, [-1.0, 0.0, 0.0], atol=1e-12)
    assert usual.by_highs == 0
    wrong = np.array([[0, 0], [0, 0], [0, 0]])
    proved = _proved(fractions, energies, targets, wrong)
    np.testing.assert_allclose(proved.energy, usual.energy, atol=1e-9)
    assert proved.by_highs == 3
    # a basis that is none of the best is not believed either
    proved = _proved(fractions, energies, targets, np.array([[0, 1], [0, 1], [0, 1]]))
    np.testing.assert_allclose(proved.energy, usual.energy, atol=1e-9)
    assert proved.by_highs == 1
    np.testing.assert_allclose(
        np.einsum("kd,kde->ke", proved.amounts, fractions[np.arange(3)[:, None], proved.phases]), targets
    )


def test_many_elements() -> None:
    """A compound of 14 elements: more than subsets could be counted for."""
    symbols = ["Li", "Na", "K", "Mg", "Ca", "Sr", "Al", "Si", "P", "S", "Cl", "O", "F", "Fe"]
    pairs = [f"{a}{b}" for i, a in enumerate(symbols) for b in symbols[i + 1 :]]
    rng = np.random.default_rng(0)
    energies = rng.uniform(-2, 0.2, len(pairs)).tolist()
    hull = Hull.of_formation_energies(pairs, energies)
    asked = "".join(f"{s}{n}" for s, n in zip(symbols, rng.integers(1, 9, 14), strict=True))
    assert hull.energies([asked])[0] == pytest.approx(reference(pairs, energies, asked), abs=1e-8)


def test_formulas_are_read_as_pymatgen_reads_them() -> None:
    formulas = ["NaCl", "Ca3(PO4)2", "Fe0.5O0.5", "H2O", "Li15Si4", "K2[PtCl6]", "NaCl2Na", "Mg(OH)2", "O2", "Co", "CO"]
    for formula, row in zip(formulas, fractions_of(formulas), strict=True):
        expected = Composition(formula).fractional_composition
        assert {Element.from_Z(z).symbol: row[z] for z in np.flatnonzero(row)} == pytest.approx(
            {e.symbol: x for e, x in expected.items()}
        )
    for text in ("", "nonsense", "Xx2O", "Na0", "2", "Li-O"):
        with pytest.raises(FormulaError, match="is not a chemical formula"):
            fractions_of(["NaCl", text])


def test_another_theory_is_refused_by_name() -> None:
    with pytest.raises(MixedTheoryError, match="chgnet-1 and sevenn-2"):
        one_theory([entry("Li", -1.0, theory="sevenn-2"), entry("O", -1.0, theory="chgnet-1")])
    with pytest.raises(MixedTheoryError):
        Hull([entry("Li", -1.0), entry("O", -1.0, theory="other")])
    hull = Hull([entry("Li", -1.0), entry("O", -1.0)])
    with pytest.raises(MixedTheoryError):
        hull.point(entry("LiO", -2.0, theory="other"))


def test_a_missing_element_is_named() -> None:
    with pytest.raises(MissingReferenceError, match="pure element Mg, O"):
        Hull([entry("Li", -1.0), entry("MgO", -3.0)])
    with pytest.raises(MissingReferenceError, match="pure element Al"):
        Hull([entry("Li", -1.0)]).energy(Composition("LiAl"))


def test_an_element_below_the_zero_of_formation_energies() -> None:
    with pytest.raises(ValueError, match=r"Si at -0\.4 eV/atom: .* none of an element is below 0"):
        Hull.of_formation_energies(["Si", "SiO2"], [-0.4, -3.0])
    hull = Hull.of_formation_energies(["Si", "SiO2"], [0.4, -3.0], ["clathrate", "quartz"])
    assert hull.references == {"Si": 0.0, "O": 0.0}
