"""Prototypes, duplicates and likely disorder, against what is known of the crystals and against StructureMatcher."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from gnome_torch.candidates.prototypes import prototypes
from gnome_torch.similarity import fingerprint, fingerprint_distance
from gnome_torch.stability.novelty import KnownCrystals, likely_disorder, prototype_of


def perovskite(a: str, b: str, x: str, length: float = 3.9) -> Structure:
    return Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(length), [a, b, x], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    )


def rock_salt(cation: str, anion: str, length: float) -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(length), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


def caesium_chloride(cation: str, anion: str, length: float) -> Structure:
    return Structure(Lattice.cubic(length), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


def disturbed(structure: Structure, rng: np.random.Generator, displacement: float) -> Structure:
    """The same crystal in another cell, at another origin and volume, a little displaced (angstrom)."""
    other = structure.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 1]], in_place=False)
    other.translate_sites(range(len(other)), rng.random(3))
    other.scale_lattice(other.volume * rng.uniform(0.9, 1.1))
    other.perturb(displacement)
    return Structure.from_sites([other[i] for i in rng.permutation(len(other))])


def test_a_prototype_is_the_same_for_all_elements_and_cells() -> None:
    rng = np.random.default_rng(0)
    label = prototype_of(perovskite("Ca", "Ti", "O"))
    assert label is not None
    assert "cP5_221" in label
    for a, b, x in (("Cs", "Ge", "Cl"), ("O", "Li", "Ba"), ("Sr", "Zr", "S")):  # any order of the alphabet
        assert prototype_of(perovskite(a, b, x)) == label
    assert prototype_of(disturbed(perovskite("Ca", "Ti", "O"), rng, 1e-3)) == label
    assert prototype_of(perovskite("Ca", "Ti", "O").make_supercell([2, 1, 1], in_place=False)) == label
    assert prototype_of(rock_salt("Na", "Cl", 5.6)) != prototype_of(caesium_chloride("Cs", "Cl", 4.1))
    assert prototype_of(Structure(Lattice.cubic(1e-3), ["H", "H"], [[0, 0, 0], [0, 0, 0]])) is None


def test_the_library_gives_its_own_prototypes() -> None:
    """Space group and lattice of AFLOW's labels, as they are written in the library's names.

    Not of all: some of the library's crystals are within the tolerance of a higher symmetry.
    """
    as_named = []
    for key, structure in prototypes().items():
        parts, label = key.removeprefix("aflow:").split("#")[0].split("_"), prototype_of(structure)
        assert label is not None, key
        if len(parts) > 2:
            pearson, number = label.split("_")[1:3]
            # base-centred cells are written oS and mS
            as_named.append(number == parts[2] and pearson[:2] in (parts[1][:2], "oS", "mS"))
    assert len(as_named) > 200
    assert np.mean(as_named) > 0.9


def test_what_is_new() -> None:
    known = KnownCrystals(
        [
            ("CaTiO3", perovskite("Ca", "Ti", "O")),
            ("CsPbI3", perovskite("Cs", "Pb", "I", 6.3)),
            ("NaCl", rock_salt("Na", "Cl", 5.6)),
        ]
    )
    found = known.judge(perovskite("Sr", "Zr", "O", 4.1))
    assert (found.new_composition, found.new_prototype, found.duplicate_of) == (True, False, None)
    assert found.analogue == "CaTiO3"
    assert known.judge(perovskite("Rb", "Sn", "Br", 5.8)).analogue == "CsPbI3"
    found = known.judge(caesium_chloride("Na", "Cl", 3.4))
    assert (found.new_composition, found.new_prototype, found.analogue, found.duplicate_of) == (False, True, None, None)
    found = known.judge(disturbed(rock_salt("Na", "Cl", 5.9), np.random.default_rng(1), 0.05))
    assert (found.new_composition, found.duplicate_of) == (False, "NaCl")
    known.add("CsCl-type", caesium_chloride("Na", "Cl", 3.5))
    assert known.judge(caesium_chloride("Na", "Cl", 3.4)).duplicate_of == "CsCl-type"


def test_the_fingerprint_keeps_no_duplicate_from_the_matcher() -> None:
    """Decorated prototypes of one formula, also displaced: the fast way finds what StructureMatcher alone finds."""
    rng = np.random.default_rng(0)
    matcher = StructureMatcher()
    crystals = []
    for structure in prototypes().values():
        amounts = sorted(structure.composition.reduced_composition.get_el_amt_dict().values())
        if amounts == [1, 3] and len(structure) <= 8:
            ranked = sorted(structure.composition, key=lambda e: structure.composition[e])
            copy = structure.copy()
            copy.replace_species({ranked[0]: "Ni", ranked[1]: "Al"})
            crystals.append(copy)
    crystals = crystals[:8]
    assert len(crystals) >= 6
    crystals += [disturbed(crystal, rng, displacement) for crystal in crystals for displacement in (0.05, 0.25)]
    left_out = 0
    for i, one in enumerate(crystals):
        for other in crystals[:i]:
            same = bool(matcher.fit(one, other))
            distance = fingerprint_distance(fingerprint(one), fingerprint(other))
            assert not (same and distance > 0.12)
            left_out += distance > 0.12
            assert (KnownCrystals([("it", other)]).duplicate_of(one) == "it") is same
    assert left_out > 20


def test_fingerprints_do_not_depend_on_the_cell() -> None:
    one = perovskite("Ca", "Ti", "O")
    other = one.make_supercell([2, 1, 3], in_place=False)
    other.scale_lattice(other.volume * 1.3)
    assert fingerprint_distance(fingerprint(one), fingerprint(other)) == pytest.approx(0.0, abs=1e-9)
    assert fingerprint_distance(fingerprint(one), fingerprint(perovskite("Sr", "Ti", "O"))) == float("inf")


def test_likely_disorder() -> None:
    """L1_0 FeNi is a solid solution but below 600 K; Ni3Al is not; nor are Mg and O, or Sr and Ti."""
    feni = Structure(Lattice.tetragonal(2.53, 3.58), ["Fe", "Ni"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert likely_disorder(feni) == [("Fe", "Ni")]
    assert likely_disorder(rock_salt("Mg", "O", 4.2)) == []
    assert likely_disorder(perovskite("Sr", "Ti", "O")) == []
    # like elements on sites that no symmetry exchanges: Fe and Co on A and B of a perovskite
    assert likely_disorder(perovskite("Fe", "Co", "O")) == []
    # the double perovskite Sr2FeCoO6 in rock-salt order: B sites of one crystal
    double = perovskite("Sr", "Fe", "O").make_supercell([[0, 1, 1], [1, 0, 1], [1, 1, 0]], in_place=False)
    iron = [i for i, site in enumerate(double) if site.specie.symbol == "Fe"]
    double.replace(iron[0], "Co")
    assert likely_disorder(double) == [("Fe", "Co")]


def test_oxidation_states_do_not_make_another_crystal() -> None:
    known = KnownCrystals([("wuestite", rock_salt("Fe", "O", 4.3))])
    charged = rock_salt("Fe", "O", 4.3).add_oxidation_state_by_element({"Fe": 2, "O": -2})
    assert known.judge(charged).duplicate_of == "wuestite"
    assert not known.judge(charged).new_composition
    assert KnownCrystals([("charged", charged)]).duplicate_of(rock_salt("Fe", "O", 4.3)) == "charged"
