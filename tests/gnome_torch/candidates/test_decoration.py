"""First crystals of a campaign: elements, decorated prototypes, crystals of a file."""

from __future__ import annotations

from collections import Counter

import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Element, Lattice, Structure

from gnome_torch.candidates.chemistry.balance import is_charge_balanced
from gnome_torch.candidates.chemistry.policy import NOBLE_GASES, ElementPolicy
from gnome_torch.candidates.decoration import decorations, elemental_crystals, found_in, own_crystals
from gnome_torch.candidates.prototypes import prototypes

OXIDES = ElementPolicy(frozenset({"Li", "Mg", "Al", "O"}), max_sites=14)


def rock_salt(cation: str = "Na", anion: str = "Cl", a: float = 5.64) -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


# ---- prototypes and first crystals


def test_references_hold_the_structures_that_elements_are_found_in() -> None:
    """Without diamond among them silicon's reference would be 0.26 eV/atom too high, and every silicide stable."""
    library = prototypes()
    chosen = list(elemental_crystals(["Mg", "O", "Cu", "Si", "S", "Cl"], library, per_element=3, max_sites=8))
    parents: dict[str, list[str]] = {}
    for candidate in chosen:
        assert len(set(candidate.species)) == 1
        parents.setdefault(candidate.species[0], []).append(candidate.parent_id)
    assert parents["Mg"][0] == "aflow:A_hP2_194_c"
    assert parents["Cu"][0] == "aflow:A_cF4_225_a"
    assert parents["Si"][0] == "aflow:A_cF8_227_a"
    assert parents["S"][0] == "aflow:A_oF128_70_4h"  # 32 atoms, above max_sites: there is no smaller one
    assert parents["Cl"][0] == "aflow:A_oC8_64_f#3"
    assert set(parents["O"][:2]) == {"aflow:A_mC4_12_i", "aflow:A_hR2_166_c"}
    assert all(len(keys) == 3 for keys in parents.values())


def test_every_element_of_the_potentials_has_a_reference_of_its_own_kind() -> None:
    library = prototypes()
    for element in (
        e for e in Element if e.Z <= 94 and e.symbol not in NOBLE_GASES | {"Pm", "At", "Rn", "Fr", "Ra", "Ac"}
    ):
        keys = found_in(element.symbol)
        assert keys, element.symbol
        assert all(key in library and len(library[key].composition) == 1 for key in keys), element.symbol


def test_a_volume_far_off_in_the_library_is_not_believed() -> None:
    """BC8 silicon has 4.4 cubic angstrom per atom there: relaxing that falls into a hole of the potential."""
    chosen = elemental_crystals(["Si"], prototypes(), per_element=6, max_sites=16)
    assert all(15 < c.volume / len(c.species) < 25 or c.parent_id.endswith("227_a") for c in chosen)


def test_decorations_are_plausible_distinct_and_within_the_policy() -> None:
    library = prototypes()
    chosen = decorations(library, OXIDES, limit=60, polymorphs=3)
    assert len(chosen) == 60
    assert len({c.id for c in chosen}) == 60
    assert max(Counter(c.reduced_formula for c in chosen).values()) <= 3
    for candidate in chosen:
        assert OXIDES.refusal(candidate.counts) is None
        assert is_charge_balanced(candidate.counts)
    assert {"MgO", "Li2O", "Al2O3"} <= {c.reduced_formula for c in chosen}
    assert chosen == decorations(library, OXIDES, limit=60, polymorphs=3)
    # a candidate makes its crystal: the parent's geometry at the reference volume
    crystal = chosen[0].structure(library[chosen[0].parent_id])
    assert crystal.volume == pytest.approx(chosen[0].volume)


def test_exchanging_equivalent_sites_gives_one_crystal() -> None:
    """Rock salt with Mg and O, and with O and Mg, is the same crystal and comes once."""
    library = {"aflow:AB_cF8_225_a_b": prototypes()["aflow:AB_cF8_225_a_b"]}
    chosen = decorations(library, ElementPolicy(frozenset({"Mg", "O"})), limit=10, polymorphs=5)
    assert len(chosen) == 1


def test_crystals_of_a_file_stay_as_they_are() -> None:
    crystal = rock_salt()
    (candidate,) = own_crystals({"file:x": crystal})
    assert StructureMatcher(scale=False).fit(candidate.structure(crystal), crystal)
