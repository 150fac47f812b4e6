"""Keys of records."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from gnome_torch.records import content_hash, structure_key


def test_content_hash_ignores_the_order_of_keys_and_refuses_nan() -> None:
    assert content_hash({"a": 1, "b": [1.0]}) == content_hash({"b": [1.0], "a": 1})
    assert content_hash({"a": 1}) != content_hash({"a": 2})
    assert len(content_hash({})) == 24
    with pytest.raises(ValueError, match="Out of range"):
        content_hash({"a": float("nan")})


def test_structure_key_survives_storage_and_tells_crystals_apart() -> None:
    crystal = Structure(Lattice.from_parameters(3, 4, 5, 80, 95, 110), ["Mg", "O"], [[0, 0, 0], [0.3, 0.51, 0.77]])
    key = structure_key(crystal)
    assert structure_key(Structure.from_dict(crystal.as_dict())) == key
    noisy = Structure(crystal.lattice, crystal.species, crystal.frac_coords + 1e-9)
    assert structure_key(noisy) == key
    shifted = Structure(crystal.lattice, crystal.species, crystal.frac_coords + np.array([0, 0, 1.0]))
    assert structure_key(shifted) == key
    assert structure_key(Structure(crystal.lattice, ["O", "Mg"], crystal.frac_coords)) != key
    moved = Structure(crystal.lattice, crystal.species, crystal.frac_coords + 0.01)
    assert structure_key(moved) != key
