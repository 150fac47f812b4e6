"""Rows of a CSV file one by one, where a broken one does not take the others with it.

Without a column of crystals a row is a line: a quote that is never closed ends there. Bytes that are no UTF-8 become
replacement characters, which no formula and no number has.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from gnome_torch.data.texts import unpacked


class CsvRow(NamedTuple):
    """One row.

    Attributes:
        line: number of its (last) line.
        done: share of the file that has been read.
        fields: text of each column, stripped; empty where the row is too short.
        problem: why it cannot be read; "" for nothing.
        text: the line, of one that cannot be read.
    """

    line: int
    done: float
    fields: dict[str, str]
    problem: str = ""
    text: str = ""


def csv_header(path: Path) -> list[str]:
    """Names of the columns; none for an empty file.

    Raises:
        OSError, EOFError, zlib.error, lzma.LZMAError, csv.Error: it cannot be read.
    """
    with unpacked(path) as raw:
        return next(csv.reader([_text(raw).readline().rstrip("\r\n")]), [])


def csv_rows(path: Path) -> Iterator[CsvRow]:
    """The rows below the header, empty lines left out.

    Raises:
        OSError, EOFError, zlib.error, lzma.LZMAError, csv.Error: the file cannot be read.
    """
    csv.field_size_limit(sys.maxsize)
    size = max(path.stat().st_size, 1)
    with path.open("rb") as packed, unpacked(path, packed) as raw:
        text = _text(raw)
        header = next(csv.reader([text.readline().rstrip("\r\n")]), [])
        several_lines = any(name.strip().lower() == "cif" for name in header)
        for line, values, problem in _long_rows(text) if several_lines else _lines(text):
            if problem or any(value.strip() for value in values):
                fields = dict.fromkeys(header, "") | {k: v.strip() for k, v in zip(header, values, strict=False)}
                yield CsvRow(line, min(packed.tell() / size, 1.0), fields, problem, values[0] if problem else "")


def _text(raw: BinaryIO) -> io.TextIOWrapper:
    return io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="")


def _lines(text: io.TextIOWrapper) -> Iterator[tuple[int, list[str], str]]:
    for line, raw in enumerate(text, start=2):
        content = raw.replace("\0", "\ufffd").strip("\r\n")
        try:
            yield line, next(csv.reader([content], strict=True), []), ""
        except csv.Error as error:
            yield line, [content], f"no row of a CSV file: {error}"


def _long_rows(text: io.TextIOWrapper) -> Iterator[tuple[int, list[str], str]]:
    reader = csv.reader(line.replace("\0", "\ufffd") for line in text)
    for values in reader:
        yield reader.line_num + 1, values, ""
