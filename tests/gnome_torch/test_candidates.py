"""Candidates: first crystals, substitution, partial substitution, policy, shards."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Element, Lattice, Structure
from pymatgen.core.structure_prediction.substitution_probability import SubstitutionProbability

from gnome_torch.candidates.chemistry import is_charge_balanced, substituted_volume, volume_estimate
from gnome_torch.candidates.decoration import decorations, elemental_crystals, found_in, own_crystals
from gnome_torch.candidates.policy import NOBLE_GASES, ElementPolicy
from gnome_torch.candidates.prototypes import prototypes
from gnome_torch.candidates.shards import read_shards, write_shards
from gnome_torch.candidates.structural import Parent, Tally, filtered, propose
from gnome_torch.candidates.substitution import ions_of, replacements, substitution_model
from gnome_torch.candidates.symmetry import symmetry
from gnome_torch.records import Candidate, Lineage

OXIDES = ElementPolicy(frozenset({"Li", "Mg", "Al", "O"}), max_sites=14)


def rock_salt(cation: str = "Na", anion: str = "Cl", a: float = 5.64) -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


def perovskite() -> Structure:
    return Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(3.9), ["Ca", "Ti", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    )


def two_orbits() -> Structure:
    """Spinel with both cation sites occupied by one element (Co3O4): tetrahedral (2) and octahedral (4) orbits."""
    spinel = Structure.from_spacegroup(
        "Fd-3m", Lattice.cubic(8.08), ["Co", "Co", "O"], [[1 / 8] * 3, [1 / 2] * 3, [0.264] * 3]
    )
    return spinel.get_primitive_structure()


# ---- prototypes and first crystals


def test_the_library_is_288_real_crystals_with_stable_keys() -> None:
    library = prototypes()
    assert len(library) == 288
    assert all(structure.is_ordered for structure in library.values())
    assert library["aflow:AB_cF8_225_a_b"].composition.reduced_formula == "NaCl"


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


# ---- chemistry


@pytest.mark.parametrize(
    ("formula", "balanced"),
    [({"Mg": 1, "O": 1}, True), ({"Mg": 1, "O": 2}, False), ({"Li": 1, "Mg": 3}, True), ({"O": 2}, True),
     ({"Fe": 3, "O": 4}, False), ({"Ca": 1, "Ti": 1, "O": 3}, True)],
)  # fmt: skip
def test_charge_balance(formula: dict[str, int], balanced: bool) -> None:
    assert is_charge_balanced(formula) is balanced  # Fe3O4 needs mixed valence, which one state each cannot give


def test_volumes_of_real_crystals() -> None:
    """The estimate is within 15 % for half of the library, and a substitution finds MgO from NaCl within 10 %."""
    errors = [abs(volume_estimate([x.specie.symbol for x in s]) / s.volume - 1) for s in prototypes().values()]
    assert np.median(errors) < 0.15
    salt = rock_salt()
    volume = substituted_volume(salt.volume, ["Na"] * 4 + ["Cl"] * 4, ["Mg"] * 4 + ["O"] * 4)
    assert volume == pytest.approx(4.21**3, rel=0.10)


# ---- substitution


def test_probabilities_equal_pymatgens_own() -> None:
    """Without the floor the model is the published one: the same numbers as pymatgen's slow class."""
    ours, theirs = substitution_model(-5.0), SubstitutionProbability(alpha=-5)
    for new, old in [("Sr2+", "Ca2+"), ("Mg2+", "Ca2+"), ("Zr4+", "Ti4+"), ("S2-", "O2-"), ("Na+", "Al3+")]:
        assert ours.probability(new, old) == pytest.approx(theirs.cond_prob(new, old), rel=1e-9)


def test_the_floor_raises_rare_pairs_only() -> None:
    published, floored = substitution_model(-5.0), substitution_model(0.0)
    assert floored.weight("Sr2+", "Ca2+") == published.weight("Sr2+", "Ca2+") > 0
    assert floored.weight("Cs+", "O2-") == 0 > published.weight("Cs+", "O2-")


def test_two_ion_replacements_of_the_design() -> None:
    """Ca2+ Ti4+ O2-, floor 0, unchanged ions left out: 44 replacements of two ions reach 0.001 (design, section 3)."""
    model = substitution_model(0.0)
    pairs = 0
    for a, b in itertools.combinations(["Ca2+", "Ti4+", "O2-"], 2):
        for new_a, new_b in itertools.product(model.ions, repeat=2):
            if new_a != a and new_b != b:
                pairs += model.probability(new_a, a) * model.probability(new_b, b) >= 0.001
    assert pairs == 44


def test_ions() -> None:
    assert ions_of("CaTiO3") == {"Ca": "Ca2+", "Ti": "Ti4+", "O": "O2-"}
    assert ions_of("Ni3Al") is None


def test_branch_and_bound_equals_the_whole_product() -> None:
    model, elements = substitution_model(), ["Li", "Na", "Mg", "Ca", "Al", "Ti", "O", "S", "F"]
    for formula in ("CaTiO3", "NaCl", "Ni3Al"):
        by_threshold = {
            threshold: {(tuple(sorted(c.items())), p) for c, p in replacements(formula, elements, model, threshold)}
            for threshold in (1e-30, 1e-5, 1e-3)
        }
        for threshold, found in by_threshold.items():
            assert found == {item for item in by_threshold[1e-30] if item[1] >= threshold}


