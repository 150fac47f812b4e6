"""Energies from outside, whatever files they come in: one record after the other, broken ones set aside.

| file | energies |
|---|---|
| CSV with a column `formula` | of formation, in a column that is named |
| CSV with a column `cif` | of formation, in a column that is named, per atom or per cell |
| pymatgen JSON (plain, .gz, .bz2): ComputedStructureEntry, one, a list, or under "entries" | total, uncorrected |
| extended XYZ, ASE databases and trajectories | total, of the calculator that is stored with the crystal |
"""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

from pymatgen.core import Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry
from pymatgen.io.ase import AseAtomsAdaptor

from gnome_torch.data.files import ASE_SUFFIXES, NAME_COLUMNS, StructureFileError, crystal_of_cif
from gnome_torch.data.rejects import Reject
from gnome_torch.data.tables import FORMULA_COLUMNS
from gnome_torch.stability.formulas import FormulaError, amounts_of


class EnergyKind(StrEnum):
    """What an energy is measured from.

    TOTAL: the calculator's zero; corrections may have to be added, and elements have energies of their own.
    FORMATION: the elements.
    """

    TOTAL = "total"
    FORMATION = "formation"


@dataclass(frozen=True)
class OutsideRecord:
    """One composition or crystal with its energy.

    Attributes:
        key: name in its source.
        formula: of the crystal, or as it is written.
        structure: the crystal; None where only the formula is known.
        energy_per_atom: eV/atom, as the source gives it.
        kind: what it is measured from.
        correction_per_atom: what the source adds before any hull, eV/atom.
    """

    key: str
    formula: str
    structure: Structure | None
    energy_per_atom: float
    kind: EnergyKind
    correction_per_atom: float = 0.0


def read_outside(path: str | Path, energy: str = "target", per_cell: bool = False) -> Iterator[OutsideRecord | Reject]:
    """The records of a file, in its order; what cannot be used comes as a reject.

    Args:
        path: a file of the kinds above.
        energy: column of a CSV file with the energies, eV/atom.
        per_cell: energies of a CSV file with crystals are eV per cell as the file describes it.

    Raises:
        StructureFileError: the file cannot be read, or is of no kind above; the message names it.
    """
    path = Path(path).expanduser()
    suffixes = [suffix.lower() for suffix in path.suffixes]
    try:
        if suffixes and suffixes[-1] == ".csv":
            yield from _csv(path, energy, per_cell)
        elif ".json" in suffixes:
            yield from _json(path)
        elif suffixes and suffixes[-1] in ASE_SUFFIXES:
            yield from _ase(path)
        else:
            raise StructureFileError(
                f"{path}: no file of energies; give CSV, pymatgen JSON (.gz, .bz2 too), extended XYZ or an ASE database"
            )
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, json.JSONDecodeError) as error:
        raise StructureFileError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error


def _csv(path: Path, energy: str, per_cell: bool) -> Iterator[OutsideRecord | Reject]:
    csv.field_size_limit(sys.maxsize)
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        header = list(reader.fieldnames or ())
        cif = next((name for name in header if name.strip().lower() == "cif"), None)
        formula = next((name for name in FORMULA_COLUMNS if name in header), None)
        if not header:
            raise StructureFileError(f"{path}: the file is empty")
        if cif is None and formula is None:
            raise StructureFileError(f"{path}: its columns are {', '.join(header)}; one must be formula or cif")
        if energy not in header:
            raise StructureFileError(f"{path}: no column {energy!r}; its columns are {', '.join(header)}")
        if cif is None and per_cell:
            raise StructureFileError(f"{path}: formulas have no cell: give energies per atom")
        named = next((name for name in NAME_COLUMNS if name in header), None)
        for row in reader:
            place, text = f"line {reader.line_num}", (row[energy] or "").strip()
            if not any((value or "").strip() for value in row.values() if isinstance(value, str)):
                continue  # an empty line
            value = _number(text)
            if value is None:
                yield Reject(str(path), place, text, f"column {energy}: no energy in eV")
                continue
            try:
                if cif is not None:
                    structure, n_sites = crystal_of_cif(row[cif] or "")
                    record = _crystal(row[named] if named else place, structure, value / (n_sites if per_cell else 1))
                else:
                    text = (row[formula or ""] or "").strip()
                    amounts_of(text)
                    record = OutsideRecord(row[named] if named else text, text, None, value, EnergyKind.FORMATION)
            except FormulaError as error:
                yield Reject(str(path), place, text, f"column {formula}: {error}")
            except Exception as error:  # a broken CIF raises whatever the parser stumbles over
                reason = f"column cif: {' '.join(str(error).split())}"
                yield Reject(str(path), place, (row[cif or ""] or "")[:60], reason)
            else:
                yield record


def _crystal(
    key: str, structure: Structure, energy: float, kind: EnergyKind = EnergyKind.FORMATION, correction: float = 0.0
) -> OutsideRecord:
    """A record of an ordered crystal.

    Raises:
        ValueError: it is disordered, or the energy is not finite.
    """
    if not structure.is_ordered:
        raise ValueError("partly occupied sites")
    if not math.isfinite(energy):
        raise ValueError(f"its energy is {energy}")
    plain = structure.copy().remove_oxidation_states()
    return OutsideRecord(key, plain.reduced_formula, plain, energy, kind, correction)


def _json(path: Path) -> Iterator[OutsideRecord | Reject]:
    with _opened(path) as file:
        data = json.load(file)
    items = data.get("entries", [data]) if isinstance(data, dict) else data
    if not isinstance(items, list):
        raise StructureFileError(f"{path}: no entry in it; give a ComputedStructureEntry or a list of them")
    for number, item in enumerate(items, start=1):
        place = f"entry {number}"
        try:
            entry = ComputedStructureEntry.from_dict(item)
            key, n = str(entry.entry_id or place), len(entry.structure)
            yield _crystal(
                key, entry.structure, entry.uncorrected_energy / n, EnergyKind.TOTAL, float(entry.correction) / n
            )
        except Exception as error:  # whatever a broken entry makes pymatgen raise
            missing = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
            value = str(item.get("entry_id", "")) if isinstance(item, dict) else str(item)[:60]
            yield Reject(str(path), place, value, missing)


def _opened(path: Path) -> IO[Any]:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return gzip.open(path, "rt")
    return bz2.open(path, "rt") if suffix == ".bz2" else path.open()


def _ase(path: Path) -> Iterator[OutsideRecord | Reject]:
    from ase.io import iread

    for number, atoms in enumerate(iread(path, index=":"), start=1):
        place = f"crystal {number}"
        try:
            if atoms.cell.rank < 3:
                raise ValueError("it has no cell")
            energy = atoms.get_potential_energy()
            key = str(atoms.info.get("material_id") or atoms.info.get("id") or place)
            yield _crystal(key, AseAtomsAdaptor.get_structure(atoms), float(energy) / len(atoms), EnergyKind.TOTAL)
        except Exception as error:  # no calculator, a broken crystal
            reason = " ".join(str(error).split()) or type(error).__name__
            yield Reject(str(path), place, atoms.get_chemical_formula(), reason)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
