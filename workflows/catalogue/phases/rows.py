"""A phase as a plain row, of the fields that `fields.py` describes."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from gnome_torch.spreadsheets import CsvWriter
from workflows.catalogue.fields import FIELDS, explained
from workflows.catalogue.known import Known

if TYPE_CHECKING:
    import pandas as pd

EMPTY = ("analogue", "displaced", "duplicate_of", "parent", "substitution")
"""Texts that are empty for nothing, in the place of None."""


@dataclass(frozen=True)
class PhaseRow:
    """One phase on or near the hull."""

    formula: str
    spacegroup: str
    spacegroup_number: int
    e_above_hull: float
    phase_separation_energy: float
    formation_energy: float
    new: bool
    prototype: str | None
    new_prototype: bool | None
    analogue: str
    duplicate_of: str
    likely_disorder: tuple[str, ...]
    e_above_hull_uncorrected: float | None
    correction_sensitive: bool
    unusual_elements: tuple[str, ...]
    round: int
    source: str
    parent: str
    substitution: str
    lineage: tuple[str, ...]
    predicted_formation_energy: float | None
    iqr: float | None
    theory: str
    entry: str
    crystals_tried: int
    unconfirmed: bool
    warnings: tuple[str, ...]
    recheck: str
    recheck_e_above_hull: float | None
    recheck_missing: tuple[str, ...]
    displaced: str
    decomposition: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it: lists in the place of tuples."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}


COLUMNS = tuple(field.name for field in fields(PhaseRow))
PhaseRow.__doc__ = explained(PhaseRow.__doc__, COLUMNS)


def row_of(known: Known) -> PhaseRow:
    """The row of a phase that stands on a hull."""
    values = {name: FIELDS[name].read(known) for name in COLUMNS}
    return PhaseRow(**{**values, **{name: values[name] or "" for name in EMPTY}})


def frame(rows: Iterable[PhaseRow]) -> pd.DataFrame:
    """A pandas frame, a phase a row, indexed by the key of its entry."""
    import pandas as pd

    return pd.DataFrame([row.as_dict() for row in rows], columns=list(COLUMNS)).set_index("entry")


def csv_of(rows: Iterable[PhaseRow]) -> str:
    """A CSV file, a phase a row; the parts of a list share a cell."""
    buffer = io.StringIO()
    writer = CsvWriter(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([FIELDS[name].cell(getattr(row, name)) for name in COLUMNS] for row in rows)
    return buffer.getvalue()