def test_replacements_change_something_and_keep_within_the_elements() -> None:
    for formula in ("CaTiO3", "Ni3Al"):
        found = list(replacements(formula, ["Mg", "Al", "Ti", "O"], substitution_model(), 1e-6))
        assert found
        for changes, probability in found:
            assert changes
            assert set(changes.values()) <= {"Mg", "Al", "Ti", "O"}
            assert 1e-6 <= probability <= 1


# ---- partial substitution


def test_saps_replaces_each_orbit_alone() -> None:
    parent = Parent("co3o4", two_orbits())
    assert len(set(symmetry(parent.structure).orbits)) == 3
    stream = list(propose([parent], ["Co", "Al", "O"], substitution_model(), threshold=1e-6))
    saps = [c for c in stream if c.lineage.source == "saps" and set(c.species) == {"Co", "Al", "O"}]
    assert {c.reduced_formula for c in saps} == {"Al2CoO4", "Al(CoO2)2"}
    for candidate in saps:
        # the symmetry of spinel is kept: each orbit changed as a whole
        assert symmetry(candidate.structure(parent.structure)).number == 227
    full = [c for c in stream if c.lineage.source == "substitution"]
    assert {"Al3O4"} == {c.reduced_formula for c in full if set(c.species) == {"Al", "O"}}


def test_the_parent_is_not_changed() -> None:
    structure = two_orbits()
    before = structure.copy()
    list(propose([Parent("p", structure)], ["Co", "Al", "O"], substitution_model(), threshold=1e-6))
    assert structure == before


# ---- filters


def candidate(formula: dict[str, int], key: str = "x", contact: float = 1.0) -> Candidate:
    species = tuple(symbol for symbol, n in formula.items() for _ in range(n))
    return Candidate(key, "p", species, 50.0, Lineage("substitution", "p"), contact=contact)


@pytest.mark.parametrize(
    ("formula", "policy", "reason"),
    [
        ({"Li": 1, "Xe": 1}, ElementPolicy(frozenset({"Li", "Xe"})), "excluded element"),
        ({"Li": 1, "Pm": 1}, ElementPolicy(frozenset({"Li", "Pm"})), "excluded element"),
        ({"Li": 1, "Na": 1}, OXIDES, "element outside the campaign"),
        ({"Li": 10, "O": 5}, OXIDES, "too many atoms"),
        ({"Li": 1, "Mg": 1, "O": 1}, ElementPolicy(frozenset({"Li", "Mg", "O"}), max_elements=2), "too many elements"),
        ({"Mg": 1, "O": 2}, ElementPolicy(frozenset({"Mg", "O"}), charge_balance=True), "not charge balanced"),
        ({"Mg": 1, "O": 1}, OXIDES, None),
    ],
)
def test_policy(formula: dict[str, int], policy: ElementPolicy, reason: str | None) -> None:
    assert policy.refusal(formula) == reason


def test_the_tally_accounts_for_every_candidate() -> None:
    stream = [
        candidate({"Mg": 1, "O": 1}, "known"),
        candidate({"Mg": 1, "Al": 2, "O": 4}, "a"),
        candidate({"Mg": 1, "Al": 2, "O": 4}, "a"),
        candidate({"Mg": 1, "Xe": 1}, "b"),
        candidate({"Al": 2, "O": 3}, "c", contact=0.3),
    ]
    tally = Tally()
    passed = list(filtered(stream, OXIDES, {"MgO"}, tally))
    assert [c.id for c in passed] == ["a"]
    assert (tally.proposed, tally.duplicates, tally.known, tally.passed) == (5, 1, 1, 1)
    assert tally.refused == {"element outside the campaign": 1, "atoms too near": 1}


def test_contact_is_the_shortest_distance_of_the_built_crystal() -> None:
    parent = Parent("p", perovskite())
    for c in itertools.islice(propose([parent], ["Mg", "Ti", "O", "F"], substitution_model(), 1e-6), 20):
        crystal = c.structure(parent.structure)
        from ase.data import covalent_radii

        radii = covalent_radii[np.array(crystal.atomic_numbers)]
        centres, others, _, distances = crystal.get_neighbor_list(6.0)
        assert c.contact == pytest.approx((distances / (radii[centres] + radii[others])).min(), abs=1e-3)


# ---- shards


def test_shards_keep_every_field_and_replace_what_was_there(tmp_path: Path) -> None:
    parents = [Parent("p", perovskite()), Parent("q", two_orbits())]
    stream = list(propose(parents, ["Mg", "Al", "Co", "O"], substitution_model(), threshold=1e-6))
    assert len(stream) > 5
    assert write_shards(stream, tmp_path / "c", rows_per_shard=4) == len(stream)
    assert list(read_shards(tmp_path / "c")) == stream
    assert len(list((tmp_path / "c").glob("*.parquet"))) == -(-len(stream) // 4)
    assert write_shards(stream[:3], tmp_path / "c") == 3
    assert list(read_shards(tmp_path / "c")) == stream[:3]
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_shards_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run the generate stage"):
        list(read_shards(tmp_path / "none"))
    assert write_shards([], tmp_path / "empty") == 0
    assert list(read_shards(tmp_path / "empty")) == []
