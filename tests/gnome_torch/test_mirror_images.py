"""Both hands of a crystal are one prototype, one crystal, one structure type: crystals are really inverted."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.groups import SpaceGroup

from gnome_torch.candidates.parents import parent_of
from gnome_torch.candidates.prototypes import prototypes
from gnome_torch.candidates.structural.structure_types import classify
from gnome_torch.similarity import Distinct
from gnome_torch.stability.novelty import MIRROR_IMAGES, KnownCrystals, of_one_hand, prototype_of
from gnome_torch.symmetry import symmetry

GENERAL = "x y z"
POSITIONS = {
    76: [GENERAL],
    91: ["0 y 0", "1/2 y 0", "x x 3/8", GENERAL],
    92: ["x x 0", GENERAL],
    144: [GENERAL],
    151: ["x -x 1/3", "x -x 5/6", GENERAL],
    152: ["x 0 1/3", "x 0 5/6", GENERAL],
    169: [GENERAL],
    171: ["0 0 z", "1/2 1/2 z", GENERAL],
    178: ["x 0 0", "x 2x 1/4", GENERAL],
    180: ["0 0 0", "0 0 1/2", "1/2 0 0", "1/2 0 1/2", "0 0 z", "1/2 0 z", "x 0 0", "x 0 1/2", "x 2x 0", "x 2x 1/2",
          GENERAL],
    212: ["1/8 1/8 1/8", "5/8 5/8 5/8", "x x x", "1/8 y 1/4-y", GENERAL],
}  # fmt: skip
"""All Wyckoff positions of the lower group of each pair, in the order of their letters (International Tables A)."""
FREE = ((0.137, 0.291, 0.412), (0.083, 0.377, 0.219))
"""What stands for x, y, z on the first position and on the second."""


def crystal(number: int, positions: tuple[str, ...]) -> Structure:
    """A crystal with silicon on the first position and oxygen on the second."""
    if number < 143:
        lattice = Lattice.tetragonal(6.1, 8.3)
    else:
        lattice = Lattice.hexagonal(6.1, 8.7) if number < 195 else Lattice.cubic(7.9)
    coords = []
    for where, (x, y, z) in zip(positions, FREE, strict=False):
        free = {"x": x, "-x": -x, "2x": 2 * x, "y": y, "1/4-y": 0.25 - y, "z": z}
        coords.append([free[part] if part in free else float(Fraction(part)) for part in where.split()])
    symbol = SpaceGroup.from_int_number(number).symbol
    return Structure.from_spacegroup(symbol, lattice, ["Si", "O"][: len(positions)], coords)


def mirrored(structure: Structure) -> Structure:
    return Structure(structure.lattice, structure.species, -structure.frac_coords)


@pytest.mark.parametrize(("high", "low"), sorted(MIRROR_IMAGES.items()))
def test_both_hands_have_one_label(high: int, low: int) -> None:
    """Every Wyckoff position alone and every pair of them: labels, StructureMatcher, and what is known."""
    matcher, tested = StructureMatcher(), set()
    for where in [(one,) for one in POSITIONS[low]] + list(product(POSITIONS[low], repeat=2)):
        one = crystal(low, where)
        if symmetry(one).number != low:  # too high a symmetry: such a crystal has no hands
            continue
        other = mirrored(one)
        assert symmetry(other).number == high
        label = prototype_of(one)
        assert label is not None
        assert f"_{low}_" in label
        assert prototype_of(other) == label
        assert matcher.fit(one, other)
        tested.update(where)
    assert tested == set(POSITIONS[low])
    found = KnownCrystals([("known", one)]).judge(other)
    assert (found.new_prototype, found.duplicate_of) == (False, "known")


def test_labels_say_which_group() -> None:
    assert of_one_hand("AB2_hP9_154_a_c") == "AB2_hP9_152_a_c"
    assert of_one_hand("AB2_hP9_152_a_c") == "AB2_hP9_152_a_c"
    assert of_one_hand("A_cF4_225_a") == "A_cF4_225_a"


def test_known_pairs_are_no_new_prototypes() -> None:
    """Quartz, cristobalite, tellurium, high quartz: the other hand with another element."""
    te = Structure.from_spacegroup("P3_121", Lattice.hexagonal(4.46, 5.93), ["Te"], [[0.2636, 0, 1 / 3]])
    se = Structure.from_spacegroup("P3_221", Lattice.hexagonal(4.37, 4.96), ["Se"], [[0.2254, 0, 2 / 3]])
    quartz = [[0.4697, 0, 1 / 3], [0.4135, 0.2669, 0.4524]]
    silica = Structure.from_spacegroup("P3_121", Lattice.hexagonal(4.916, 5.405), ["Si", "O"], quartz)
    germania = Structure.from_spacegroup(
        "P3_221", Lattice.hexagonal(4.987, 5.652), ["Ge", "O"], [[0.4513, 0, 2 / 3], [0.3969, 0.3021, 0.5909]]
    )
    cristobalite = Structure.from_spacegroup(
        "P4_12_12", Lattice.tetragonal(4.957, 6.891), ["Si", "O"], [[0.3047, 0.3047, 0], [0.2381, 0.1109, 0.1826]]
    )
    high = Structure.from_spacegroup(
        "P6_222", Lattice.hexagonal(4.9965, 5.457), ["Si", "O"], [[0.5, 0, 0], [0.2072, 0.4144, 0.5]]
    )
    for one, other in ((te, se), (silica, germania), (cristobalite, mirrored(cristobalite)), (high, mirrored(high))):
        numbers = (symmetry(one, 0.1).number, symmetry(other, 0.1).number)
        assert MIRROR_IMAGES[max(numbers)] == min(numbers)
        found = KnownCrystals([("known", one)]).judge(other)
        assert not found.new_prototype
        assert found.analogue == "known"
    assert prototype_of(silica) != prototype_of(high)


def test_generation_takes_both_hands_for_one() -> None:
    """Its structure types, and the crystals that a random search or a pool keeps."""
    rng = np.random.default_rng(0)
    chiral = [s for s in prototypes().values() if symmetry(s, 0.1).number in {*MIRROR_IMAGES, *MIRROR_IMAGES.values()}]
    assert len(chiral) >= 10
    for structure in chiral:
        other = mirrored(structure)
        other.translate_sites(range(len(other)), rng.random(3))
        kept = Distinct()
        assert kept.add(structure)
        assert not kept.add(other)
        types, _ = classify([parent_of("one", structure), parent_of("other", other)])
        assert len(types) == 1
