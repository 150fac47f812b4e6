"""MP2020 corrections against the published numbers, and the two kinds of machine-learned energies."""

from __future__ import annotations

import math

import pytest
from pymatgen.core import Composition, Lattice, Structure

from gnome_torch.records import EntryEnergy
from gnome_torch.stability.corrections import (
    CorrectionScheme,
    UncorrectableError,
    correction,
    flips,
    potential_shift,
)
from gnome_torch.stability.oxidation import likeliest_states

MP2020 = CorrectionScheme.MP2020


def rock_salt(cation: str, anion: str, a: float) -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


# eV per anion, Wang et al., Sci. Rep. 11, 15496 (2021)
@pytest.mark.parametrize(
    ("cation", "anion", "a", "per_anion"),
    [("Mg", "O", 4.21, -0.687), ("Li", "F", 4.03, -0.462), ("Na", "Cl", 5.64, -0.614), ("Mg", "S", 5.2, -0.503)],
)
def test_anions(cation: str, anion: str, a: float, per_anion: float) -> None:
    cell = rock_salt(cation, anion, a)
    assert correction(cell, -50.0, MP2020) == pytest.approx(4 * per_anion, abs=0.002)


def test_u_metals_of_oxides_only() -> None:
    # -2.256 eV/Fe in oxides (GGA+U) on top of the oxide correction; none in a sulfide
    assert correction(rock_salt("Fe", "O", 4.3), -50.0, MP2020) == pytest.approx(4 * (-0.687 - 2.256), abs=0.01)
    assert correction(rock_salt("Fe", "S", 5.1), -50.0, MP2020) == pytest.approx(4 * -0.503, abs=0.002)


def test_a_peroxide_is_told_by_its_bond() -> None:
    """Two oxygens 1.5 angstrom apart: -0.465 eV per O, not the oxide's -0.687."""
    cell = Structure(Lattice.orthorhombic(6, 6, 6), ["Li", "Li", "O", "O"],
                     [[0, 0, 0], [0.5, 0.5, 0], [0.25, 0.25, 0.5], [0.25, 0.25, 0.74]])  # fmt: skip
    assert correction(cell, -20.0, MP2020) == pytest.approx(2 * -0.465, abs=0.002)


def test_elements_and_metals_are_left_alone() -> None:
    copper = Structure(Lattice.cubic(3.6), ["Cu"], [[0, 0, 0]])
    assert correction(copper, -4.0, MP2020) == 0.0
    assert correction(rock_salt("Al", "Ni", 5.8), -40.0, MP2020) == 0.0


def test_energies_that_hold_the_correction_get_none() -> None:
    assert correction(rock_salt("Mg", "O", 4.21), -50.0, CorrectionScheme.NONE) == 0.0


def test_shifts_between_potentials() -> None:
    """The published numbers, per atom: E(Materials Project) + shift is on GNoME's scale, E(GNoME) - shift on theirs."""
    cell = rock_salt("Mg", "O", 4.21)
    to_gnome = correction(cell, -50.0, CorrectionScheme.MP2020_TO_GNOME) - correction(cell, -50.0, MP2020)
    assert to_gnome == pytest.approx(4 * 0.0924014)
    assert correction(cell, -50.0, CorrectionScheme.TO_GNOME) == pytest.approx(4 * 0.0924014)
    assert correction(cell, -50.0, CorrectionScheme.FROM_GNOME) == pytest.approx(-4 * 0.0924014)
    several = Composition("LiGaGeNa2Cl")
    total = -0.00301278 - 0.0028805 + 0.10417085 - 2 * 0.00447437
    assert potential_shift(several, CorrectionScheme.TO_GNOME) == pytest.approx(total)
    assert potential_shift(several, CorrectionScheme.FROM_GNOME) == pytest.approx(-total)
    assert potential_shift(several, MP2020) == 0.0


def loose(formula: str) -> Structure:
    """Atoms of a formula on a grid of 4 angstrom: their bonds do not matter here."""
    species = [element.symbol for element, n in Composition(formula).items() for _ in range(int(n))]
    k = math.ceil(len(species) ** (1 / 3))
    grid = [[a / k, b / k, c / k] for a in range(k) for b in range(k) for c in range(k)]
    return Structure(Lattice.cubic(4.0 * k), species, grid[: len(species)])


@pytest.mark.parametrize(
    ("formula", "per_atom"),
    [("Ca5P3ClO12", -0.4218), ("Na4Al3Si3ClO12", -0.3851), ("Ca5P3BrO12", -0.4180), ("Zr8N2O13", -0.4197)],
)
def test_anions_of_large_formulas(formula: str, per_atom: float) -> None:
    """pymatgen guesses no oxidation states above 20 atoms, and leaves out what is not the most electronegative."""
    cell = loose(formula)
    assert correction(cell, -100.0, MP2020) / len(cell) == pytest.approx(per_atom, abs=5e-5)


