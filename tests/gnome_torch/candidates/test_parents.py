"""Parents: what is refused and why, distances, structure types against a structure matcher."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import DummySpecies, Lattice, Structure

from gnome_torch.candidates.parents import Parent, ParentError, pair_distances, parent_of
from gnome_torch.candidates.prototypes import prototypes
from gnome_torch.candidates.structural.structure_types import classify

MATCHER = StructureMatcher(ltol=0.2, stol=0.3, angle_tol=5, primitive_cell=False)


def perovskite(a: float = 3.9, species: tuple[str, ...] = ("Ca", "Ti", "O")) -> Structure:
    return Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(a), list(species), [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    )


@pytest.mark.parametrize(
    ("structure", "reason"),
    [
        (Structure(Lattice.cubic(3), [{"Cu": 0.5, "Au": 0.5}, "Au"], [[0, 0, 0], [0.5] * 3]), "partly occupied sites"),
        (Structure(Lattice.cubic(3), [{"Cu": 0.5}, "Au"], [[0, 0, 0], [0.5] * 3]), "partly occupied sites"),
        (Structure(Lattice.cubic(3), ["Cu"], [[0, 0, 0]]), "one atom in the cell"),
        (Structure(Lattice.cubic(3), ["Cu", "Au"], [[0, 0, 0], [0.05, 0, 0]]), r"overlapping atoms, 0\.15 angstrom"),
        (Structure(Lattice.cubic(3), ["Cu", DummySpecies("X")], [[0, 0, 0], [0.5] * 3]), "unknown element X"),
        (Structure(Lattice.cubic(3.9), ["Cu"] * 5, np.random.default_rng(0).random((5, 3))), "overlapping|more than 4"),
        (Structure([[3, 0, 0], [0, 3, 0], [3, 3, 0]], ["Cu", "Au"], [[0, 0, 0], [0.5] * 3]), "no volume"),
    ],
)
def test_what_cannot_be_a_parent(structure: Structure, reason: str) -> None:
    with pytest.raises(ParentError, match=reason):
        parent_of("p", structure, max_sites=4)


def test_a_parent_keeps_the_oxidation_states_it_came_with() -> None:
    assert parent_of("p", perovskite()).states is None
    with_states = perovskite().add_oxidation_state_by_element({"Ca": 2, "Ti": 4, "O": -2})
    assert parent_of("p", with_states).states == {20: 2, 22: 4, 8: -2}
    wrong = perovskite().add_oxidation_state_by_element({"Ca": 2, "Ti": 3, "O": -2})
    assert parent_of("p", wrong).states is None  # they do not add up
    assert parent_of("p", perovskite()).structure == perovskite()


@pytest.mark.parametrize(
    "key", ["aflow:A2B_aP6_2_2i_i", "aflow:A2B3_hR10_167_c_e", "aflow:ABC3_mP10_11_e_e_ef", "aflow:AB_cF8_225_a_b"]
)
def test_distances_are_pymatgens(key: str) -> None:
    structure = prototypes()[key]
    distances = pair_distances(structure.lattice.matrix, structure.frac_coords)
    centres, others, _, lengths = structure.get_neighbor_list(distances[..., :3].max() + 0.01)
    for i in range(len(structure)):
        for j in range(len(structure)):
            expected = np.sort(lengths[(centres == i) & (others == j)])[:3]
            assert distances[i, j, :3] == pytest.approx(expected, abs=1e-6)


def shuffled(structure: Structure, seed: int) -> Structure:
    """The same crystal, otherwise written: other origin, order of sites, axes and size."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(structure))
    matrix = np.array([[1, 0, 0], [int(rng.integers(-1, 2)), 1, 0], [0, int(rng.integers(-1, 2)), 1]])
    lattice = Lattice(matrix @ structure.lattice.matrix * rng.uniform(0.8, 1.2))
    coords = structure.frac_coords @ np.linalg.inv(matrix) + rng.random(3)
    return Structure(lattice, [structure[i].specie for i in order], coords[order])


