"""Files of energies, read record by record, however large.

| file | energies |
|---|---|
| CSV with a column `formula` | of formation unless said otherwise, in a column that is named, eV/atom |
| CSV with a column `cif` | the same, per atom or per cell |
| pymatgen JSON: ComputedStructureEntry, one a line, a list, or one under "entries" | total |
| pymatgen JSON: ComputedEntry, which has no crystal | total |
| VASP: vasprun.xml (.gz, .bz2), directories of such calculations, JSON documents of atomate2 or jobflow | total |
| extended XYZ, ASE databases and trajectories | total, of the calculator that is stored with the crystal |

CSV, JSON and extended XYZ may be packed: .gz, .bz2, .xz.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pymatgen.entries.computed_entries import ComputedEntry, ComputedStructureEntry

from gnome_torch.data.ase_crystals import atoms_of_frame, crystal_of_atoms
from gnome_torch.data.cif import crystal_of_cif
from gnome_torch.data.csv_rows import csv_header, csv_rows
from gnome_torch.data.extxyz_frames import frames
from gnome_torch.data.files import FORMULA_COLUMNS, NAME_COLUMNS
from gnome_torch.data.json_stream import json_items
from gnome_torch.data.kinds import EnergyKind
from gnome_torch.data.origins import NOT_STATED, Origin
from gnome_torch.data.outside import (
    Batch,
    OutsideRecord,
    Position,
    SourceError,
    Step,
    crystal_record,
    found_at,
    in_batches,
    number_of,
    one_line,
)
from gnome_torch.data.pymatgen_json import plain_entry
from gnome_torch.data.rejects import Reject
from gnome_torch.data.texts import UNREADABLE, plain_name, unpacked
from gnome_torch.data.vasp_runs import is_task, is_vasprun, task_record, vasprun_record, vaspruns
from gnome_torch.stability.formulas import FormulaError, amounts_of


@dataclass(frozen=True)
class EnergyFile:
    """A file of the kinds above, as a source.

    Attributes:
        path: the file.
        energy: column of a CSV file with the energies, eV.
        per_cell: these are per cell as the file describes it, not per atom.
        kind: what these are measured from.
        licence: of what is in it, where that is known.
        citation: of who has published it.
    """

    path: Path
    energy: str = "target"
    per_cell: bool = False
    kind: EnergyKind = EnergyKind.FORMATION
    licence: str = ""
    citation: str = ""

    corrected = False
    potentials = ""
    unique_keys = False
    unchanging = True

    @property
    def name(self) -> str:
        """The file's own, whatever its folder."""
        return f"file:{self.path.name}"

    @property
    def origin(self) -> Origin:
        """The file, and what its user says of it."""
        return Origin(self.path.name, licence=self.licence or NOT_STATED, citation=self.citation)

    @property
    def identity(self) -> Mapping[str, object]:
        """Path, size, time of the last change (of all calculations in a directory), and how its energies are read.

        Raises:
            SourceError: the file is not there.
        """
        try:
            stats = [path.stat() for path in (vaspruns(self.path) if self.path.is_dir() else [self.path])]
        except OSError as error:
            raise SourceError(f"{self.path}: cannot be read: {error.strerror}") from error
        return {
            "path": str(self.path.resolve()),
            "bytes": sum(stat.st_size for stat in stats),
            "modified": max(stat.st_mtime_ns for stat in stats),
            "energy": self.energy,
            "per_cell": self.per_cell,
            "kind": self.kind.value,
            # said later than at the first import, it is to reach the entries; unsaid, it changes no key of old imports
            **({"licence": self.licence} if self.licence else {}),
            **({"citation": self.citation} if self.citation else {}),
        }

    def batches(self, position: Position | None = None) -> Iterator[Batch]:
        """The records after a position, which is the number of a record, in CSV of a line.

        Raises:
            SourceError: the file cannot be read (further).
        """
        return in_batches(self._steps(int(position or 0)))

    def records(self) -> Iterator[OutsideRecord | Reject]:
        """The records one by one.

        Raises:
            SourceError: as `batches`.
        """
        return (step.item for step in self._steps(0))

    def _steps(self, after: int) -> Iterator[Step]:
        name = Path(plain_name(self.path))
        try:
            if self.path.is_dir() or is_vasprun(self.path):
                yield from self._vasp(after)
            elif name.suffix == ".csv":
                yield from self._csv(after)
            elif {".json", ".jsonl"} & set(name.suffixes):
                yield from self._json(after)
            elif name.suffix in (".xyz", ".extxyz"):
                yield from self._extxyz(after)
            elif self.path.suffix.lower() in READERS:
                yield from READERS[self.path.suffix.lower()](self, after)
            else:
                raise SourceError(
                    f"{self.path}: no file of energies; give CSV, pymatgen JSON, extended XYZ (these packed, too: .gz, "
                    ".bz2, .xz), an ASE database, or vasprun.xml and directories of them"
                )
        except (*UNREADABLE, UnicodeDecodeError, csv.Error, json.JSONDecodeError) as error:
            raise SourceError(f"{self.path}: cannot be read: {one_line(error)}") from error

    def _csv(self, after: int) -> Iterator[Step]:
        header = csv_header(self.path)
        if not header:
            raise SourceError(f"{self.path}: the file is empty")
        cif = next((name for name in header if name.strip().lower() == "cif"), None)
        formula = next((name for name in FORMULA_COLUMNS if name in header), None)
        if cif is None and formula is None:
            raise SourceError(f"{self.path}: its columns are {', '.join(header)}; one must be formula or cif")
        if self.energy not in header:
            raise SourceError(f"{self.path}: no column {self.energy!r}; its columns are {', '.join(header)}")
        if cif is None and self.per_cell:
            raise SourceError(f"{self.path}: formulas have no cell: give energies per atom")
        named = next((name for name in NAME_COLUMNS if name in header), None)
        for row in csv_rows(self.path):
            if row.line <= after:
                continue  # read before
            place = f"line {row.line}"
            item: OutsideRecord | Reject
            if row.problem:
                item = Reject(str(self.path), place, row.text, row.problem)
            else:
                item = found_at(self._row(row.fields, place, cif, formula, named), str(self.path), place)
            yield Step(row.line, row.done, item)

    def _row(
        self, row: Mapping[str, str], place: str, cif: str | None, formula: str | None, named: str | None
    ) -> OutsideRecord | Reject:
        text = (row[self.energy] or "").strip()
        value = number_of(text)
        if value is None:
            return Reject(str(self.path), place, text, f"column {self.energy}: no energy in eV")
        if cif is None:
            text = (row[formula or ""] or "").strip()
            try:
                amounts_of(text)
            except FormulaError as error:
                return Reject(str(self.path), place, text, f"column {formula}: {error}")
            return OutsideRecord((row[named] if named else "") or text, text, None, value, self.kind)
        try:
            structure, n_sites = crystal_of_cif(row[cif] or "")
            key = (row[named] if named else "") or place
            return crystal_record(key, structure, value / (n_sites if self.per_cell else 1), self.kind)
        except Exception as error:  # a broken CIF raises whatever the parser stumbles over
            return Reject(str(self.path), place, (row[cif] or "")[:60], f"column cif: {one_line(error)}")

    def _json(self, after: int) -> Iterator[Step]:
        size = max(self.path.stat().st_size, 1)
        with self.path.open("rb") as raw, unpacked(self.path, raw) as file:
            text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace")
            for number, item in enumerate(json_items(text, "entries"), start=1):
                if number > after:
                    place = f"entry {number}"
                    found = found_at(self._entry(item, place), str(self.path), place)
                    yield Step(number, min(raw.tell() / size, 1.0), found)

    def _entry(self, item: Any, place: str) -> OutsideRecord | Reject:
        try:
            return entry_record(item, place)
        except Exception as error:  # whatever a broken entry makes pymatgen raise
            value = str(item.get("entry_id", "")) if isinstance(item, dict) else str(item)[:60]
            return Reject(str(self.path), place, value, one_line(error))

    def _vasp(self, after: int) -> Iterator[Step]:
        runs = vaspruns(self.path)
        for number, path in enumerate(runs, start=1):
            if number <= after:
                continue
            key = str(path.parent.relative_to(self.path)) if self.path.is_dir() else path.name
            item: OutsideRecord | Reject
            try:
                item = found_at(vasprun_record(path, key), str(path), f"calculation {number}")
            except Exception as error:  # whatever half a file makes pymatgen raise
                item = Reject(str(path), f"calculation {number}", key, one_line(error))
            yield Step(number, number / len(runs), item)

    def _extxyz(self, after: int) -> Iterator[Step]:
        for number, frame in enumerate(frames(self.path), start=1):
            if number <= after:
                continue
            place = f"crystal {number}, line {frame.line}"
            item: OutsideRecord | Reject
            try:
                if frame.problem:
                    raise ValueError(frame.problem)
                item = self._atoms(atoms_of_frame(frame.text), f"crystal {number}", place)
            except Exception as error:  # ASE's reader raises whatever it stumbles over
                item = Reject(str(self.path), place, frame.text.splitlines()[0], one_line(error))
            yield Step(number, None, item)

    def _database(self, after: int) -> Iterator[Step]:
        from ase.db import connect

        if not self.path.is_file():
            raise SourceError(f"{self.path}: no such file")
        with connect(self.path) as database:
            for number, row in self._until_torn(database.select()):
                if number <= after:
                    continue
                place = f"crystal {number}, row {row.id}"
                item: OutsideRecord | Reject
                try:
                    item = self._atoms(row.toatoms(add_additional_information=True), f"crystal {number}", place)
                except Exception as error:  # a broken row raises whatever ASE stumbles over
                    item = Reject(str(self.path), place, str(row.get("formula", "")), one_line(error))
                yield Step(number, None, item)

    def _trajectory(self, after: int) -> Iterator[Step]:
        from ase.io import iread

        for number, atoms in self._until_torn(iread(self.path, index=":")):
            if number > after:
                place = f"crystal {number}"
                yield Step(number, None, self._atoms(atoms, place, place))

    def _until_torn(self, items: Iterator[Any]) -> Iterator[tuple[int, Any]]:
        """What one of ASE's readers gives, with numbers from 1.

        Raises:
            SourceError: it cannot go on: these readers raise whatever they stumble over.
        """
        number = 0
        while True:
            try:
                item = next(items)
            except StopIteration:
                return
            except Exception as error:
                raise SourceError(f"{self.path}: cannot be read after crystal {number}: {one_line(error)}") from error
            number += 1
            yield number, item

    def _atoms(self, atoms: Any, name: str, place: str) -> OutsideRecord | Reject:
        try:
            structure = crystal_of_atoms(atoms)
            if atoms.calc is None:
                return Reject(str(self.path), place, atoms.get_chemical_formula(), "it has no energy")
            energy = float(atoms.get_potential_energy()) / len(atoms)
            info = {**atoms.info, **atoms.info.get("key_value_pairs", {})}
            key = str(info.get("material_id") or info.get("id") or name)
            record = crystal_record(key, structure, energy, EnergyKind.TOTAL)
            return found_at(record, str(self.path), place)
        except Exception as error:  # a calculator without an energy, a broken crystal
            return Reject(str(self.path), place, atoms.get_chemical_formula(), one_line(error))