def test_known_oxidation_states_come_first() -> None:
    """Of the source, or of the crystal; -0.614 eV per chlorine depends on them."""
    cell = loose("Ca5P3ClO12")
    neutral = {"oxidation_states": {"Ca": 2.0, "P": 5.0, "Cl": 0.5, "O": -2.0}}
    without = correction(cell, -100.0, MP2020, neutral)
    assert without - correction(cell, -100.0, MP2020) == pytest.approx(0.614, abs=1e-3)
    cell.add_oxidation_state_by_element({"Ca": 2, "P": 5, "Cl": 0, "O": -2})
    assert correction(cell, -100.0, MP2020) == pytest.approx(without)


def test_oxidation_states_as_pymatgen_guesses_them() -> None:
    for formula in ("Fe3O4", "NaCl", "Li2MnO3", "CaTiO3", "Li15Si4", "Mn3Fe2Si3O12", "KFe3O5", "NH4Cl", "Al2Cu"):
        guesses = Composition(formula).oxi_state_guesses(max_sites=-20)
        assert likeliest_states(Composition(formula)) == pytest.approx(guesses[0] if guesses else {})
    assert likeliest_states(Composition("Ni3Fe200O300")) == pytest.approx({"Ni": 2, "Fe": 2.97, "O": -2})
    assert likeliest_states(Composition("Fe999O1000")) == {}  # more atoms than anything is guessed for


def entry(formula: str, energy_per_atom: float, correction_per_atom: float = 0.0) -> EntryEnergy:
    return EntryEnergy(formula, formula, energy_per_atom, correction_per_atom, "t")


def test_stabilities_that_depend_on_a_correction() -> None:
    elements = [entry("Li", 0.0), entry("O", 0.0)]
    # Li2O is on both hulls, LiO on the corrected one only, LiO3 on the uncorrected one only
    compounds = [entry("Li2O", -1.8), entry("LiO", -1.2, -0.4), entry("LiO3", -0.7, 0.0)]
    found = flips([*elements, *compounds])
    assert [flip.entry.id for flip in found] == ["LiO", "LiO3"]
    assert found[0].corrected == 0.0
    # LiO without correction: 0.6 of its atoms in Li2O, 0.4 in LiO3: 0.6 * 1.8 + 0.4 * 0.7 = 1.36
    assert found[0].uncorrected == pytest.approx(1.36 - 1.2)
    assert found[1].uncorrected == pytest.approx(0.0)
    assert found[1].corrected == pytest.approx(0.8 - 0.7)  # LiO weighs 1/2 of LiO3's atoms
    assert flips([*elements, compounds[0]]) == []


def test_the_parameters_of_a_calculation_count() -> None:
    """pymatgen refuses iron oxide that was computed without U; emmet's PBE+U is its GGA+U."""
    wuestite = rock_salt("Fe", "O", 4.3)
    with_u = {"run_type": "PBE+U", "hubbards": {"Fe": 5.3, "O": 0.0}}
    assert correction(wuestite, -50.0, MP2020, with_u) == correction(wuestite, -50.0, MP2020)
    with pytest.raises(UncorrectableError, match=r"FeO, computed with GGA and U = \{\}"):
        correction(wuestite, -50.0, MP2020, {"run_type": "GGA", "hubbards": {}})
    plain = rock_salt("Mg", "O", 4.21)
    assert correction(plain, -50.0, MP2020, {"run_type": "PBE"}) == correction(plain, -50.0, MP2020)


@pytest.mark.parametrize("anion", ["O", "F", "S", "N"])
@pytest.mark.parametrize("metal", ["Fe", "Mg", "W"])
@pytest.mark.parametrize("hubbards", [{}, {"Fe": 5.3}, {"Fe": 4.0}, {"W": 6.2}, {"Mg": 3.0}])
def test_what_is_accepted_was_computed_as_the_project_does(metal: str, anion: str, hubbards: dict[str, float]) -> None:
    """So that a correction can be made anew where run type and U were not stored."""
    cell = rock_salt(metal, anion, 4.3)
    given = {"run_type": "GGA+U" if hubbards else "GGA", "hubbards": hubbards}
    try:
        found = correction(cell, -50.0, MP2020, given)
    except UncorrectableError:
        return
    assert found == correction(cell, -50.0, MP2020)


def test_some_of_these_are_accepted_and_some_are_not() -> None:
    oxide = rock_salt("Fe", "O", 4.3)
    assert correction(oxide, -50.0, MP2020, {"run_type": "GGA+U", "hubbards": {"Fe": 5.3}}) < -10
    for hubbards in ({}, {"Fe": 4.0}):
        with pytest.raises(UncorrectableError):
            correction(oxide, -50.0, MP2020, {"run_type": "GGA+U", "hubbards": hubbards})
