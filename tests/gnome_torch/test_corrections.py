"""MP2020 corrections against the published numbers, and the two kinds of machine-learned energies."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

from gnome_torch.stability.corrections import CorrectionScheme, correction

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
