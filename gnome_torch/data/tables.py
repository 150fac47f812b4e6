"""Tables of examples: formulas or crystals, with or without the energy to learn."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pymatgen.core import Composition, DummySpecies, Structure

from gnome_torch.data.files import NAME_COLUMNS, StructureFileError, read_crystals
from gnome_torch.stability.formulas import FormulaError, composition_of

FORMULA_COLUMNS = ("formula", "composition", "reduced_formula")


@dataclass(frozen=True)
class Examples:
    """Rows of a table.

    Attributes:
        ids: name of each.
        compositions: of each.
        structures: crystal of each; None for a table of formulas.
        cell_sites: atoms in the cell that the file describes, of which a crystal may be a primitive part.
        targets: energy of each, eV/atom; None if none was asked for.
    """

    ids: Sequence[str]
    compositions: Sequence[Composition]
    structures: Sequence[Structure] | None
    targets: Sequence[float] | None
    cell_sites: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.ids)


def read_examples(path: str | Path, target: str | None = None, per_cell: bool = False) -> Examples:
    """Read a CSV file with a column `cif` or `formula`, or (without target) any file of crystals.

    Args:
        path: the file.
        target: column with the energies, eV/atom; None to read no energies.
        per_cell: the energies are eV per cell as the file describes it, and are divided by its number of atoms.

    Raises:
        StructureFileError: the file cannot be read, is empty, lacks a column, or has a row that cannot be used; the
            message names the line, the value and what to do.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() != ".csv":
        if target is not None:
            raise StructureFileError(f"{path}: energies are read from a CSV file with a column {target!r}")
        return _crystals_of(path)
    header, rows = _read_csv(path)
    energies = _targets(path, header, rows, target)
    if "cif" in (name.lower() for name in header):
        examples = _crystals_of(path)
        if energies is not None and per_cell:
            energies = [energy / n for energy, n in zip(energies, examples.cell_sites, strict=True)]
        return replace(examples, targets=energies)
    if per_cell:
        raise StructureFileError(f"{path}: formulas have no cell: give energies per atom")
    column = next((name for name in FORMULA_COLUMNS if name in header), None)
    if column is None:
        raise StructureFileError(f"{path}: its columns are {', '.join(header)}; one must be formula or cif")
    named = next((name for name in NAME_COLUMNS if name in header), None)
    ids, compositions = [], []
    for line, row in enumerate(rows, start=2):
        text = row[column] or ""
        try:
            compositions.append(composition_of(text))
        except FormulaError as error:
            raise StructureFileError(f"{path}, line {line}, column {column}: {error}") from None
        ids.append(row[named] if named else text)
    return Examples(ids, compositions, None, energies)


def _crystals_of(path: Path) -> Examples:
    ids, structures, sites = [], [], []
    for number, crystal in enumerate(read_crystals(path), start=1):
        problem = crystal.problem if crystal.structure is None else _problem(crystal.structure)
        if crystal.structure is None or problem:
            raise StructureFileError(f"{path}: crystal {number} ({crystal.name}): {problem}; mend it, or leave it out")
        # one file: its name need not stand before every crystal's
        ids.append(crystal.name if path.is_dir() else crystal.name.removeprefix(f"{path.name.split('.')[0]}:"))
        sites.append(crystal.cell_sites)
        structures.append(crystal.structure.remove_oxidation_states())
    return Examples(ids, [structure.composition for structure in structures], structures, None, sites)


def _problem(structure: Structure) -> str:
    """Why a crystal is no example; "" where it is one."""
    if not structure.is_ordered:
        return "partly occupied sites"
    strange = sorted({site.specie.symbol for site in structure if isinstance(site.specie, DummySpecies)})
    return f"{strange[0]} is not an element" if strange else ""


def _read_csv(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    csv.field_size_limit(sys.maxsize)
    try:
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            header, rows = list(reader.fieldnames or ()), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StructureFileError(f"{path}: cannot be read: {error}") from error
    if not rows:
        raise StructureFileError(f"{path}: no row in it")
    return header, rows


def _targets(path: Path, header: list[str], rows: list[dict[str, str]], target: str | None) -> list[float] | None:
    if target is None:
        return None
    if target not in header:
        raise StructureFileError(f"{path}: no column {target!r}; its columns are {', '.join(header)}")
    energies, bad = [], []
    for line, row in enumerate(rows, start=2):
        try:
            energies.append(float(row[target]))
        except (TypeError, ValueError):
            energies.append(math.nan)
        if not math.isfinite(energies[-1]):
            bad.append((line, row[target]))
    if bad:
        line, value = bad[0]
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise StructureFileError(
            f"{path}, line {line}: {value!r} in column {target} is not an energy{more}: mend or remove these rows"
        )
    return energies
