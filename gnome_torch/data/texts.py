"""Text files of crystals, plain or packed, within a limit."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

_OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError)
"""What a file that is not there, or is packed and torn, raises."""
MOST_TEXT = 256 << 20
"""Bytes of a CIF or POSCAR when unpacked; a thousand times the largest that there are."""


class TooLongError(ValueError):
    """More text than a file of crystals has."""


def plain_name(path: Path) -> str:
    """A file's name in small letters, without the ending of a packed one."""
    name = path.name.lower()
    return next((name.removesuffix(end) for end in _OPENERS if name.endswith(end)), name)


def unpacked(path: Path, file: BinaryIO | None = None) -> BinaryIO:
    """A file to read bytes from, unpacked on the way if its name ends in `.gz`, `.bz2` or `.xz`.

    Args:
        path: the file.
        file: the same, open already: its position tells how much of it has been read.
    """
    opener = _OPENERS.get(path.suffix.lower())
    return cast("BinaryIO", opener(file or path, "rb") if opener else file or path.open("rb"))


def read_text(path: Path, most: int = MOST_TEXT) -> str:
    """The text of a file in UTF-8, or else in Latin-1, which older programs write.

    Args:
        path: the file.
        most: bytes that it may have when unpacked.

    Raises:
        TooLongError: it has more.
        OSError, EOFError, zlib.error, lzma.LZMAError (`UNREADABLE`): it cannot be read or unpacked.
    """
    with unpacked(path) as file:
        raw = file.read(most + 1)
    if len(raw) > most:
        raise TooLongError(f"more than {most >> 20} MB of text")
    return text_of(raw)


def text_of(raw: bytes) -> str:
    """Bytes as text: UTF-8, or else Latin-1."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
