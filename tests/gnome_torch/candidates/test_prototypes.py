"""The library of structure types: AFLOW's, and our own table against pymatgen."""

from __future__ import annotations

import itertools
from importlib import resources

import numpy as np
import pytest
import yaml
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.groups import SpaceGroup

from gnome_torch.candidates.chemistry.elements import element_table
from gnome_torch.candidates.parents import pair_distances
from gnome_torch.candidates.prototypes import (
    aflow_prototypes,
    crystal_of,
    is_prototype,
    prototypes,
    tabulated_prototypes,
)
from gnome_torch.stability.novelty import prototype_of
from gnome_torch.symmetry import symmetry

TABLE = yaml.safe_load((resources.files("gnome_torch.candidates") / "prototypes.yaml").read_text())
NAMES = sorted(TABLE)


def test_the_library_has_stable_keys() -> None:
    library = prototypes()
    assert len(aflow_prototypes()) == 288
    assert len(library) == 288 + len(TABLE)
    assert all(structure.is_ordered for structure in library.values())
    assert library["aflow:AB_cF8_225_a_b"].composition.reduced_formula == "NaCl"
    assert all(map(is_prototype, library))
    assert not is_prototype("5c2a")


@pytest.mark.parametrize("name", NAMES)
def test_a_type_of_the_table_is_what_it_says(name: str) -> None:
    structure, row = tabulated_prototypes()[f"type:{name}"], TABLE[name]
    assert 2 < len(structure) <= 20
    assert symmetry(structure).number == row["space_group"]
    assert row["source"]
    # one row of the table is one orbit: no site is written down twice
    assert len(set(symmetry(structure).orbits)) == len(row["sites"])
    numbers = np.array(structure.atomic_numbers)
    radii = element_table().covalent_radius[numbers]
    closest = pair_distances(structure.lattice.matrix, structure.frac_coords)[..., 0]
    assert (closest / (radii[:, None] + radii[None, :])).min() > 0.7  # cerium along the c axis of CeCo3B2
    tabulated = element_table().atomic_volume[numbers].sum()
    assert 0.3 < structure.volume / tabulated < 2.5  # from oxides of strontium to hexafluorides


@pytest.mark.parametrize("name", ["ThCr2Si2", "Sr3Ti2O7", "gamma-LiAlO2", "Mn5Si3", "MgWO4", "K2PtCl6"])
def test_orbits_are_pymatgens(name: str) -> None:
    row = TABLE[name]
    expected = Structure.from_spacegroup(
        SpaceGroup.from_int_number(row["space_group"]).symbol,
        Lattice.from_parameters(*row["cell"]),
        [symbol for symbol, *_ in row["sites"]],
        [position for _, *position in row["sites"]],
        tol=1e-2,
    )
    assert StructureMatcher(scale=False, stol=0.01).fit(crystal_of(**row), expected)


def test_no_type_is_there_twice() -> None:
    """By its label, and where the label is the same by what pymatgen says of the bare sites."""
    ours, matcher = tabulated_prototypes(), StructureMatcher()
    by_label: dict[str | None, list[tuple[str, Structure]]] = {}
    for key, structure in prototypes().items():
        if len(structure.composition) > 1:
            by_label.setdefault(prototype_of(structure), []).append((key, structure))
    assert None not in by_label
    twice = [
        (one, other)
        for alike in by_label.values()
        for (one, a), (other, b) in itertools.combinations(alike, 2)
        if (one in ours or other in ours) and len(a) == len(b) and matcher.fit_anonymous(a, b)
    ]
    assert not twice
