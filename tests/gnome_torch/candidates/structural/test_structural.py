"""Proposals of a unit of parents against a slow, plain reimplementation on pymatgen structures."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from ase.data import covalent_radii
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Element, Lattice, Structure

from gnome_torch.candidates.chemistry.policy import ElementPolicy
from gnome_torch.candidates.parents import parent_of
from gnome_torch.candidates.prototypes import prototypes
from gnome_torch.candidates.structural.generation import Plan, plan, stream
from gnome_torch.candidates.structural.partial import PartialLimits
from gnome_torch.candidates.structural.proposals import StructuralOptions, known_compositions, propose
from gnome_torch.candidates.structural.substitution import SubstitutionRules, ions_of, substitution_model
from gnome_torch.candidates.tables.rows import Tally
from gnome_torch.candidates.tables.shards import candidates_of
from gnome_torch.records import Candidate
from gnome_torch.symmetry import symmetry


def perovskite(a: float = 3.9, species: tuple[str, ...] = ("Ca", "Ti", "O")) -> Structure:
    return Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(a), list(species), [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    )


def spinel() -> Structure:
    """Both cation sites occupied by one element (Co3O4): tetrahedral (2) and octahedral (4) orbits."""
    structure = prototypes()["aflow:A2BC4_cF56_227_d_a_e"].copy()
    return structure.replace_species({"Al": "Co", "Mg": "Co"})


def options(elements: str, threshold: float = 1e-4, **more: Any) -> StructuralOptions:
    policy = {key: more.pop(key) for key in ("charge_balance", "max_elements", "min_contact", "systems") if key in more}
    known = known_compositions(more.pop("known", []))
    return StructuralOptions(
        ElementPolicy(frozenset(elements.split()), **policy), SubstitutionRules(threshold), known=known, **more
    )


def proposed(structures: dict[str, Structure], some: StructuralOptions) -> tuple[list[Candidate], Tally, Plan]:
    work = plan([parent_of(key, structure) for key, structure in structures.items()], some)
    tally = Tally()
    for unit in work.units:
        tally.add(propose(unit, some)[1])
    return [c for table in stream(work) for c in candidates_of(table)], tally, work


def by_hand(structure: Structure, elements: list[str], threshold: float) -> set[tuple[str, ...]]:
    """Every decoration that substitutions can lead to, full and partial, site by site."""
    model = substitution_model()
    symbols = [site.specie.symbol for site in structure]
    own = sorted(set(symbols))
    ions = ions_of(structure.reduced_formula, tuple(own)).ions

    def best(new: tuple[str, ...]) -> float:
        """The most probable choice of oxidation states, no ion twice."""
        choices = []
        for old, ion, symbol in zip(own, ions, new, strict=True):
            kept = [(ion, 1.0)] if symbol == old else []
            others = [i for i in model.ions if i.split("0")[0].rstrip("+-123456789") == symbol and i != ion]
            choices.append(kept + [(i, model.probability(i, ion)) for i in others])
        return max(
            (np.prod([p for _, p in way]) for way in product(*choices) if len({i for i, _ in way}) == len(way)),
            default=0.0,
        )

    decorations = set()
    for new in product(elements, repeat=len(own)):
        if new == tuple(own) or best(new) <= threshold:
            continue
        change = dict(zip(own, new, strict=True))
        full = tuple(change[symbol] for symbol in symbols)
        decorations.add(full)
        for old in own:
            if change[old] == old or old not in elements:
                continue
            sites = [i for i, symbol in enumerate(symbols) if symbol == old]
            for count in range(1, len(sites)):
                for kept in combinations(sites, count):
                    decorations.add(tuple(old if i in kept else full[i] for i in range(len(full))))
    return {d for d in decorations if len(set(d)) > 1}


@pytest.mark.parametrize(
    ("structure", "elements"),
    [
        (perovskite(), "Ca Sr Ti Zr O F"),
        (Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.6), ["Cu"], [[0, 0, 0]]), "Cu Au Ag"),
        (Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0] * 3, [0.5] * 3]), "Na K Cl Br"),
        (Structure.from_spacegroup("P6_3/mmc", Lattice.hexagonal(3.2, 5.2), ["Mg"], [[1 / 3, 2 / 3, 0.25]]), "Mg Zn"),
        (spinel(), "Co Al O"),
    ],
)
def test_the_same_crystals_as_by_hand(structure: Structure, elements: str) -> None:
    """All sets of sites decorated one by one, and reduced with pymatgen's structure matcher."""
    ours, _, _ = proposed({"p": structure}, options(elements, min_contact=0.0, partial=PartialLimits(choices=10_000)))
    expected = by_hand(structure, elements.split(), 1e-4)
    assert {c.species for c in ours} <= expected  # the representatives are decorations of the parent's own sites
    matcher = StructureMatcher(ltol=0.01, stol=0.02, angle_tol=0.5, primitive_cell=False, scale=False)

    def crystal(species: tuple[str, ...]) -> Structure:
        return Structure(structure.lattice, species, structure.frac_coords)

    by_formula: dict[str, list[tuple[str, ...]]] = {}
    for species in expected:
        by_formula.setdefault(crystal(species).composition.alphabetical_formula, []).append(species)
    for c in ours:
        formula = crystal(c.species).composition.alphabetical_formula
        same = [s for s in by_formula[formula] if matcher.fit(crystal(s), crystal(c.species))]
        assert same  # and it takes these with it: no other candidate of ours is among them
        by_formula[formula] = [s for s in by_formula[formula] if s not in same]
    assert not any(by_formula.values())  # none is left over


