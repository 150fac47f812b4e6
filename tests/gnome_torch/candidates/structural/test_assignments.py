"""Prototypes of the library with the elements of a campaign on them, whatever the threshold says."""

from __future__ import annotations

from itertools import permutations

import pyarrow as pa
import pytest
from pymatgen.core import Composition, Structure

from gnome_torch.candidates.chemistry.policy import ElementPolicy
from gnome_torch.candidates.parents import parent_of
from gnome_torch.candidates.prototypes import prototypes
from gnome_torch.candidates.structural.generation import plan, stream
from gnome_torch.candidates.structural.proposals import StructuralOptions, known_compositions
from gnome_torch.candidates.structural.substitution import SubstitutionRules
from gnome_torch.candidates.tables.shards import candidates_of
from gnome_torch.records import Candidate

MGZN2, MGCU2 = "aflow:AB2_hP12_194_f_ah", "aflow:A2B_cF24_227_d_a"
HEUSLER, HALF_HEUSLER, PEROVSKITE = "aflow:AB2C_cF16_225_a_c_b", "aflow:ABC_cF12_216_b_c_a", "aflow:AB3C_cP5_221_a_c_b"

KNOWN = [
    ("Ca Mg", "CaMg2", MGZN2),
    ("Hf Co", "HfCo2", MGCU2),
    ("Hf Co Sn", "HfCoSn", HALF_HEUSLER),
    ("Hf Co Sn", "HfCo2Sn", HEUSLER),
    ("Ti Ni Sn", "TiNiSn", HALF_HEUSLER),
    ("Ti Ni Sn", "TiNi2Sn", HEUSLER),
    ("Al Ni Ti", "AlNi2Ti", HEUSLER),
    ("Al Ni Ti", "AlNi6Ti", "type:AlNi6Ti"),
    ("Li Ga Pd", "LiGaPd2", HEUSLER),
    ("Li Ga Pd", "Li2GaPd", HEUSLER),
    ("Li Ga Pd", "LiGa2Pd", "type:CuHg2Ti"),
    ("Ba Zn P", "BaZn2P2", "type:ThCr2Si2"),
    ("Ca Zn P", "CaZn2P2", "type:CaAl2Si2"),
    ("Ca Zn N", "CaZn2N2", "type:CaAl2Si2"),
    ("Ca Zn N", "Ca2ZnN2", "type:Na2HgO2"),
    ("Sr Ti O", "SrTiO3", PEROVSKITE),
    ("Sr Ti O", "Sr3Ti2O7", "type:Sr3Ti2O7"),  # with its own elements: nothing is replaced
    ("Li Al O", "LiAlO2", "type:gamma-LiAlO2"),
    ("Li Al O", "Li5AlO4", "type:beta-Li5AlO4"),
    ("Ba Zr S", "BaZrS3", "aflow:AB3C_oP20_62_c_cd_a"),
]


def proposed(key: str, elements: str, assignments: int = 2000, known: tuple[str, ...] = ()) -> list[Candidate]:
    options = StructuralOptions(
        ElementPolicy(frozenset(elements.split())),
        SubstitutionRules(0.001),
        saps=False,
        assignments=assignments,
        known=known_compositions(known),
    )
    tables = list(stream(plan([parent_of(key, prototypes()[key])], options)))
    return list(candidates_of(pa.concat_tables(tables))) if tables else []


@pytest.mark.parametrize(("elements", "formula", "key"), KNOWN)
def test_known_compounds_are_proposed_in_their_types(elements: str, formula: str, key: str) -> None:
    wanted = Composition(formula).reduced_formula
    found = [some for some in proposed(key, elements) if some.reduced_formula == wanted]
    assert found
    assert all(some.parent_id == key and 0 < some.probability <= 1 for some in found)
    own = prototypes()[key].composition.reduced_formula == wanted
    assert ("" in {some.lineage.substitution for some in found}) is own


def bare(structure: Structure) -> list[str]:
    return sorted({site.specie.symbol for site in structure})


@pytest.mark.parametrize("key", [PEROVSKITE, MGZN2, "type:LiMgPdSn"])
def test_all_of_them_and_nothing_twice(key: str) -> None:
    """Against every permutation of the elements; those whose atoms touch are refused, as everything is."""
    symbols, parent = "K Ca Mg F", prototypes()[key]
    found = proposed(key, symbols)
    assert len({(c.species, c.volume) for c in found}) == len(found)
    full = {tuple(sorted(set(c.species))) for c in found}
    expected = {tuple(sorted(ways)) for ways in permutations(symbols.split(), len(bare(parent)))}
    assert expected <= full
    assert len(proposed(key, symbols, assignments=0)) < len(found)


def test_a_known_composition_is_not_proposed() -> None:
    assert "KMgF3" in {c.reduced_formula for c in proposed(PEROVSKITE, "K Mg F")}
    assert "KMgF3" not in {c.reduced_formula for c in proposed(PEROVSKITE, "K Mg F", known=("KMgF3",))}


def test_only_the_library_is_decorated_so() -> None:
    crystal = prototypes()[MGZN2]
    options = StructuralOptions(
        ElementPolicy(frozenset({"Ca", "Mg"})), SubstitutionRules(0.01), saps=False, assignments=2000
    )
    assert list(stream(plan([parent_of("an entry", crystal)], options))) == []
    assert list(stream(plan([parent_of(MGZN2, crystal)], options)))
