"""Frames of an extended XYZ file, one text each, so that a broken one does not take the others with it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gnome_torch.data.texts import unpacked

COLUMNS = re.compile(r":[SRIL]:(\d+)")
"""How many columns a property has, in `Properties=species:S:1:pos:R:3`."""


class Frame(NamedTuple):
    """One frame.

    Attributes:
        line: number of its first line.
        text: its lines; of lines that are no frame, the first.
        problem: why it is none; "" for nothing.
    """

    line: int
    text: str
    problem: str = ""


def frames(path: Path) -> Iterator[Frame]:
    """The frames of a file: a number of atoms, a comment with `Lattice=`, a line each atom.

    Where a number of atoms should stand and does not, lines are passed over until the next frame begins.

    Raises:
        OSError, EOFError, zlib.error, lzma.LZMAError: the file cannot be read.
    """
    with unpacked(path) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace") as file:
        lines = enumerate(file, start=1)
        ahead: tuple[int, str] | None = next(lines, None)
        while ahead is not None:
            number, line = ahead
            if not line.strip():
                ahead = next(lines, None)
                continue
            count = _count(line)
            text = [line]
            ahead = next(lines, None)
            if count is None:
                while ahead is not None and _count(ahead[1]) is None:
                    ahead = next(lines, None)
                yield Frame(number, line.strip(), "no number of atoms where a frame should begin")
                continue
            while ahead is not None and len(text) < count + 2:
                # a number alone where an atom should stand: the frame is too short, and this is the next one
                if len(text) > 2 and _count(ahead[1]) is not None:
                    break
                text.append(ahead[1])
                ahead = next(lines, None)
            yield Frame(number, "".join(text), _problem(count, text))


def _problem(count: int, lines: list[str]) -> str:
    """What is wrong with a frame by what it announces, which libraries would make room for; empty for nothing."""
    if len(lines) < count + 2:
        return f"{count} atoms announced, {len(lines) - 2} there"
    announced = sum(int(number) for number in COLUMNS.findall(lines[1]))
    there = max((len(line.split()) for line in lines[2:]), default=0)
    return f"{announced} columns announced, {there} there" if announced > there else ""


def _count(line: str) -> int | None:
    """The number that a line consists of."""
    text = line.strip()
    return int(text) if text.isascii() and text.isdigit() else None
