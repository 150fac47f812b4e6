"""The hull against pymatgen's PhaseDiagram on the same entries, and its refusals."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition, Lattice, Structure

from gnome_torch.records import Entry, Lineage
from gnome_torch.stability.hull import Hull, MissingReferenceError, MixedTheoryError, one_theory

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
    assert hull.point(entry("Li", -1.0)).phase_separation_energy is None


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
