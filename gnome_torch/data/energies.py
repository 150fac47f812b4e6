"""Tables of formulas with formation energies."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gnome_torch.data.csv_rows import CsvRow, csv_header, csv_rows
from gnome_torch.data.files import FORMULA_COLUMNS, NAME_COLUMNS, StructureFileError
from gnome_torch.data.outside import number_of
from gnome_torch.data.rejects import Reject
from gnome_torch.data.texts import UNREADABLE
from gnome_torch.stability.formulas import FormulaError, amounts_of
from gnome_torch.stability.hull import against_zero


@dataclass(frozen=True)
class EnergyTable:
    """Rows of a table.

    Attributes:
        ids: name of each; its formula where the table has no names.
        formulas: as they are written.
        energies: eV/atom; nan for a row without one, where that is allowed.
        rejects: rows that cannot be used.
    """

    ids: Sequence[str]
    formulas: Sequence[str]
    energies: Sequence[float]
    rejects: Sequence[Reject]

    def __len__(self) -> int:
        return len(self.formulas)


def read_energies(path: str | Path, target: str = "target", required: bool = True) -> EnergyTable:
    """Read a CSV file with a column of formulas and one of energies, eV/atom; broken rows are set aside.

    Args:
        path: the file.
        target: column with the energies.
        required: whether every row must have an energy; otherwise an empty one, or no such column, is nan.

    Raises:
        StructureFileError: the file cannot be read, lacks a column, or has no row that can be used.
    """
    path = Path(path).expanduser()
    ids, formulas, energies, rejects = [], [], [], []
    try:
        header = csv_header(path)
        column = next((name for name in FORMULA_COLUMNS if name in header), None)
        if not header:
            raise StructureFileError(f"{path}: the file is empty; write a CSV file with columns formula,{target}")
        if column is None:
            raise StructureFileError(f"{path}: its columns are {', '.join(header)}; one must be formula")
        if required and target not in header:
            raise StructureFileError(f"{path}: no column {target!r}; its columns are {', '.join(header)}")
        named = next((name for name in NAME_COLUMNS if name in header), None)
        for row in csv_rows(path):
            problem, value = _problem(row, column, target, required)
            if problem:
                rejects.append(Reject(str(path), f"line {row.line}", value, problem))
                continue
            ids.append(row.fields[named] if named else row.fields[column])
            formulas.append(row.fields[column])
            text = row.fields.get(target, "")
            energies.append(float(text) if text else math.nan)
    except (*UNREADABLE, csv.Error) as error:
        raise StructureFileError(f"{path}: cannot be read: {error}") from error
    if not formulas:
        first = f"; the first: {rejects[0]}" if rejects else ""
        raise StructureFileError(f"{path}: no row in it that can be used ({len(rejects)} are broken){first}")
    return EnergyTable(ids, formulas, energies, rejects)


def _problem(row: CsvRow, column: str, target: str, required: bool) -> tuple[str, str]:
    """Why a row cannot be used, and what stands there; "" where it can."""
    formula, text = row.fields[column], row.fields.get(target, "")
    if row.problem:
        return row.problem, row.text
    try:
        amounts_of(formula)
    except FormulaError as error:
        return f"column {column}: {error}", formula
    if not text and not required:
        return "", ""
    energy = number_of(text)
    if energy is None:
        return f"column {target}: no energy in eV/atom", text
    against = against_zero(formula, energy)
    return (f"column {target}: {against}", text) if against else ("", "")
