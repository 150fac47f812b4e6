"""Reference volumes and contacts against pymatgen's predictor and against real crystals."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.core.structure_prediction.volume_predictor import DLSVolumePredictor

from gnome_torch.candidates.chemistry.volumes import bond_length_volume, contact, estimate, reference_volume
from gnome_torch.candidates.parents import parent_of
from gnome_torch.candidates.prototypes import prototypes

PEROVSKITES = Path(__file__).parents[4] / "shared" / "data" / "perovskites_abx3_dft.csv"
NACL, MGO = np.array([[11, 17]]), np.array([[12, 8]])


def rock_salt(cation: str, anion: str, a: float) -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.mark.parametrize("key", ["aflow:AB_cF8_225_a_b", "aflow:AB3C_cP5_221_a_c_b", "aflow:A2B3_hR10_167_c_e"])
def test_bond_length_volumes_are_pymatgens(key: str) -> None:
    structure = prototypes()[key]
    parent = parent_of(key, structure)
    n = len(parent)
    ours = bond_length_volume(parent.numbers[None], np.ones(n), parent.closest[None], parent.volume)
    theirs = DLSVolumePredictor(min_scaling=None, max_scaling=None).predict(structure)
    assert ours[0] == pytest.approx(theirs, rel=1e-9)


def test_a_crystal_keeps_its_own_volume_and_scales_with_its_cell() -> None:
    parent = parent_of("salt", rock_salt("Na", "Cl", 5.64))
    closest = np.array([[3.988, 2.82], [2.82, 3.988]])[None]
    counts = np.array([4, 4])
    assert reference_volume(NACL, NACL, counts, closest, parent.volume)[0] == pytest.approx(parent.volume)
    volume = reference_volume(NACL, MGO, counts, closest, parent.volume)[0]
    assert volume == pytest.approx(4.21**3, rel=0.25)  # halide to oxide: the worst case
    # a parent of the same kind at another size gives the same volume for MgO, in proportion to its own openness
    wider = reference_volume(NACL, MGO, counts, closest * 1.1, parent.volume * 1.1**3)[0]
    assert wider == pytest.approx(volume * 1.1**3, rel=1e-9)
    # but not without bounds: one under enormous pressure says nothing about MgO
    denser = reference_volume(NACL, MGO, counts, closest * 0.5, parent.volume * 0.5**3)[0]
    assert denser > 0.5 * 4.21**3


def test_elements_without_bond_data_fall_back_to_tabulated_volumes() -> None:
    counts, closest = np.array([1, 1]), np.array([[3.0, 2.5], [2.5, 3.0]])[None]
    francium = np.array([[87, 17]])
    assert np.isnan(bond_length_volume(francium, counts, closest, 60.0)[0])
    assert np.isfinite(estimate(francium, counts, closest, 60.0)[0])


def test_contact_is_the_shortest_distance_of_the_built_crystal() -> None:
    from ase.data import covalent_radii

    structure = prototypes()["aflow:A2B3_hR10_167_c_e"]
    parent = parent_of("corundum", structure)
    for factor in (0.9, 1.2):
        ours = contact(parent.numbers[None], parent.closest[None], np.array([factor]))[0]
        crystal = structure.copy()
        crystal.scale_lattice(structure.volume * factor**3)
        centres, others, _, distances = crystal.get_neighbor_list(6.0)
        radii = covalent_radii[np.array(crystal.atomic_numbers)]
        assert ours == pytest.approx((distances / (radii[centres] + radii[others])).min(), rel=1e-6)


def test_volumes_of_real_crystals() -> None:
    """The estimate from nothing but species and geometry is within 20 % for half of the prototype library."""
    errors = []
    for key, structure in prototypes().items():
        if 2 <= len(structure) <= 20:
            parent = parent_of(key, structure)
            volume = estimate(parent.numbers[None], np.ones(len(parent)), parent.closest[None], parent.volume)[0]
            errors.append(abs(volume / parent.volume - 1))
    assert np.median(errors) < 0.20


@pytest.mark.skipif(not PEROVSKITES.is_file(), reason=f"no {PEROVSKITES}")
def test_volumes_of_perovskites_from_other_perovskites(capsys: pytest.CaptureFixture[str]) -> None:
    """Every 40th perovskite of the file from every other one of these: within 15 % for half of the pairs."""
    csv.field_size_limit(10**9)
    with PEROVSKITES.open() as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parents = [
            parent_of(row["material_id"], Structure.from_str(row["cif"], fmt="cif"))
            for row in list(csv.DictReader(file))[::40]
        ]
    errors = []
    for old in parents:
        for new in parents:
            # the file writes the sites in one order: dodecahedral, octahedral, three anions
            if old is not new and len(np.unique(new.numbers[2:])) == len(np.unique(old.numbers[2:])) == 1:
                volume = reference_volume(
                    old.numbers[None], new.numbers[None], np.ones(5), old.closest[None], old.volume
                )[0]
                errors.append(abs(volume / new.volume - 1))
    with capsys.disabled():
        print(f" [median error {np.median(errors):.3f} over {len(errors)} pairs]", end="")
    assert len(errors) > 500
    assert np.median(errors) < 0.15
