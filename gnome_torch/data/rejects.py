"""Records that could not be used: where each is, what is wrong, and that the rest went on."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

COLUMNS = ("file", "place", "value", "reason")


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
        return f"{self.file}, {self.place}: {value!r}: {self.reason}"


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
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows((some.file, some.place, some.value[:200], some.reason) for some in rejects)
    os.replace(partial, path)
