"""Tables of examples: formulas or crystals, with or without the energy to learn; the broken ones are set aside."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pymatgen.core import Composition, Structure

from gnome_torch.data.cif import crystal_of_cif
from gnome_torch.data.csv_rows import CsvRow, csv_header, csv_rows
from gnome_torch.data.files import (
    FORMULA_COLUMNS,
    NAME_COLUMNS,
    PARTLY,
    Crystal,
    StructureFileError,
    read_crystals,
    read_guarded,
)
from gnome_torch.data.outside import number_of
from gnome_torch.data.rejects import Reject
from gnome_torch.data.texts import UNREADABLE, plain_name
from gnome_torch.graphs import composition_nodes
from gnome_torch.stability.formulas import FormulaError, composition_of


@dataclass(frozen=True)
class Examples:
    """Rows of a table.

    Attributes:
        ids: name of each.
        compositions: of each.
        structures: crystal of each; None for a table of formulas.
        targets: energy of each, eV/atom; None if none was asked for.
        rejects: rows that cannot be used.
    """

    ids: Sequence[str]
    compositions: Sequence[Composition]
    structures: Sequence[Structure] | None
    targets: Sequence[float] | None
    rejects: Sequence[Reject] = ()

    def __len__(self) -> int:
        return len(self.ids)


class _Example(NamedTuple):
    """One row that can be used; its energy is 0 where none was asked for."""

    name: str
    composition: Composition
    structure: Structure | None
    energy: float


def read_examples(path: str | Path, target: str | None = None, per_cell: bool = False) -> Examples:
    """Read a CSV file with a column `cif` or `formula`, or (without target) any file of crystals, or a directory.

    Args:
        path: the file.
        target: column with the energies, eV/atom; None to read no energies.
        per_cell: the energies are eV per cell as the file describes it, and are divided by its number of atoms.

    Raises:
        StructureFileError: the file cannot be read, is empty, lacks a column, or has no row that can be used; the
            message says what is wrong with the first.
    """
    path = Path(path).expanduser()
    good: list[_Example] = []
    rejects: list[Reject] = []
    try:
        for row in _rows(path, target, per_cell):
            if isinstance(row, Reject):
                rejects.append(row)
            else:
                good.append(row)
    except (*UNREADABLE, csv.Error) as error:
        raise StructureFileError(f"{path}: cannot be read: {error}") from error
    if not good:
        why = f"none of {len(rejects)} can be used; the first: {rejects[0]}" if rejects else "no row in it"
        raise StructureFileError(f"{path}: {why}")
    structures = [row.structure for row in good if row.structure is not None]
    return Examples(
        [row.name for row in good],
        [row.composition for row in good],
        structures or None,
        None if target is None else [row.energy for row in good],
        rejects,
    )


def _rows(path: Path, target: str | None, per_cell: bool) -> Iterator[_Example | Reject]:
    """Every row of a file, used or not."""
    if path.is_dir() or not plain_name(path).endswith(".csv"):
        if target is not None:
            raise StructureFileError(f"{path}: energies are read from a CSV file with a column {target!r}")
        yield from _crystals(path)
        return
    header = csv_header(path)
    named = next((name for name in NAME_COLUMNS if name in header), "")
    read = _reader(path, header, target, per_cell, named)
    for number, row in enumerate(csv_rows(path), start=1):
        found: _Example | str = row.problem
        energy = number_of(row.fields[target]) if target is not None else 0.0
        value = row.text
        if not found and energy is None:
            found, value = f"column {target}: no energy in eV", row.fields[target or ""]
        elif not found and energy is not None:
            found, value = read(row, row.fields.get(named, "") or str(number), energy)
        yield Reject(str(path), f"line {row.line}", value, found) if isinstance(found, str) else found


Read = Callable[[CsvRow, str, float], tuple["_Example | str", str]]
"""From a row, its name and its energy to the example, or what is wrong; and what stands in the row."""


def _reader(path: Path, header: Sequence[str], target: str | None, per_cell: bool, named: str) -> Read:
    """What reads the rows of a table.

    Raises:
        StructureFileError: it lacks a column, or has formulas where energies are those of a cell.
    """
    if not header:
        raise StructureFileError(f"{path}: no row in it")
    if target is not None and target not in header:
        raise StructureFileError(f"{path}: no column {target!r}; its columns are {', '.join(header)}")
    cif = next((name for name in header if name.strip().lower() == "cif"), None)
    if cif is not None:
        return lambda row, name, energy: _of_cif(row.fields[cif], name, energy, per_cell)
    if per_cell:
        raise StructureFileError(f"{path}: formulas have no cell: give energies per atom")
    column = next((name for name in FORMULA_COLUMNS if name in header), None)
    if column is None:
        raise StructureFileError(f"{path}: its columns are {', '.join(header)}; one must be formula or cif")
    return lambda row, name, energy: _of_formula(row.fields, column, name if named else row.fields[column], energy)


def _of_formula(fields: Mapping[str, str], column: str, name: str, energy: float) -> tuple[_Example | str, str]:
    text = fields[column]
    try:
        composition = composition_of(text)
        composition_nodes(composition)
    except FormulaError as error:
        return f"column {column}: {error}", text
    except ValueError as error:  # beyond plutonium
        return str(error), text
    return _Example(name, composition, None, energy), text


def _of_cif(text: str, name: str, energy: float, per_cell: bool) -> tuple[_Example | str, str]:
    crystal = read_guarded(name, crystal_of_cif, text)
    return _of_crystal(crystal, name, energy / crystal.cell_sites if per_cell and crystal.cell_sites else energy), name


def _of_crystal(crystal: Crystal, name: str, energy: float = 0.0) -> _Example | str:
    """An example, or why a crystal is none."""
    if crystal.structure is None:
        return crystal.problem
    if not crystal.structure.is_ordered:
        return PARTLY
    structure = crystal.structure.remove_oxidation_states()
    try:
        composition_nodes(structure.composition)
    except ValueError as error:
        return str(error)
    return _Example(name, structure.composition, structure, energy)


def _crystals(path: Path) -> Iterator[_Example | Reject]:
    stem = path.name.split(".")[0]
    for crystal in read_crystals(path):
        # one file: its name need not stand before every crystal's
        name = crystal.name if path.is_dir() else crystal.name.removeprefix(f"{stem}:")
        found = _of_crystal(crystal, name)
        yield Reject(str(path), crystal.name, "", found) if isinstance(found, str) else found
