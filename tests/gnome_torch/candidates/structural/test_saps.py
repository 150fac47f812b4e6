"""Partial substitutions against brute force: every set of sites, reduced by somebody else's symmetry."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pytest
import spglib
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from gnome_torch.candidates.prototypes import prototypes
from gnome_torch.candidates.structural.partial import PartialLimits, partial_choices
from gnome_torch.symmetry import keeping, site_permutations

ALL = PartialLimits(split_sites=12, choices=10_000)

# one or more of every crystal system, 5 to 16 atoms: key, space-group number
CRYSTALS = [
    ("aflow:A2B_aP6_2_2i_i", 2),
    ("aflow:AB2_aP12_1_4a_8a", 1),
    ("aflow:A3BC_mC10_8_ab_a_a", 8),
    ("aflow:ABC3_mP10_11_e_e_ef", 11),
    ("aflow:A5B2_mC14_12_a2i_i", 12),
    ("aflow:AB_oP8_57_d_d", 57),
    ("aflow:A2B_oP12_19_2a_a", 19),
    ("aflow:AB2C_oC16_63_c_2c_c", 63),
    ("aflow:AB2C4_tI14_139_a_e_ce", 139),
    ("aflow:A3BC_tP5_99_bc_a_b", 99),
    ("aflow:A2B_tP6_136_f_a", 136),
    ("aflow:A3B2_hR5_155_e_c", 155),
    ("aflow:A2B3_hR10_167_c_e", 167),
    ("aflow:ABC3_hR10_161_a_a_b", 161),
    ("aflow:AB5_hP6_191_a_cg", 191),
    ("aflow:AB3_hP8_194_c_bf", 194),
    ("aflow:A2B_hP9_180_j_c", 180),
    ("aflow:AB3C_cP5_221_a_c_b", 221),
    ("aflow:A6B_cP7_221_f_a", 221),
    ("aflow:ABC_cP12_198_a_a_a", 198),
    ("aflow:A3B4C_cP8_215_d_e_a", 215),
    ("aflow:A3B_cP8_223_c_a", 223),
]


def conventional(name: str) -> Structure:
    """Cells that are not primitive: the translations inside them are symmetry, too."""
    if name == "fcc":
        return Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.6), ["Cu"], [[0, 0, 0]])
    if name == "bcc 2x1x1":
        return Structure.from_spacegroup("Im-3m", Lattice.cubic(2.9), ["Fe"], [[0, 0, 0]]) * (2, 1, 1)
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def ions(structure: Structure) -> Iterator[tuple[str, np.ndarray]]:
    numbers = np.array(structure.atomic_numbers)
    for number in np.unique(numbers):
        yield structure[int(np.argmax(numbers == number))].specie.symbol, np.flatnonzero(numbers == number)


def ours(structure: Structure, sites: np.ndarray, limits: PartialLimits = ALL) -> list[tuple[int, ...]]:
    permutations = site_permutations(structure.lattice.matrix, structure.frac_coords)
    choices, left_out = partial_choices(keeping(permutations, np.array(structure.atomic_numbers)), sites, limits)
    assert left_out == 0 or limits is not ALL
    return [choice.sites for choice in choices]


def spglib_classes(structure: Structure, sites: np.ndarray) -> set[frozenset[tuple[int, ...]]]:
    """All sets of sites but none and all, in classes: spglib's operations on the decorated crystal, set by set."""
    cell = (structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers)
    operations = spglib.get_symmetry(cell, symprec=0.01)
    maps = []
    for rotation, translation in zip(operations["rotations"], operations["translations"], strict=True):
        images = {}
        for site in sites:
            image = rotation @ structure.frac_coords[site] + translation
            apart = [structure.lattice.get_distance_and_image(image, structure.frac_coords[s])[0] for s in sites]
            images[int(site)] = int(sites[int(np.argmin(apart))])
        maps.append(images)
    subsets = [frozenset(s) for k in range(1, len(sites)) for s in combinations(sites.tolist(), k)]
    return {frozenset(tuple(sorted(m[s] for s in subset)) for m in maps) for subset in subsets}


@pytest.mark.parametrize(("key", "number"), CRYSTALS)
def test_the_same_choices_as_brute_force_with_spglib(key: str, number: int) -> None:
    structure = prototypes()[key]
    assert spglib.get_spacegroup(
        (structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers), 0.01
    ).endswith(f"({number})")
    for symbol, sites in ions(structure):
        chosen = ours(structure, sites)
        classes = spglib_classes(structure, sites)
        assert len(chosen) == len(classes), symbol
        # the same set: each class has exactly one representative, and it is its first
        assert {frozenset(c) for c in classes if len(c & set(chosen)) == 1} == classes
        for choice in chosen:
            (own,) = [c for c in classes if choice in c]
            assert sum(2**site for site in choice) == min(sum(2**site for site in other) for other in own)


