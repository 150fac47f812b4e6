"""Formulas as arrays: millions of them without a pymatgen object each."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from pymatgen.core import Composition, Element

from gnome_torch.hydrates import AmbiguousFormulaError, in_brackets

N_NUMBERS = 119
"""Length of a row of fractions: atomic numbers 0 (nothing) to 118."""

LARGEST_AMOUNT = 1e6
"""Of an element in a formula; the smallest is its inverse. What is beyond is a slip of the pen, such as 1e400."""

_SIMPLE = re.compile(r"(?:[A-Z][a-z]?(?:\d+(?:\.\d+)?)?)+")
_PART = re.compile(r"([A-Z][a-z]?)(\d+(?:\.\d+)?)?")
_WRITTEN = re.compile(r"\d*\.?\d+(?:e[+-]?\d+)?")
_NUMBERS = {element.symbol: element.Z for element in Element}
_SYMBOLS = {element.Z: element.symbol for element in Element}


class FormulaError(ValueError):
    """A text that is not a chemical formula; the message holds it."""


def fractions_of(formulas: Iterable[str]) -> np.ndarray:
    """Fractions of the atoms by atomic number, (n, 119); every row sums to 1.

    Args:
        formulas: as pymatgen reads them, and hydrates; those without brackets are read here, many times faster.

    Raises:
        FormulaError: the first text that is no formula of elements.
    """
    rows = [amounts_of(formula) for formula in formulas]
    fractions = np.zeros((len(rows), N_NUMBERS))
    counts = np.fromiter((len(row) for row in rows), dtype=np.int64, count=len(rows))
    index = np.repeat(np.arange(len(rows)), counts)
    numbers = np.fromiter((z for row in rows for z, _ in row), dtype=np.int64, count=len(index))
    amounts = np.fromiter((amount for row in rows for _, amount in row), dtype=float, count=len(index))
    np.add.at(fractions, (index, numbers), amounts)
    return fractions / fractions.sum(axis=1, keepdims=True)


@lru_cache(maxsize=1 << 16)
def amounts_of(formula: str) -> tuple[tuple[int, float], ...]:
    """Atomic number and amount of each part of a formula.

    Raises:
        FormulaError: it is no formula of elements, or nobody knows which.
    """
    try:
        text = in_brackets(formula)
    except AmbiguousFormulaError as error:
        raise FormulaError(str(error)) from None
    parts = []
    if _SIMPLE.fullmatch(text):
        parts = [(_NUMBERS.get(symbol, 0), float(amount or 1.0)) for symbol, amount in _PART.findall(text)]
    if not parts or not all(z and amount > 0 for z, amount in parts):
        try:
            parts = [(Element(element.symbol).Z, float(amount)) for element, amount in Composition(text).items()]
        except (ValueError, KeyError, TypeError, AttributeError):
            parts = []
    if not parts or not all(amount > 0 for _, amount in parts):
        raise FormulaError(f"{formula!r} is not a chemical formula of elements")
    if not all(amount <= LARGEST_AMOUNT for _, amount in parts):
        raise FormulaError(f"{formula!r} is not a chemical formula: an amount above {LARGEST_AMOUNT:,.0f}")
    # pymatgen drops these, and the element with them
    if any(0 < float(amount) < 1 / LARGEST_AMOUNT for amount in _WRITTEN.findall(text)):
        raise FormulaError(f"{formula!r} is not a chemical formula: an amount below {1 / LARGEST_AMOUNT:.6f}")
    return tuple(parts)


def composition_of(formula: str) -> Composition:
    """The composition that a text means, with the amounts as they are written.

    Raises:
        FormulaError: it is no formula of elements.
    """
    amounts: dict[str, float] = {}
    for z, amount in amounts_of(formula):
        amounts[_SYMBOLS[z]] = amounts.get(_SYMBOLS[z], 0.0) + amount
    return Composition(amounts)


def reduced_formula(formula: str) -> str:
    """Reduced formula in whole numbers, as pymatgen writes it: RbRh2O4 for Rb0.5RhO2.

    Raises:
        FormulaError: it is no formula of elements.
    """
    composition = composition_of(formula)
    if any(amount != round(amount) for amount in composition.values()):
        composition = Composition(composition.get_integer_formula_and_factor(max_denominator=1000)[0])
    return str(composition.reduced_formula)


def elements_of(fractions: np.ndarray) -> list[int]:
    """The elements of each row as the bits of one integer: bit Z is set for atomic number Z."""
    present = fractions > 0
    low = present[:, :60] @ (1 << np.arange(60, dtype=np.int64))
    high = present[:, 60:] @ (1 << np.arange(N_NUMBERS - 60, dtype=np.int64))
    return [a | b << 60 for a, b in zip(low.tolist(), high.tolist(), strict=True)]


def symbol_of(z: int) -> str:
    """Symbol of an atomic number."""
    return _SYMBOLS[z]


def symbols_of(elements: int) -> list[str]:
    """Symbols of the elements of such an integer, in the order of atomic numbers."""
    return [Element.from_Z(z).symbol for z in numbers_of(elements)]


def numbers_of(elements: int) -> list[int]:
    """Atomic numbers of the bits that are set."""
    return [z for z in range(N_NUMBERS) if elements >> z & 1]


def composition_keys(fractions: np.ndarray) -> list[tuple[int, int]]:
    """Keys of 128 bits, equal for rows of one composition (fractions to 1e-9)."""
    rounded = np.rint(fractions * 1e9).astype(np.uint64)
    mixers = np.random.default_rng(0).integers(2**64, size=(2, N_NUMBERS), dtype=np.uint64) | np.uint64(1)
    halves = [(_mixed(rounded) * mixer).sum(axis=1, dtype=np.uint64).tolist() for mixer in mixers]
    return list(zip(*halves, strict=True))


def _mixed(values: np.ndarray) -> np.ndarray:
    """A number without pattern for each integer (SplitMix64's finaliser), 0 for 0."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