def entry_record(item: Any, key: str) -> OutsideRecord:
    """The record of an entry of pymatgen, or of a document of atomate2; its own name takes the place of `key`.

    Raises:
        Exception: whatever a broken one makes pymatgen raise.
    """
    if is_task(item):
        return task_record(item, key)
    if "structure" not in item and "composition" in item:
        return _formula_record(item, key)
    entry = ComputedStructureEntry.from_dict(plain_entry(item))
    n = len(entry.structure)
    record = crystal_record(
        str(entry.entry_id or key),
        entry.structure,
        entry.uncorrected_energy / n,
        EnergyKind.TOTAL,
        float(entry.correction) / n,
        _parameters(entry),
    )
    return replace(record, licence=str(entry.data.get("licence") or ""))  # as our own exports have it


def _formula_record(item: Any, key: str) -> OutsideRecord:
    """The record of an entry without a crystal."""
    entry = ComputedEntry.from_dict(plain_entry(item))
    formula, n = entry.composition.element_composition.formula.replace(" ", ""), entry.composition.num_atoms
    amounts_of(formula)
    energy, shift = float(entry.uncorrected_energy) / n, float(entry.correction) / n
    if not math.isfinite(energy + shift):
        raise ValueError(f"its energy is {energy + shift}")
    name = str(entry.entry_id or key)
    return OutsideRecord(name, formula, None, energy, EnergyKind.TOTAL, shift, _parameters(entry))


def _parameters(entry: ComputedEntry) -> dict[str, Any] | None:
    """What an entry was computed with, if it says so."""
    if not entry.parameters.get("run_type"):
        return None
    states = entry.data.get("oxidation_states")
    known = {"oxidation_states": dict(states)} if isinstance(states, dict) and states else {}
    return {name: entry.parameters.get(name) for name in ("run_type", "hubbards")} | known


READERS = {
    ".db": EnergyFile._database,
    ".traj": EnergyFile._trajectory,
}
"""Readers of ASE's own files, by the end of the name."""