@pytest.mark.parametrize("name", ["fcc", "bcc 2x1x1", "rock salt"])
def test_cells_that_are_not_primitive(name: str) -> None:
    structure = conventional(name)
    for _, sites in ions(structure):
        chosen = ours(structure, sites)
        classes = spglib_classes(structure, sites)
        assert len(chosen) == len(classes)
        assert all(len(c & set(chosen)) == 1 for c in classes)


@pytest.mark.parametrize(
    "key",
    ["aflow:AB3C_cP5_221_a_c_b", "aflow:A3BC_mC10_8_ab_a_a", "aflow:A3B2_hR5_155_e_c", "aflow:AB5_hP6_191_a_cg",
     "aflow:A2B_tP6_136_f_a", "aflow:AB_cP6_221_c_d", "aflow:A3B_cP8_223_c_a", "aflow:AB_hR6_160_b_b",
     "aflow:A2B_aP6_2_2i_i", "aflow:A2B_oP12_62_2c_c", "aflow:AB4_cP5_215_a_e", "aflow:A6B_cP7_221_f_a"],
)  # fmt: skip
def test_the_same_choices_as_brute_force_with_a_structure_matcher(key: str) -> None:
    """Crystals built from all sets of sites, compared as crystals: no group theory at all on the other side."""
    structure = prototypes()[key]
    matcher = StructureMatcher(ltol=0.01, stol=0.02, angle_tol=0.5, primitive_cell=False, scale=False)
    for _, sites in ions(structure):
        if len(sites) > 6:
            continue

        def built(choice: tuple[int, ...], structure: Structure = structure) -> Structure:
            crystal = structure.copy()
            for site in choice:
                crystal.replace(site, "Xe")
            return crystal

        chosen = [built(choice) for choice in ours(structure, sites)]
        assert len(matcher.group_structures(chosen)) == len(chosen)  # no two of ours are the same crystal
        for k in range(1, len(sites)):
            for choice in combinations(sites.tolist(), k):
                crystal = built(choice)
                assert sum(matcher.fit(crystal, other) for other in chosen) == 1  # none is missing


def test_fcc_gives_the_ordered_alloys() -> None:
    """One and three of four sites: L1_2; two of four: L1_0."""
    structure = conventional("fcc")
    assert ours(structure, np.arange(4)) == [(0,), (0, 1), (0, 1, 2)]


def test_whole_orbits_only_where_an_ion_has_many_sites() -> None:
    structure = prototypes()["aflow:AB2_aP12_1_4a_8a"]  # P1: every site its own orbit
    spinel = prototypes()["aflow:A2BC4_cF56_227_d_a_e"].copy().replace_species({"Al": "Co", "Mg": "Co"})
    numbers = np.array(spinel.atomic_numbers)
    cobalt = np.flatnonzero(numbers == 27)
    few = ours(spinel, cobalt, PartialLimits(split_sites=4, choices=100))
    assert sorted(map(len, few)) == [2, 4]  # the tetrahedral and the octahedral sites
    assert set(few) < set(ours(spinel, cobalt))
    sulphur = np.flatnonzero(np.array(structure.atomic_numbers) == 16)
    assert len(ours(structure, sulphur, PartialLimits(split_sites=4, choices=1000))) == 2 ** len(sulphur) - 2


def test_the_limit_keeps_every_count_and_says_what_it_left_out() -> None:
    structure = prototypes()["aflow:AB2_aP12_1_4a_8a"]
    sites = np.flatnonzero(np.array(structure.atomic_numbers) == 16)
    permutations = np.arange(len(structure))[None]
    choices, left_out = partial_choices(permutations, sites, PartialLimits(choices=14))
    assert [len(c.sites) for c in choices] == sorted([*range(1, 8), *range(1, 8)])
    assert left_out == 2**8 - 2 - 14
    assert partial_choices(permutations, sites, PartialLimits(choices=0)) == ([], 254)


def test_limits_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="split_sites=25"):
        PartialLimits(split_sites=25)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_number_of_choices_equals_burnsides(data: st.DataObject) -> None:
    """For any permutation group: the mean number of sets that an operation leaves as they are."""
    n = data.draw(st.integers(1, 7))
    generators = data.draw(st.lists(st.permutations(range(n)), min_size=0, max_size=3))
    group = {tuple(range(n))}
    while True:
        larger = group | {tuple(a[i] for i in b) for a in group for b in map(tuple, generators)}
        if larger == group:
            break
        group = larger
    permutations = np.array(sorted(group))
    cycles = [len({frozenset(_orbit(p, i)) for i in range(n)}) for p in permutations]
    choices, left_out = partial_choices(permutations, np.arange(n), ALL)
    assert left_out == 0
    assert len(choices) == sum(2**c for c in cycles) // len(group) - 2 if n > 1 else choices == []
    assert sum(c.images for c in choices) == 2**n - 2


def _orbit(permutation: np.ndarray, start: int) -> list[int]:
    orbit = [start]
    while (following := int(permutation[orbit[-1]])) != start:
        orbit.append(following)
    return orbit
