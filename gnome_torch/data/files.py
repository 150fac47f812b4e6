"""Crystals and formulas from files."""

from __future__ import annotations

import csv
import gzip
import json
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pymatgen.core import Composition, Element, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.cif import CifFile, CifParser

from gnome_torch.hydrates import in_brackets
from gnome_torch.stability.formulas import amounts_of

if TYPE_CHECKING:
    from ase import Atoms

Source = TypeVar("Source")
ASE_SUFFIXES = {".xyz", ".extxyz", ".traj", ".db"}
NAME_COLUMNS = ("material_id", "id", "name", "structure_id")


SAME_SITE = 0.01
"""How far sites of a cell may be off the translation that makes it smaller, angstrom: the rounding of a file."""


class StructureFileError(ValueError):
    """A file that cannot be used; one line that says which and why."""


@dataclass(frozen=True)
class Crystal:
    """One crystal of a file, or why it could not be read.

    Attributes:
        name: file and place in it, unique within one reading.
        structure: the crystal, with the oxidation states the file gives; None if it could not be read.
        problem: why not.
        cell_sites: sites in the cell that the file describes, of which `structure` may be a primitive part.
    """

    name: str
    structure: Structure | None
    problem: str = ""
    cell_sites: int = 0


def read_structures(path: str | Path) -> list[Structure]:
    """All crystals of a file, ordered ones only, without oxidation states. Formats: see `read_crystals`.

    Raises:
        StructureFileError: the file cannot be read, holds nothing, or holds a crystal that is broken or disordered.
    """
    structures = []
    for index, crystal in enumerate(read_crystals(path), start=1):
        if crystal.structure is None:
            raise StructureFileError(f"{path}: crystal {index} ({crystal.name}): {crystal.problem}")
        if not crystal.structure.is_ordered:
            raise StructureFileError(
                f"{path}: crystal {index} ({crystal.structure.composition.reduced_formula}) has partly occupied sites: "
                "order it first (pymatgen's OrderDisorderedStructureTransformation)"
            )
        structures.append(crystal.structure.remove_oxidation_states())
    return structures


def read_crystals(path: str | Path) -> Iterator[Crystal]:
    """The crystals of a file or of all files of a directory; one that is broken does not keep back the others.

    CIF (any number of blocks; primitive cells are made of them) and POSCAR; extended XYZ, ASE trajectories and
    databases; JSON (plain or gz) with pymatgen structures or entries, one or a list; CSV with a column `cif`, and a
    name in material_id, id or name.

    Raises:
        StructureFileError: there is no such file, it is none of these, or there is no crystal in it.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        files = sorted(item for item in path.iterdir() if item.is_file() and not item.name.startswith("."))
        if not files:
            raise StructureFileError(f"{path}: no file in it")
        for file in files:
            yield from read_crystals(file)
        return
    if not path.is_file():
        raise StructureFileError(f"{path}: no such file")
    seen: dict[str, int] = {}
    try:
        for crystal in _read(path):
            count = seen[crystal.name] = seen.get(crystal.name, 0) + 1
            name = crystal.name if count == 1 else f"{crystal.name}#{count}"
            yield replace(crystal, name=name)
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, EOFError) as error:
        raise StructureFileError(
            f"{path}: not a file of crystals (CIF, POSCAR, extended XYZ, ASE database, pymatgen JSON, CSV with a "
            f"column cif): {_one_line(error)}"
        ) from error
    if not seen:
        raise StructureFileError(f"{path}: no crystal in it")


def _read(path: Path) -> Iterator[Crystal]:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    stem = path.name.split(".")[0]
    if ".json" in suffixes:
        text = gzip.decompress(path.read_bytes()).decode() if suffixes[-1] == ".gz" else path.read_text()
        data = json.loads(text)
        for index, item in enumerate(data if isinstance(data, list) else [data], start=1):
            name = str(item.get("entry_id") or index)
            yield _guarded(f"{stem}:{name}", _of_json, item)
    elif suffixes and suffixes[-1] == ".csv":
        yield from _read_csv(path, stem)
    elif suffixes and suffixes[-1] in ASE_SUFFIXES:
        from ase.io import read

        for index, atoms in enumerate(read(path, index=":"), start=1):
            if atoms.cell.rank == 3:
                yield _guarded(f"{stem}:{index}", _of_atoms, atoms)
            else:
                yield Crystal(f"{stem}:{index}", None, "it has no cell")
    elif {".cif", ".mcif"} & set(suffixes[-2:]):
        text = gzip.decompress(path.read_bytes()).decode() if suffixes[-1] == ".gz" else path.read_text()
        blocks = CifFile.from_str(text).data
        for name, block in blocks.items():
            if any(key.startswith(("_cell_", "_atom_site")) for key in block.data):  # others hold no crystal
                label = stem if len(blocks) == 1 else f"{stem}:{name}"
                yield _guarded(label, lambda block: crystal_of_cif(str(block)), block)
    else:
        structure, n_sites = _whole(Structure.from_file(path))
        yield Crystal(stem if path.suffix != ".vasp" else path.stem, structure, cell_sites=n_sites)


def _read_csv(path: Path, stem: str) -> Iterator[Crystal]:
    csv.field_size_limit(sys.maxsize)
    with path.open(newline="") as file:
        rows = csv.DictReader(file)
        column = next((name for name in rows.fieldnames or () if name.strip().lower() == "cif"), None)
        if column is None:
            raise ValueError(f"its columns are {', '.join(rows.fieldnames or ()) or 'none'}; one must be cif")
        named = next((name for name in NAME_COLUMNS if name in (rows.fieldnames or ())), None)
        for index, row in enumerate(rows, start=1):
            name = f"{stem}:{row[named] if named else index}"
            yield _guarded(name, crystal_of_cif, row[column])


def crystal_of_cif(text: str) -> tuple[Structure, int]:
    """The crystal of one CIF block, as its primitive cell, and the number of sites in the cell of the block."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of coordinates that were rounded to special positions
        parser = CifParser.from_str(text)
        (structure,) = parser.parse_structures(primitive=False)
    return structure.get_primitive_structure(tolerance=SAME_SITE), len(structure)


