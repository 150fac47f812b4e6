"""Crystals and formulas from files."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any, TypeVar

from pymatgen.core import Composition, Element, Structure
from pymatgen.io.vasp import Poscar

from gnome_torch.data.ase_crystals import atoms_of_frame, crystal_of_atoms
from gnome_torch.data.cif import CifError, blocks_of, crystal_of_block, crystal_of_cif
from gnome_torch.data.csv_rows import csv_header, csv_rows
from gnome_torch.data.extxyz_frames import frames
from gnome_torch.data.json_stream import json_items
from gnome_torch.data.outside import one_line
from gnome_torch.data.pymatgen_json import structure_of
from gnome_torch.data.rejects import Reject
from gnome_torch.data.sound import CrystalError, sound
from gnome_torch.data.texts import plain_name, read_text, unpacked
from gnome_torch.hydrates import in_brackets
from gnome_torch.stability.formulas import amounts_of

Source = TypeVar("Source")
NAME_COLUMNS = ("material_id", "id", "name", "structure_id")
FORMULA_COLUMNS = ("formula", "composition", "reduced_formula")
MOST_HEADER = 1000
"""Lines of a POSCAR among which the numbers of its atoms are."""
PARTLY = "has partly occupied sites: order it first (pymatgen's OrderDisorderedStructureTransformation)"


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


def read_structures(path: str | Path, rejected: Callable[[Reject], None] = lambda reject: None) -> list[Structure]:
    """All crystals of a file or directory, ordered ones only, without oxidation states. Formats: see `read_crystals`.

    Args:
        path: a file or a directory.
        rejected: called with each crystal that cannot be used.

    Raises:
        StructureFileError: there is no crystal that can be used; the message says what is wrong with the first.
    """
    path = Path(path).expanduser()
    structures, first = [], None
    for crystal in read_crystals(path):
        if crystal.structure is not None and crystal.structure.is_ordered:
            structures.append(crystal.structure.remove_oxidation_states())
            continue
        value = "" if crystal.structure is None else crystal.structure.composition.reduced_formula
        reject = Reject(str(path), crystal.name, value, crystal.problem or PARTLY)
        first = first or reject
        rejected(reject)
    if not structures:
        raise StructureFileError(f"{path}: no crystal in it that can be used{f'; the first: {first}' if first else ''}")
    return structures


def read_crystals(path: str | Path) -> Iterator[Crystal]:
    """The crystals of a file or of all files of a directory; one that is broken does not keep back the others.

    CIF (any number of blocks; primitive cells are made of them) and POSCAR; extended XYZ; JSON with pymatgen structures
    or entries, one or a list; CSV with a column `cif`, and a name in material_id, id or name: all of these also packed
    (.gz, .bz2, .xz). ASE trajectories and databases.

    Raises:
        StructureFileError: there is no such file, it is none of these, or there is no crystal in it.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        files = sorted(item for item in path.iterdir() if item.is_file() and not item.name.startswith("."))
        if not files:
            raise StructureFileError(f"{path}: no file in it")
        yield from _distinct(crystal for file in files for crystal in _of_directory(file))
        return
    if not path.is_file():
        raise StructureFileError(f"{path}: no such file")
    none = True
    try:
        for crystal in _distinct(_read(path)):
            none = False
            yield crystal
    except Exception as error:  # a broken file raises whatever the libraries stumble over
        raise StructureFileError(
            f"{path}: not a file of crystals (CIF, POSCAR, extended XYZ, ASE database, pymatgen JSON, CSV with a "
            f"column cif): {one_line(error)}"
        ) from error
    if none:
        raise StructureFileError(f"{path}: no crystal in it")


def _of_directory(file: Path) -> Iterator[Crystal]:
    """The crystals of one file among others, which go on if it cannot be read."""
    try:
        yield from read_crystals(file)
    except StructureFileError as error:
        yield Crystal(file.name, None, str(error).removeprefix(f"{file}: "))


def _distinct(crystals: Iterable[Crystal]) -> Iterator[Crystal]:
    """Crystals with names of their own: the second x is x#2."""
    seen: dict[str, int] = {}
    for crystal in crystals:
        count = seen[crystal.name] = seen.get(crystal.name, 0) + 1
        yield crystal if count == 1 else replace(crystal, name=f"{crystal.name}#{count}")


def _read(path: Path) -> Iterator[Crystal]:
    name = plain_name(path)
    suffix = Path(name).suffix
    stem = path.name.split(".")[0] or path.name
    if ".json" in Path(name).suffixes:
        yield from _read_json(path, stem)
    elif suffix == ".csv":
        yield from _read_csv(path, stem)
    elif suffix in (".xyz", ".extxyz"):
        yield from _read_frames(path, stem)
    elif path.suffix.lower() in (".traj", ".db"):
        yield from _read_ase(path, stem)
    elif suffix in (".cif", ".mcif"):
        blocks = blocks_of(read_text(path))
        for block in blocks:
            if block.has_crystal:
                yield read_guarded(stem if len(blocks) == 1 else f"{stem}:{block.name}", crystal_of_block, block)
    elif "poscar" in name or "contcar" in name or suffix == ".vasp":
        yield read_guarded(path.name if suffix != ".vasp" else path.stem, _of_poscar, read_text(path))
    elif suffix in (".yaml", ".yml", ".md", ".txt", ".log"):  # pymatgen would read YAML, and import what it names
        raise ValueError(f"its name ends in {suffix}")
    else:
        yield read_guarded(stem, lambda file: _whole(sound(Structure.from_file(file))), path)


