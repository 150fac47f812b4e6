"""What GNoME published: `stable_materials_summary.csv` and its crystals, a zip of CIF files.

Columns that are read: `MaterialId`, `Composition` (of the cell), `Corrected Energy` (eV per cell, MP2020 corrections
included: DATASET.md of google-deepmind/materials_discovery). The tables of outside data that were released with it
(`external_materials_summary.csv`, `mp_materials_summary.csv`) have the same columns, and no crystals.
"""

from __future__ import annotations

import csv
import io
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gnome_torch.data.cif import crystal_of_cif
from gnome_torch.data.energy_files import EnergyFile
from gnome_torch.data.kinds import EnergyKind
from gnome_torch.data.origins import GNOME
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
from gnome_torch.data.rejects import Reject
from gnome_torch.data.texts import MOST_TEXT, TooLongError, text_of
from gnome_torch.stability.formulas import composition_of

KEY, CELL, ENERGY, FORMULA = "MaterialId", "Composition", "Corrected Energy", "Reduced Formula"


@dataclass(frozen=True)
class GnomeRelease:
    """The table and its crystals, as a source. Its energies hold their corrections.

    Attributes:
        summary: the CSV file.
        crystals: zip of CIF files named by MaterialId, reduced formula or composition; None for the energies alone.
    """

    summary: Path
    crystals: Path | None = None

    name = "gnome"
    origin = GNOME
    corrected = True
    potentials = ""
    unique_keys = True
    unchanging = True

    @property
    def identity(self) -> Mapping[str, object]:
        """Those of its files."""
        files = [path for path in (self.summary, self.crystals) if path is not None]
        return {"release": [EnergyFile(path).identity for path in files]}

    def batches(self, position: Position | None = None) -> Iterator[Batch]:
        """The records after a position, which counts lines of the summary.

        Raises:
            SourceError: a file cannot be read (further).
        """
        return in_batches(self._steps(int(position or 0)))

    def _steps(self, after: int) -> Iterator[Step]:
        try:
            if self.crystals is None:
                yield from self._rows(after, None, {})
                return
            with zipfile.ZipFile(self.crystals) as archive:
                yield from self._rows(after, archive, _by_stem(archive))
        except zipfile.BadZipFile as error:
            raise SourceError(f"{self.crystals}: no zip file: {one_line(error)}") from error
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise SourceError(f"{self.summary}: cannot be read: {one_line(error)}") from error

    def _rows(self, after: int, archive: zipfile.ZipFile | None, names: Mapping[str, str]) -> Iterator[Step]:
        csv.field_size_limit(sys.maxsize)
        size = max(self.summary.stat().st_size, 1)
        with self.summary.open("rb") as raw:
            reader = csv.DictReader(io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline=""))
            header = list(reader.fieldnames or ())
            missing = [column for column in (KEY, CELL, ENERGY) if column not in header]
            if missing:
                raise SourceError(
                    f"{self.summary}: no column {missing[0]!r}, so no table of GNoME's release; "
                    f"its columns are {', '.join(header) or 'none'}"
                )
            seen: set[str] = set()
            for row in reader:
                key = (row[KEY] or "").strip()
                repeated = key in seen
                seen.add(key)
                if reader.line_num > after:
                    place = f"line {reader.line_num}"
                    item = (
                        Reject(str(self.summary), place, key, f"column {KEY}: it occurs before, or is empty")
                        if repeated or not key
                        else found_at(self._row(row, place, archive, names), str(self.summary), place)
                    )
                    yield Step(reader.line_num, min(raw.tell() / size, 1.0), item)

    def _row(
        self, row: Mapping[str, str], place: str, archive: zipfile.ZipFile | None, names: Mapping[str, str]
    ) -> OutsideRecord | Reject:
        key = (row[KEY] or "").strip()
        energy = number_of(row[ENERGY] or "")
        try:
            if energy is None:
                raise ValueError(f"column {ENERGY}: {row[ENERGY]!r} is not an energy in eV")
            cell = composition_of(row[CELL] or "")
            if archive is None:
                return OutsideRecord(key, cell.reduced_formula, None, energy / cell.num_atoms, EnergyKind.TOTAL)
            keys = (key, row.get(FORMULA) or "", row[CELL])
            name = next((names[some.lower()] for some in keys if some.lower() in names), None)
            if name is None:
                raise ValueError(f"no crystal of this name in {self.crystals}")
            structure, _ = crystal_of_cif(_text(archive, name))
            if structure.composition.reduced_composition != cell.reduced_composition:
                raise ValueError(f"the crystal {name} is {structure.reduced_formula}, the table says {row[CELL]}")
            return crystal_record(key, structure, energy / cell.num_atoms, EnergyKind.TOTAL)
        except Exception as error:  # a broken CIF raises whatever the parser stumbles over
            return Reject(str(self.summary), place, key, one_line(error))


def _by_stem(archive: zipfile.ZipFile) -> dict[str, str]:
    """Names in the archive by the file's own name without its ending, in small letters."""
    return {Path(name).stem.lower(): name for name in archive.namelist() if name.lower().endswith(".cif")}


def _text(archive: zipfile.ZipFile, name: str) -> str:
    """The text of a file in the archive."""
    if archive.getinfo(name).file_size > MOST_TEXT:
        raise TooLongError(f"{name}: more than {MOST_TEXT >> 20} MB of text")
    return text_of(archive.read(name))
