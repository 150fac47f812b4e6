"""Reading crystals from files of every kind."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from gnome_torch.data.files import StructureFileError, read_structures

SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def write(path: Path) -> int:
    """Write the salt in the format of the name; return how many crystals the file holds."""
    if path.name.endswith(".json"):
        path.write_text(json.dumps([SALT.as_dict(), {"structure": SALT.as_dict(), "energy": -1.0}]))
        return 2
    if path.name.endswith(".json.gz"):
        path.write_bytes(gzip.compress(json.dumps(SALT.as_dict()).encode()))
        return 1
    if path.suffix in (".extxyz", ".traj"):
        from ase.io import write as ase_write

        ase_write(path, [AseAtomsAdaptor.get_atoms(SALT)] * 3)
        return 3
    SALT.to(filename=str(path))
    return 1


@pytest.mark.parametrize("name", ["s.cif", "POSCAR", "s.json", "s.json.gz", "s.extxyz", "s.traj"])
def test_formats(tmp_path: Path, name: str) -> None:
    count = write(tmp_path / name)
    found = read_structures(tmp_path / name)
    assert len(found) == count
    assert all(StructureMatcher(scale=False).fit(structure, SALT) for structure in found)


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(StructureFileError, match=r"none\.cif"):
        read_structures(tmp_path / "none.cif")
    (tmp_path / "bad.json").write_text("{not json")
    with pytest.raises(StructureFileError, match=r"bad\.json: not a file of crystals"):
        read_structures(tmp_path / "bad.json")
    (tmp_path / "empty.json").write_text("[]")
    with pytest.raises(StructureFileError, match="no crystal"):
        read_structures(tmp_path / "empty.json")
    disordered = Structure(Lattice.cubic(3), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    (tmp_path / "alloy.json").write_text(json.dumps(disordered.as_dict()))
    with pytest.raises(StructureFileError, match=r"crystal 1 \(Cu0.5Au0.5\) has partly occupied sites"):
        read_structures(tmp_path / "alloy.json")
