"""Formulas of hydrates, double salts and other compounds of several parts: `CaSO4.2H2O`, `3CaO.Al2O3.3CaSO4.32H2O`.

The parts stand between `.`, `·`, `*` or the like, each with how often it occurs before it, which may be a fraction. A
dot between two digits may be a decimal one as well: `K2SO4.2MgSO4`, `Li2.5La3O9`. It divides where a whole molecule of
water or the like follows; and where a compound stands on either side, and an element of the one comes again in the
other (nobody writes one twice in a formula with decimals), or the formula has other parts or begins with a count. Where
nothing says which, the formula is refused.
"""

from __future__ import annotations

import re
from fractions import Fraction


class AmbiguousFormulaError(ValueError):
    """A formula that can be read in two ways; the message says which, and what to write."""


_COUNT = r"(?:\d+/\d+|\d*\.\d+|\d+)"
_SIGNS = re.compile(r"[·•∙⋅*]")
_AS_ASCII = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789") | {ord("½"): "1/2", ord("¼"): "1/4", ord("¾"): "3/4"}
_MARK = re.compile(r"\s*([.·])\s*")
_PART = re.compile(rf"\s*({_COUNT})?\s*([A-Z(\[].*?)\s*")
_WATER = re.compile(rf"{_COUNT}\s*[(\[]?(?:H2O|D2O|OH2|H2O2|NH3)[)\]]?\s*(?:$|[·.])")
_SYMBOL = re.compile(r"[A-Z][a-z]?")
_ANIONS = {"H", "N", "O", "F", "S", "Cl", "Se", "Br", "Te", "I"}


def in_brackets(formula: str) -> str:
    """A formula of several parts in the words of pymatgen: `(CaSO4)1.0(H2O)2.0` for `CaSO4.2H2O`; others as they are.

    A text that is none of this is returned as it is, for whoever reads it to refuse.

    Raises:
        AmbiguousFormulaError: a dot in it may separate two parts, and may be a decimal one.
    """
    text = formula.translate(_AS_ASCII) if not formula.isascii() else formula
    if "." not in text and not _SIGNS.search(text):
        return text
    return _read(_SIGNS.sub("·", text))


def _read(text: str) -> str:
    """The parts of a text, and those of its groups in brackets, one after the other in brackets."""
    masked = _masked(text)
    if masked is None or not re.search("[.·]", text):
        return text
    marks = _separators(text, masked)
    begins, ends = [0, *(end for _, end in marks)], [*(start for start, _ in marks), len(text)]
    written = [text[begin:end] for begin, end in zip(begins, ends, strict=True)]
    parts = [_PART.fullmatch(part) for part in written]
    found = [(_with_groups_read(part[2]), _number(part[1] or "1")) for part in parts if part is not None]
    if len(found) < len(parts) or not all(count > 0 for _, count in found):
        return "·".join(written)  # no dot in it is taken for a decimal one
    if len(found) == 1 and found[0][1] == 1:
        return found[0][0]
    return "".join(f"({part}){count}" for part, count in found)


def _masked(text: str) -> str | None:
    """The text with nothing but `x` inside of brackets; None where they do not match."""
    depth, letters = 0, []
    for letter in text:
        depth -= letter in ")]"
        letters.append("x" if depth > 0 else letter)
        depth += letter in "(["
        if depth < 0:
            return None
    return "".join(letters) if depth == 0 else None


def _with_groups_read(part: str) -> str:
    """A part whose groups in brackets have been read."""
    masked = _masked(part) or part
    groups = re.finditer(r"[(\[](x*)[)\]]", masked)
    pieces, end = [], 0
    for group in groups:
        pieces += [part[end : group.start(1)], _read(part[group.start(1) : group.end(1)])]
        end = group.end(1)
    return "".join([*pieces, part[end:]])


def _separators(text: str, masked: str) -> list[tuple[int, int]]:
    """Where a text is divided into parts: begin and end of each separator, the spaces around it included."""
    found: list[tuple[int, int]] = []
    for mark in _MARK.finditer(masked):
        begin = found[-1][1] if found else 0
        if mark[1] == "·" or _separates(text, masked, begin, mark):
            found.append(mark.span())
    return found


def _separates(text: str, masked: str, begin: int, dot: re.Match[str]) -> bool:
    """Whether a dot divides the part that begins at `begin` from the next.

    Raises:
        AmbiguousFormulaError: nobody can know.
    """
    left, right = masked[begin : dot.start()], masked[dot.end() :]
    if re.fullmatch(r"\s*\d*", left):  # of the count
        return False
    if dot[0] != "." or not right:  # a decimal dot has no spaces beside it, and does not stand last
        return True
    if re.match(r"[A-Z(\[]", right):
        if re.search(r"(?:[2-9]|\d\d)\.\d+$", left):  # CaCl2.2.H2O
            raise _ambiguous(text)
        return True
    if not re.match(r"\d", right):
        return False
    number = re.search(r"(\d*\.)?(\d+)$", left)
    if number is None or number[1]:  # after a letter or a bracket, or after a number that has its dot
        return True
    return number[2] not in "01" and _between_digits(text, begin, dot)


def _between_digits(text: str, begin: int, dot: re.Match[str]) -> bool:
    """Whether a dot between two digits divides a text, and is no decimal one.

    Raises:
        AmbiguousFormulaError: nobody can know.
    """
    left, right = text[begin : dot.start()], text[dot.end() :]
    if re.match(r"\d+(?:\.\d|/)", right):  # a number has one dot
        return True
    if _WATER.match(right):
        if len(set(_SYMBOL.findall(left))) == 1:  # Mg2.5H2O
            raise _ambiguous(text)
        return True
    return _between_compounds(text, left, right)


def _between_compounds(text: str, left: str, right: str) -> bool:
    """Whether a dot between two digits stands between two compounds.

    Raises:
        AmbiguousFormulaError: nobody can know.
    """
    after = re.match(r"[1-9]\d*(?=[A-Z(\[])(.*?)(?=\s*(?:·|\.\s*[A-Z(\[]|$))", right)
    if after is None or re.search(r"(?<![\d.])[01]\.\d", after[1]):  # the end, or a formula with decimals
        return False
    one, other = set(_SYMBOL.findall(left)), set(_SYMBOL.findall(after[1]))
    if not all(len(some) > 1 and some & _ANIONS for some in (one, other)):
        return False
    loose = {"O", "H"} if re.search(r"[)\]]\d+$", left) or other <= {"O", "H"} else set()  # such as (PO4)6.5(OH)2
    if (one & other) - loose or re.match(r"\s*\d", text) or re.search(r"\.\s*[A-Z(\[]|[A-Za-z)\]]\s*\.", text):
        return True
    if "·" in text:  # the author's sign between parts
        return False
    raise _ambiguous(text)


def _ambiguous(text: str) -> AmbiguousFormulaError:
    return AmbiguousFormulaError(
        f"{text!r} can be read in two ways, a dot in it being a decimal one or one between two parts: "
        "write · between the parts"
    )


def _number(count: str) -> float:
    """A count, whole, decimal or a fraction; 0 for a fraction of nothing."""
    try:
        return float(Fraction(count))
    except (ZeroDivisionError, OverflowError):
        return 0.0
