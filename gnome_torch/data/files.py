"""Crystals from files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.cif import CifParser

ASE_SUFFIXES = {".xyz", ".extxyz", ".traj", ".db"}


class StructureFileError(ValueError):
    """A file of structures that cannot be used; one line that says which and why."""


def read_structures(path: str | Path) -> list[Structure]:
    """All crystals of a file, ordered ones only.

    CIF and POSCAR; extended XYZ, ASE trajectories and databases; JSON (plain or gz) with pymatgen structures or
    entries, one or a list.

    Raises:
        StructureFileError: the file cannot be read, holds nothing, or holds a disordered crystal.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise StructureFileError(f"{path}: no such file")
    try:
        structures = _read(path)
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise StructureFileError(
            f"{path}: not a file of crystals (CIF, POSCAR, extended XYZ, ASE database, pymatgen JSON): "
            f"{' '.join(str(error).split())}"
        ) from error
    if not structures:
        raise StructureFileError(f"{path}: no crystal in it")
    for index, structure in enumerate(structures, start=1):
        if not structure.is_ordered:
            raise StructureFileError(
                f"{path}: crystal {index} ({structure.composition.reduced_formula}) has partly occupied sites: "
                "order it first (pymatgen's OrderDisorderedStructureTransformation)"
            )
        structure.remove_oxidation_states()
    return structures


def _read(path: Path) -> list[Structure]:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if ".json" in suffixes:
        text = gzip.decompress(path.read_bytes()).decode() if suffixes[-1] == ".gz" else path.read_text()
        data = json.loads(text)
        return [_from_dict(item) for item in (data if isinstance(data, list) else [data])]
    if suffixes and suffixes[-1] in ASE_SUFFIXES:
        from ase.io import read

        frames = read(path, index=":")
        if not all(atoms.cell.rank == 3 for atoms in frames):
            raise ValueError("a frame in it has no cell")
        return [AseAtomsAdaptor.get_structure(atoms) for atoms in frames]
    if {".cif", ".mcif"} & set(suffixes[-2:]):
        return list(CifParser(path).parse_structures(primitive=True))
    return [Structure.from_file(path)]


def _from_dict(item: dict[str, Any]) -> Structure:
    return Structure.from_dict(item.get("structure", item))