def test_candidates_say_where_they_come_from() -> None:
    ours, _, _ = proposed({"spinel": spinel()}, options("Co Al O"))
    saps = {c.lineage.substitution: c for c in ours if c.lineage.source == "saps"}
    assert "Co->Al (2 of 6 sites)" in saps
    assert "Co->Al (4 of 6 sites)" in saps
    for c in ours:
        assert c.parent_id == c.lineage.parent_id == "spinel"
        assert 1e-4 < c.probability <= 1
        changed = Counter(b for a, b in zip((s.specie.symbol for s in spinel()), c.species, strict=True) if a != b)
        assert all(symbol in c.lineage.substitution for symbol in changed)
    # whole orbits keep spinel's symmetry
    normal = [c for c in ours if symmetry(c.structure(spinel())).number == 227]
    assert {c.reduced_formula for c in normal} >= {"Al2CoO4", "Al(CoO2)2"}


def test_volume_and_contact_are_those_of_the_built_crystal() -> None:
    structure = prototypes()["aflow:AB2C_oC16_63_c_2c_c"]
    ours, _, _ = proposed({"p": structure}, options("Cu Sr O Ba S Ca"))
    assert len(ours) > 20
    for c in ours[:40]:
        crystal = c.structure(structure)
        assert crystal.volume == pytest.approx(c.volume)
        radii = covalent_radii[np.array(crystal.atomic_numbers)]
        centres, others, _, distances = crystal.get_neighbor_list(6.0)
        assert c.contact == pytest.approx((distances / (radii[centres] + radii[others])).min(), rel=1e-3)
        assert c.contact >= 0.75


def test_every_proposal_is_accounted_for() -> None:
    some = options("Ca Sr Ba Ti Zr O S F", known=["SrTiO3", "BaO", "CaZrO3"], charge_balance=True, max_elements=3)
    ours, tally, _ = proposed({"p": perovskite(), "q": spinel()}, some)
    assert tally.proposed == tally.passed + tally.duplicates + tally.known + sum(tally.refused.values())
    assert tally.known > 0
    assert set(tally.refused) >= {"not charge balanced", "too many elements"}
    assert len(ours) == tally.passed
    assert {"SrTiO3", "CaZrO3"}.isdisjoint(c.reduced_formula for c in ours)
    # what the policy refuses, it refuses one by one, too
    for c in ours:
        assert some.policy.refusal(c.counts) is None


def test_one_prototype_and_composition_is_proposed_once_from_its_most_probable_parent() -> None:
    parents = {"ba": perovskite(4.0, ("Ba", "Ti", "O")), "ca": perovskite(3.9), "k": perovskite(4.0, ("K", "Nb", "O"))}
    some = options("Sr Ti O", known=[])
    ours, _tally, work = proposed(parents, some)
    assert len(work.types) == 1
    (strontium,) = [c for c in ours if c.reduced_formula == "SrTiO3" and c.lineage.source == "substitution"
                    and c.species.index("Sr") == 0 and c.species.count("O") == 3]  # fmt: skip
    alone = {key: proposed({key: structure}, some)[0] for key, structure in parents.items()}
    chances = {
        key: max((c.probability for c in some if c.species == strontium.species), default=0.0)
        for key, some in alone.items()
    }
    assert strontium.probability == max(chances.values()) == chances[strontium.parent_id]
    assert len(ours) < sum(len(some) for some in alone.values())


def test_element_policy_and_systems() -> None:
    policy = ElementPolicy(
        frozenset(e.symbol for e in Element if e.Z < 95),
        systems=(frozenset({"Li", "Fe", "O"}), frozenset({"Na", "Cl"})),
    )
    ours, _, _ = proposed({"p": spinel()}, StructuralOptions(policy, SubstitutionRules(1e-6)))
    assert ours
    for c in ours:
        assert set(c.species) <= {"Li", "Fe", "O"} or set(c.species) <= {"Na", "Cl"}
    everything = options(" ".join(e.symbol for e in Element if e.Z < 95), threshold=1e-3)
    ours, _, _ = proposed({"p": perovskite()}, everything)
    assert {"Xe", "Pm", "Tc", "U", "Ra"}.isdisjoint(symbol for c in ours for symbol in c.species)


def test_no_partial_substitution_without_saps() -> None:
    ours, _, _ = proposed({"p": spinel()}, options("Co Al O", saps=False))
    assert ours
    assert {c.lineage.source for c in ours} == {"substitution"}