def _read_json(path: Path, stem: str) -> Iterator[Crystal]:
    with unpacked(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace")
        for index, item in enumerate(json_items(text, "entries"), start=1):
            name = str((item.get("entry_id") if isinstance(item, Mapping) else None) or index)
            yield read_guarded(f"{stem}:{name}", _of_json, item)


def _read_csv(path: Path, stem: str) -> Iterator[Crystal]:
    header = csv_header(path)
    column = next((name for name in header if name.strip().lower() == "cif"), None)
    if column is None:
        raise ValueError(f"its columns are {', '.join(header) or 'none'}; one must be cif")
    named = next((name for name in NAME_COLUMNS if name in header), None)
    for index, row in enumerate(csv_rows(path), start=1):
        yield read_guarded(f"{stem}:{row.fields[named] if named else index}", crystal_of_cif, row.fields[column])


def _read_frames(path: Path, stem: str) -> Iterator[Crystal]:
    for index, frame in enumerate(frames(path), start=1):
        name = f"{stem}:{index}"
        if frame.problem:
            yield Crystal(name, None, f"line {frame.line}: {frame.problem}")
        else:
            yield read_guarded(name, lambda text: _whole(crystal_of_atoms(atoms_of_frame(text))), frame.text)


def _read_ase(path: Path, stem: str) -> Iterator[Crystal]:
    from ase.io import iread

    for index, atoms in enumerate(iread(path, index=":"), start=1):
        yield read_guarded(f"{stem}:{index}", lambda atoms: _whole(crystal_of_atoms(atoms)), atoms)


def _whole(structure: Structure) -> tuple[Structure, int]:
    """A crystal as it is, and its number of sites."""
    return structure, len(structure)


def _of_json(item: Any) -> tuple[Structure, int]:
    """The crystal of an entry of pymatgen, or of a crystal by itself."""
    return _whole(structure_of(item.get("structure", item) if isinstance(item, Mapping) else item))


def _of_poscar(text: str) -> tuple[Structure, int]:
    lines = text.splitlines()
    # VASP breaks symbols and numbers of more than twenty groups into several lines
    numbers = list(takewhile(_are_numbers, dropwhile(lambda line: not _are_numbers(line), lines[5:MOST_HEADER])))
    if not numbers:
        raise ValueError("no POSCAR: no numbers of atoms below the cell and the symbols")
    announced = sum(int(count) for line in numbers for count in _words(line))
    if not 0 < announced <= len(lines):
        raise ValueError(f"no POSCAR: {announced} atoms announced, {len(lines)} lines there")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Elements in POSCAR cannot be determined")
        return _whole(sound(Poscar.from_str(text).structure))


def _are_numbers(line: str) -> bool:
    """Whether a line has whole numbers alone."""
    return bool(_words(line)) and all(word.isdecimal() for word in _words(line))


def _words(line: str) -> list[str]:
    """The words of a line before a comment."""
    return line.partition("#")[0].split()


def read_guarded(name: str, read: Callable[[Source], tuple[Structure, int]], source: Source) -> Crystal:
    """A crystal, or the reason why it cannot be read from a source."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            structure, n_sites = read(source)
            return Crystal(name, structure, cell_sites=n_sites)
    except (CifError, CrystalError) as error:
        return Crystal(name, None, f"cannot be read: {error}")
    except Exception as error:  # a broken crystal raises whatever the libraries stumble over
        return Crystal(name, None, f"cannot be read: {one_line(error)}")


def read_formulas(path: str | Path, rejected: Callable[[Reject], None] = lambda reject: None) -> list[str]:
    """Reduced formulas of a CSV file: the column `formula`, or the first one.

    Args:
        path: the file.
        rejected: called with each row that is no formula.

    Raises:
        StructureFileError: the file cannot be read, is empty, or holds nothing that is a formula; the message says
            what is wrong with the first.
    """
    path = Path(path).expanduser()
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StructureFileError(f"{path}: cannot be read: {one_line(error)}") from error
    header = [name.strip().lower() for name in rows[0]] if rows else []
    column = next((header.index(name) for name in FORMULA_COLUMNS if name in header), None)
    body = rows if column is None else rows[1:]
    formulas, first = [], None
    for line, row in enumerate(body, start=1 if column is None else 2):
        text = row[column or 0].strip() if len(row) > (column or 0) else ""
        if not text and not any(cell.strip() for cell in row):
            continue  # an empty line
        try:
            formulas.append(_formula(text))
        except (ValueError, KeyError) as error:
            where = rows[0][column] if column is not None else "the first: name it formula if it is another"
            reason = f"not a chemical formula ({one_line(error)}); the column is {where}"
            reject = Reject(str(path), f"line {line}", text, reason)
            first = first or reject
            rejected(reject)
    if not formulas:
        raise StructureFileError(f"{path}: no formula in it{f'; the first: {first}' if first else ''}")
    return formulas


def _formula(text: str) -> str:
    """Reduced formula of a text; pymatgen alone takes Xyz for a dummy species."""
    composition = Composition(in_brackets(text))
    unknown = [str(species) for species in composition if not isinstance(species, Element)]
    if unknown or not composition:
        raise ValueError(f"{', '.join(unknown) or 'nothing'} is not an element")
    amounts_of(text)  # none that is out of all bounds
    return Composition(composition.get_el_amt_dict()).reduced_formula  # D and H by their symbol: one element
