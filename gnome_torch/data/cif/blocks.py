"""The text of a CIF as blocks of values and loops (Hall, Allen, Brown, Acta Cryst. A47, 655, 1991).

Names of data items are lower case here, with `_` for the `.` of newer dictionaries.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import NamedTuple

_TOKEN = re.compile(r"""'(.*?)'(?=\s|$)|"(.*?)"(?=\s|$)|(\#.*)|(\S+)""")
_WORDS = ("loop_", "data_", "save_", "global_", "stop_")
_CRYSTAL = ("_cell_", "_atom_site_", "_symmetry_", "_space_group_", "_chemical_formula_sum")
UNKNOWN = ("", "?", ".")
"""What stands for a value that is not known or does not apply."""


class CifError(ValueError):
    """A CIF that does not say which crystal it describes; one line that says why."""


@dataclass(frozen=True)
class Block:
    """One block.

    Attributes:
        name: as it stands behind `data_`.
        values: item -> text.
        columns: item of a loop -> texts, one a row.
        lines: item -> line of its value, or of each row.
        problem: why it cannot be read; "" for nothing.
    """

    name: str
    values: dict[str, str] = field(default_factory=dict)
    columns: dict[str, Sequence[str]] = field(default_factory=dict)
    lines: dict[str, Sequence[int]] = field(default_factory=dict)
    problem: str = ""

    @property
    def has_crystal(self) -> bool:
        """Whether it describes a cell or sites; others hold a bibliography or a diffractogram."""
        return bool(self.problem) or any(
            item.startswith(("_cell_", "_atom_site_")) for item in (*self.values, *self.columns)
        )

    def value(self, *items: str) -> str:
        """The first of these items that is known, "" for none; a loop of one row is a value too."""
        for item in items:
            column = self.columns.get(item, ())
            text = self.values.get(item) or (column[0] if len(column) == 1 else "")
            if text not in UNKNOWN:
                return text
        return ""

    def column(self, item: str) -> Sequence[str]:
        """The texts of an item of a loop; one that stands alone is a loop of one row."""
        return self.columns.get(item) or ([self.values[item]] if item in self.values else [])

    def line(self, item: str, row: int = 0) -> int:
        """Line of an item, in a loop of its row."""
        return self.lines[item][row]


class _Token(NamedTuple):
    text: str
    quoted: bool
    line: int

    @property
    def is_name(self) -> bool:
        return not self.quoted and self.text.startswith("_")

    @property
    def is_word(self) -> bool:
        return not self.quoted and self.text.lower().startswith(_WORDS)


def blocks_of(text: str) -> list[Block]:
    """The blocks of a text, in its order.

    One with two values for an item of the crystal, or a loop of it that is not complete, has a problem.

    Raises:
        CifError: a text in it never ends.
    """
    tokens = list(_tokens(text))
    starts = [i for i, token in enumerate(tokens) if token.is_word and token.text.lower().startswith("data_")]
    return [_block(tokens[start:end]) for start, end in pairwise([*starts, len(tokens)])]


def _tokens(text: str) -> Iterator[_Token]:
    long: list[str] | None = None
    began = 0
    for number, line in enumerate(text.splitlines(), start=1):
        ends = line.startswith(";")
        if long is not None and not ends:
            long.append(line)
            continue
        if long is None and ends:
            long, began = [line[1:]], number
            continue
        if long is not None:
            yield _Token("\n".join(long), True, began)
            long = None
        for match in _TOKEN.finditer(line[1:] if ends else line):
            if match[3] is None:
                quoted = match[4] is None
                yield _Token((match[1] if match[1] is not None else match[2]) if quoted else match[4], quoted, number)
    if long is not None:
        raise CifError(f"line {began}: a text that begins with ';' and never ends")


def _block(tokens: Sequence[_Token]) -> Block:
    block = Block(tokens[0].text[len("data_") :])
    try:
        _fill(block, tokens)
    except CifError as error:
        return replace(block, problem=str(error))
    return block


def _fill(block: Block, tokens: Sequence[_Token]) -> None:
    at = 1
    while at < len(tokens):
        token = tokens[at]
        if token.is_word and token.text.lower() == "loop_":
            at = _loop(tokens, at + 1, block)
        elif token.is_name:
            follows = at + 1 < len(tokens) and not (tokens[at + 1].is_name or tokens[at + 1].is_word)
            _put(block, token, tokens[at + 1].text if follows else "")
            at += 2 if follows else 1
        else:
            at += 1  # a word of the syntax, or a value without a name


def _put(block: Block, name: _Token, text: str) -> None:
    item = _item(name)
    other = block.values.get(item, text)
    if other != text and item.startswith(_CRYSTAL):
        raise CifError(f"line {name.line}: {name.text} is {text!r}, and {other!r} before")
    block.values.setdefault(item, text)
    block.lines.setdefault(item, [name.line])


def _loop(tokens: Sequence[_Token], at: int, block: Block) -> int:
    """Read a loop; return where it ends."""
    begin = at
    while at < len(tokens) and tokens[at].is_name:
        at += 1
    items = [_item(token) for token in tokens[begin:at]]
    first = at
    while at < len(tokens) and not (tokens[at].is_name or tokens[at].is_word):
        at += 1
    values = tokens[first:at]
    if not items or len(values) % len(items):
        if any(item.startswith(_CRYSTAL) for item in items):
            line = tokens[begin].line
            raise CifError(f"line {line}: a loop of {len(items)} items has {len(values)} values: not whole rows")
        return at  # bibliography: nothing of the crystal
    for number, item in enumerate(items):
        column = values[number :: len(items)]
        if item in block.columns and item.startswith(_CRYSTAL):
            raise CifError(f"line {tokens[begin + number].line}: {tokens[begin + number].text} stands in two loops")
        block.columns[item] = [token.text.strip() for token in column]
        block.lines[item] = [token.line for token in column]
    return at


def _item(token: _Token) -> str:
    return token.text.lower().replace(".", "_").rstrip("_")
