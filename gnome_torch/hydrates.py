"""Formulas of hydrates and other compounds of several parts: `CaSO4.2H2O`, `CaSO4·½H2O`, `KCl.MgCl2 * 6 H2O`."""

from __future__ import annotations

import re
from fractions import Fraction

_COUNT = r"(?:\d+/\d+|\d*\.\d+|\d+)"
_WATER = r"[(\[]?(?:H2O|D2O|OH2|H2O2|NH3)[)\]]?"
_SIGNS = re.compile(r"[·•∙⋅*]")
# Between two digits a dot may be a decimal one: it separates parts where a number of whole molecules of water follows,
# and the number before it is not 0 or 1 (Mg0.5H2O is no hydrate of Mg0, CuO4.5H2O is one of CuO4).
_DOT_BEFORE_WATER = re.compile(rf"(?:(?<=[2-9])|(?<=[1-9]\d))\s*\.\s*({_COUNT})\s*(?={_WATER}\s*(?:$|[·.]))")
_DOT_BESIDE_A_LETTER = re.compile(r"\s*\.\s*(?=[A-Z(\[])|(?<=[A-Za-z)\]])\s*\.\s*")
_PART = re.compile(rf"\s*({_COUNT})?\s*([A-Z(\[].*?)\s*")
_AS_ASCII = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789") | {ord("½"): "1/2", ord("¼"): "1/4", ord("¾"): "3/4"}


def in_brackets(formula: str) -> str:
    """A formula of several parts in the words of pymatgen: `(CaSO4)1(H2O)2` for `CaSO4.2H2O`; others as they are.

    The parts stand between `.`, `·`, `*` or the like, each with how often it occurs before it, which may be a fraction.
    A text that is none of this is returned as it is, for whoever reads it to refuse.
    """
    text = formula.translate(_AS_ASCII) if not formula.isascii() else formula
    if "." not in text and not _SIGNS.search(text):
        return text
    text = _SIGNS.sub("·", text)
    text = _DOT_BEFORE_WATER.sub(r"·\1", text)
    text = _DOT_BESIDE_A_LETTER.sub("·", text)
    parts = [_PART.fullmatch(part) for part in text.split("·")]
    if len(parts) == 1:
        return text
    found = [(part[2], _number(part[1] or "1")) for part in parts if part is not None]
    if len(found) < len(parts) or not all(count > 0 for _, count in found):
        return text
    return "".join(f"({part}){count}" for part, count in found)


def _number(count: str) -> float:
    """A count, whole, decimal or a fraction; 0 for a fraction of nothing."""
    try:
        return float(Fraction(count))
    except (ZeroDivisionError, OverflowError):
        return 0.0
