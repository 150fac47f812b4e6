"""Records that could not be used: where each is, what is wrong, and that the rest went on."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gnome_torch.files import whole_file
from gnome_torch.spreadsheets import CsvWriter

COLUMNS = ("file", "place", "value", "reason")
SHOWN = 3
"""Rejects that are named on the terminal; the file has them all."""


@dataclass(frozen=True)
class Reject:
    """One record.

    Attributes:
        file: where it came from.
        place: line, name or number in the file.
        value: what was found there.
        reason: what is wrong with it.
    """

    file: str
    place: str
    value: str
    reason: str

    def __str__(self) -> str:
        value = self.value if len(self.value) <= 60 else f"{self.value[:60]}…"
        return f"{self.file}, {self.place}: {f'{value!r}: ' if value else ''}{self.reason}"


def rejects_of(out: Path) -> Path:
    """Where the rejects of what a file was made from are written: beside it."""
    return out.with_name(f"{out.name}.rejects.csv")


def write_rejects(rejects: Iterable[Reject], path: Path) -> None:
    """Write a CSV file, in place of what was there, when it is complete.

    Args:
        rejects: none removes the file.
        path: the file.
    """
    rejects = list(rejects)
    if not rejects:
        path.unlink(missing_ok=True)
        return
    with whole_file(path) as file:
        writer = CsvWriter(file)
        writer.writerow(COLUMNS)
        writer.writerows((some.file, some.place, some.value[:200], some.reason) for some in rejects)


def keep_rejects(rejects: Sequence[Reject], path: Path) -> None:
    """Write rejects down, as `write_rejects`, and name the first of them, and the file, on standard error."""
    write_rejects(rejects, path)
    for reject in rejects[:SHOWN]:
        print(f"gnome: left out: {reject}", file=sys.stderr)
    more = f"; {len(rejects) - SHOWN:,} more" if len(rejects) > SHOWN else ""
    if rejects:
        print(f"gnome: {len(rejects):,} left out, all in {path}{more}", file=sys.stderr)