@pytest.mark.parametrize(
    "key",
    ["aflow:AB3C_cP5_221_a_c_b", "aflow:A2B3_hR10_167_c_e", "aflow:A2B_aP6_2_2i_i", "aflow:ABC4_oP12_16_ag_cd_2u",
     "aflow:AB2C_oC16_63_c_2c_c", "aflow:ABC2_tI16_122_a_b_d", "aflow:AB_hP12_186_a2b_a2b"],
)  # fmt: skip
def test_one_crystal_written_in_many_ways_is_one_type(key: str) -> None:
    structure = prototypes()[key]
    parents = [parent_of(f"p{seed}", shuffled(structure, seed)) for seed in range(6)]
    types, typed = classify(parents)
    assert len(types) == 1
    # in the type's order of sites the distances are the same, up to the size of the cell
    reference = typed[0].parent.closest[np.ix_(typed[0].order, typed[0].order)] / typed[0].parent.volume ** (1 / 3)
    for item in typed:
        assert sorted(item.order) == list(range(len(structure)))
        ordered = item.parent.closest[np.ix_(item.order, item.order)] / item.parent.volume ** (1 / 3)
        assert ordered == pytest.approx(reference, abs=1e-4)
        # its own symmetry, moved to the type's sites, keeps the distances, too
        for permutation in item.permutations:
            assert ordered[np.ix_(permutation, permutation)] == pytest.approx(ordered, abs=1e-2)


def bare(parent: Parent) -> Structure:
    return Structure(Lattice(parent.matrix), ["H"] * len(parent), parent.frac_coords)


def test_types_of_the_library_agree_with_a_structure_matcher() -> None:
    """What is one type is one arrangement of sites for pymatgen, too, and not the other way for no reason."""
    parents = [parent_of(key, structure) for key, structure in prototypes().items() if 2 <= len(structure) <= 8]
    _, typed = classify(parents)
    members: dict[int, list[Parent]] = {}
    for item in typed:
        members.setdefault(item.type, []).append(item.parent)
    several = [some for some in members.values() if len(some) > 1]
    assert len(several) >= 5
    for some in several:
        for other in some[1:]:
            assert MATCHER.fit(bare(some[0]), bare(other)), (some[0].id, other.id)
    # the strictest matcher finds no two types to be the same
    strict = StructureMatcher(ltol=0.01, stol=0.02, angle_tol=1, primitive_cell=False)
    firsts = [some[0] for some in members.values()]
    for index, first in enumerate(firsts):
        for second in firsts[index + 1 :]:
            if len(first) == len(second):
                assert not strict.fit(bare(first), bare(second)), (first.id, second.id)


def test_types_that_look_alike_stay_apart() -> None:
    """Eight neighbours (CsCl) and six (WC, NaCl), cubic and hexagonal stacking (sphalerite, wurtzite)."""
    library = prototypes()
    for pair in (
        ("aflow:AB_cP2_221_b_a", "aflow:AB_hP2_187_d_a"),
        ("aflow:AB_cP2_221_b_a", "aflow:AB_cF8_225_a_b"),
        ("aflow:AB_hR2_166_a_b", "aflow:A_hP2_194_c"),
    ):
        types, _ = classify([parent_of(key, library[key]) for key in pair])
        assert len(types) == 2


def test_a_slightly_distorted_parent_joins_its_type_with_its_own_symmetry() -> None:
    distorted = perovskite()
    distorted.translate_sites([1], [0.02, 0, 0])
    types, typed = classify([parent_of("a distorted", distorted), parent_of("b cubic", perovskite(4.2))])
    assert [kind.id for kind in types] == ["b cubic"]  # the most symmetric one stands for the type
    symmetric = {item.parent.id: len(item.permutations) for item in typed}
    assert symmetric["b cubic"] == 6  # of the three anions
    assert symmetric["a distorted"] == 2  # one is special now


def test_the_order_of_parents_does_not_matter() -> None:
    parents = [parent_of(key, s) for key, s in prototypes().items() if 2 <= len(s) <= 6]
    once, twice = classify(parents), classify(parents[::-1])
    assert [kind.id for kind in once[0]] == [kind.id for kind in twice[0]]
    assert [(p.parent.id, p.type, p.order.tolist()) for p in once[1]] == [
        (p.parent.id, p.type, p.order.tolist()) for p in twice[1]
    ]
