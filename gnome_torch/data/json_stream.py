"""The items of a large JSON file, one at a time.

The standard library's decoder on a window of the text: unlike the streaming parsers, it takes the NaN that Python and
pymatgen write for an unknown uncertainty, and its speed is C's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from json.decoder import JSONDecoder
from typing import Any, TextIO

_WINDOW = 1 << 20  # characters
MOST_ITEM = 256 << 20
"""Characters of one item; a thousand times the largest crystal that there is."""
MOST_BLANKS = 64 << 20
"""White space in one piece, characters: more is no file that a program wrote, but a trap for those that read it."""
_NOT_BLANK = re.compile(r"[^ \t\r\n]")


class JsonLimitError(json.JSONDecodeError):
    """JSON that no program wrote for others to read: too long or too deep in one piece."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "", 0)

    def __str__(self) -> str:
        return self.msg


def json_items(file: TextIO, key: str) -> Iterator[Any]:
    """The items of a list, or of the list that an object holds under a key; any other object as one item.

    Several of these may follow one another, as in a file of a JSON object a line.

    Args:
        file: an open text file.
        key: name of the list.

    Raises:
        json.JSONDecodeError: the text is not JSON, ends too early, is nested too deeply, has an item or a piece of
            white space above the limits, or is neither list nor object; the items before that have been given.
    """
    text = _Window(file)
    first = text.peek()
    while first:
        if first == "[":
            yield from _list(text)
        elif first == "{":
            yield from _object(text, key)
        else:
            raise json.JSONDecodeError("neither a list nor an object", first, 0)
        first = text.peek()


def _object(text: _Window, key: str) -> Iterator[Any]:
    """The items that an object holds under a key, or the object."""
    whole: dict[str, Any] = {}
    found = False
    text.take("{")
    while text.peek() != "}":
        name = text.value()
        text.take(":")
        if name == key and text.peek() == "[":
            found = True
            yield from _list(text)
        else:
            value = text.value()
            if not found:
                whole[name] = value
        if text.peek() != "}":
            text.take(",")
    text.take("}")
    if not found:
        yield whole


def _list(text: _Window) -> Iterator[Any]:
    text.take("[")
    while text.peek() != "]":
        yield text.value()
        if text.peek() != "]":
            text.take(",")
    text.take("]")


class _Window:
    """The part of a text that is being read."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._at = 0
        self._decoder = JSONDecoder()

    def peek(self) -> str:
        """The next character that is not white space, "" at the end."""
        blanks = 0
        while True:
            found = _NOT_BLANK.search(self._text, self._at)
            end = found.start() if found else len(self._text)
            blanks += end - self._at
            if blanks > MOST_BLANKS:
                raise JsonLimitError(f"more than {MOST_BLANKS >> 20} MB of white space in one piece")
            self._at = end
            if found or not self._more(_WINDOW):
                return self._text[self._at : self._at + 1]

    def take(self, character: str) -> None:
        if self.peek() != character:
            raise json.JSONDecodeError(f"'{character}' expected", self._text, self._at)
        self._at += 1

    def value(self) -> Any:
        self.peek()
        size = _WINDOW
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except RecursionError:
                raise JsonLimitError("nested too deeply") from None
            except json.JSONDecodeError:
                if len(self._text) - self._at > MOST_ITEM:
                    raise JsonLimitError(f"more than {MOST_ITEM >> 20} MB in one item") from None
                if not self._more(size):
                    raise
            else:
                # "1" at the end of the window may be the beginning of "1.5e3"
                if self._text[end : end + 1] in (",", "]", "}", ":", " ", "\n", "\r", "\t") or not self._more(size):
                    self._at = end
                    return value
            size = min(2 * size, MOST_ITEM)  # so that a long value is not read again and again

    def _more(self, size: int) -> bool:
        """Read on, forgetting what has been read; False at the end."""
        new = self._file.read(size)
        if new:
            self._text = self._text[self._at :] + new
            self._at = 0
        return bool(new)
