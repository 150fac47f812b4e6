"""Relaxations that must not become entries."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest
from ase.data import covalent_radii
from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY
from pymatgen.core import Lattice, Structure

from gnome_torch.records import Entry, Relaxation
from gnome_torch.stability.bonds import SHORTEST_RADII
from gnome_torch.stability.changes import changed, warnings
from gnome_torch.stability.plausibility import implausible, unbelievable

SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def molecule(symbol: str, distance: float) -> Structure:
    return Structure(Lattice.cubic(4.5), [symbol] * 2, [[0, 0, 0], [distance / 4.5, 0, 0]])


@pytest.mark.parametrize("structure", [SALT, molecule("H", 0.74), molecule("O", 1.21), molecule("N", 1.10)])
def test_real_crystals_and_molecules_pass(structure: Structure) -> None:
    assert implausible(Relaxation(structure, -10.0, converged=True)) is None


SHORT_AND_REAL = [
    *(("U", "U", 2.75), ("U", "U", 2.71), ("Np", "Np", 2.60), ("Pu", "Pu", 2.57), ("Pu", "Pu", 2.52)),
    *(
        ("U", "O", 1.74),
        ("U", "O", 1.70),
        ("U", "N", 1.76),
        ("Np", "O", 1.73),
        ("Pu", "O", 1.74),
        ("Ce", "Ru", 2.33),
        ("Li", "Li", 2.11),
    ),
    *(("Cr", "Cr", 1.85), ("Mo", "Mo", 2.10), ("W", "W", 2.2), ("Re", "Re", 2.22), ("Tc", "Tc", 2.13)),
    *(("V", "O", 1.58), ("Ti", "O", 1.62), ("Mo", "N", 1.64), ("Os", "O", 1.68)),
    *(("H", "H", 0.74), ("O", "H", 0.95), ("H", "F", 0.92), ("C", "H", 1.06), ("C", "C", 1.20), ("P", "P", 1.89)),
    *(("N", "N", 1.10), ("C", "O", 1.13), ("N", "O", 1.15), ("O", "O", 1.21), ("F", "F", 1.41), ("Li", "F", 1.56)),
]


@pytest.mark.parametrize(("first", "second", "distance"), SHORT_AND_REAL)
def test_the_shortest_bonds_that_are_known_pass(first: str, second: str, distance: float) -> None:
    """And two atoms at 0.55 of such a distance are a hole of a potential."""
    edge = 6.0
    for factor, passes in ((1.0, True), (0.55, False)):
        sites = [[0, 0, 0], [factor * distance / edge, 0, 0]]
        cell = Structure(Lattice.cubic(edge), [first, second], sites)
        assert (implausible(Relaxation(cell, -10.0, converged=True)) is None) is passes


def test_radii_are_of_the_size_of_covalent_ones() -> None:
    """A number that has slipped by an element or a digit would not be."""
    covalent = np.array([covalent_radii[z] for z in range(1, 97)])  # as far as Cordero's go
    ratios = SHORTEST_RADII[1:97] / covalent
    heavy = np.arange(1, 97) > 2
    assert ratios[heavy].min() > 0.55
    assert ratios[heavy].max() < 1.2
    assert len(SHORTEST_RADII) == 119


@pytest.mark.parametrize(
    ("tag", "symbols"),
    [
        ("ABC_cP12_198_a_a_a", {"Sb", "Ni", "S"}),  # Sb-Ni 1.03 angstrom
        ("AB2_hP24_194_ef_fgh", {"Mg", "Ni"}),  # Mg-Mg 1.46
        ("AB2_oF72_43_ab_3b", {"Ge", "S"}),  # S-S 1.28
        ("ABC_oP6_59_a_a_a", {"C", "N", "Cl"}),  # N-Cl 1.16
    ],
)
def test_broken_cells_of_a_library_are_refused(tag: str, symbols: set[str]) -> None:
    """Of the prototypes that pymatgen ships."""
    (cell,) = (p["snl"].structure for p in AFLOW_PROTOTYPE_LIBRARY if p["tags"]["aflow"] == tag)
    assert {site.specie.symbol for site in cell} == symbols
    assert (implausible(Relaxation(cell, -10.0, converged=True)) or "").startswith("collapsed: two atoms ")


@pytest.mark.parametrize(
    ("relaxation", "reason"),
    [
        (Relaxation(SALT, math.nan, True), "energy is nan"),
        (Relaxation(SALT, -10.0, False, 202), "not converged after 202 steps"),
        (Relaxation(SALT.copy().scale_lattice(SALT.volume * 10) or SALT, -10.0, True), "blown apart"),
        (Relaxation(molecule("O", 0.6), -500.0, True), "collapsed: two atoms 0.60 angstrom apart"),
        (Relaxation(Structure(Lattice.cubic(1.2), ["Mg"], [[0, 0, 0]]), -90.0, True), "collapsed"),
    ],
)
def test_the_others_are_refused_with_the_reason(relaxation: Relaxation, reason: str) -> None:
    assert (implausible(relaxation) or "").startswith(reason)


def entry(key: str, formula: str, energy_per_atom: float) -> Entry:
    species = formula.split("-")
    sites = [[i / len(species), 0, 0] for i in range(len(species))]
    return Entry(key, Structure(Lattice.cubic(6), species, sites), energy_per_atom * len(species), 0.0, "t")


def test_holes_of_a_potential_are_kept_out_of_the_hull() -> None:
    """Silicon at -28 eV/atom, as SevenNet-0 once gave, makes every silicide unstable; a compound at -14 is stable."""
    real = [
        entry("Si a", "Si", -5.4),
        entry("Si b", "Si", -3.8),
        entry("O a", "O-O", -4.9),
        entry("quartz", "Si-O-O", -7.9),
    ]
    assert unbelievable(real) == {}
    holes = [entry("hole", "Si", -28.0), entry("deep", "Si-O", -14.0)]
    found = unbelievable([*real, *holes])
    assert found == {
        "hole": "22.6 eV/atom below every other crystal of Si",
        "deep": "formation energy -8.8 eV/atom",
    }


# ---- what a relaxation did


def test_what_casts_doubt_on_a_relaxation_is_told() -> None:
    def at(volume: float) -> Structure:
        return Structure(Lattice.cubic(5.64 * volume ** (1 / 3)), SALT.species, SALT.frac_coords)

    assert warnings(asdict(changed(SALT, at(1.1))), 0.05) == ()
    assert warnings(None, None) == ()
    told = warnings(asdict(changed(SALT, at(30.0))), 0.25)
    assert told == ("forces up to 0.25 eV/angstrom left", "fell apart", "volume +2900%")
    broken = SALT.copy()
    broken.perturb(0.3, seed=1)
    assert warnings(asdict(changed(SALT, broken)), None) == ("relaxed into another prototype, space group 225 to 1",)