def _whole(structure: Structure) -> tuple[Structure, int]:
    """A crystal as it is, and its number of sites."""
    return structure, len(structure)


def _of_json(item: Mapping[str, Any]) -> tuple[Structure, int]:
    """The crystal of an entry of pymatgen, or of a crystal by itself."""
    return _whole(Structure.from_dict(item.get("structure", item)))


def _of_atoms(atoms: Atoms) -> tuple[Structure, int]:
    return _whole(AseAtomsAdaptor.get_structure(atoms))


def _guarded(name: str, read: Callable[[Source], tuple[Structure, int]], source: Source) -> Crystal:
    """A crystal, or the reason why it cannot be read from a source."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            structure, n_sites = read(source)
            return Crystal(name, structure, cell_sites=n_sites)
    except Exception as error:  # a broken block raises whatever the parser stumbles over
        return Crystal(name, None, f"cannot be read: {_one_line(error)}")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def read_formulas(path: str | Path) -> list[str]:
    """Reduced formulas of a CSV file: the column `formula`, or the first one.

    Raises:
        StructureFileError: the file cannot be read, is empty, or holds something that is no formula; the message names
            the line.
    """
    path = Path(path).expanduser()
    try:
        with path.open(newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StructureFileError(f"{path}: cannot be read: {_one_line(error)}") from error
    header = [name.strip().lower() for name in rows[0]] if rows else []
    column = next(
        (header.index(name) for name in ("formula", "reduced_formula", "composition") if name in header), None
    )
    body = rows if column is None else rows[1:]
    formulas = []
    for line, row in enumerate(body, start=1 if column is None else 2):
        text = row[column or 0].strip() if len(row) > (column or 0) else ""
        if not text and not any(cell.strip() for cell in row):
            continue  # an empty line
        try:
            formulas.append(_formula(text))
        except (ValueError, KeyError) as error:
            raise StructureFileError(
                f"{path}, line {line}: {text!r} is not a chemical formula ({_one_line(error)}); the column is "
                f"{rows[0][column] if column is not None else 'the first: name it formula if it is another'}"
            ) from None
    if not formulas:
        raise StructureFileError(f"{path}: no formula in it")
    return formulas


def _formula(text: str) -> str:
    """Reduced formula of a text; pymatgen alone takes Xyz for a dummy species."""
    composition = Composition(in_brackets(text))
    unknown = [str(species) for species in composition if not isinstance(species, Element)]
    if unknown or not composition:
        raise ValueError(f"{', '.join(unknown) or 'nothing'} is not an element")
    amounts_of(text)  # none that is out of all bounds
    return composition.reduced_formula
