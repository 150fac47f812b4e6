"""CSV files that spreadsheets may open: no cell of text from outside becomes a formula there.

A spreadsheet runs what begins with `=`, `+`, `-` or `@`. Such texts get an apostrophe, which it shows as text; numbers
stay as they are.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import Any, TextIO

_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r")


def harmless(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    if not isinstance(value, str) or not value.startswith(_BEGINNINGS):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


class CsvWriter:
    """As `csv.writer`, with harmless cells."""

    def __init__(self, file: TextIO, lineterminator: str = "\r\n") -> None:
        self._writer = csv.writer(file, lineterminator=lineterminator)

    def writerow(self, row: Iterable[Any]) -> None:
        """Write one row."""
        self._writer.writerow([harmless(value) for value in row])

    def writerows(self, rows: Iterable[Iterable[Any]]) -> None:
        """Write rows one by one."""
        for row in rows:
            self.writerow(row)
