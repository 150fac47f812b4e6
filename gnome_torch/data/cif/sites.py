"""The sites of a block: which element each holds, where it is, and how far its coordinates are rounded."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Element, Species

from gnome_torch.data.cif.blocks import UNKNOWN, Block, CifError
from gnome_torch.data.isotopes import ISOTOPES

LABEL, SYMBOL, OCCUPANCY = "_atom_site_label", "_atom_site_type_symbol", "_atom_site_occupancy"
HYDROGENS, FLAG = "_atom_site_attached_hydrogens", "_atom_site_calc_flag"
PLACE = tuple(f"_atom_site_fract_{axis}" for axis in "xyz")
FULL = 1e-3
"""How far an occupancy may be off 1 and still be rounding."""


@dataclass(frozen=True, eq=False)
class Site:
    """One row.

    Attributes:
        label: its name in the file.
        species: element, with its oxidation state where the file gives one.
        position: fractional coordinates, (3,).
        rounding: how far each may be off what was meant, (3,).
        line: in the text.
    """

    label: str
    species: Element | Species
    position: np.ndarray
    rounding: np.ndarray
    line: int


def sites_of(block: Block, declared: Collection[str] = ()) -> list[Site]:
    """The sites that are full; empty ones and dummies hold no atom.

    Args:
        block: of the file.
        declared: elements of the formula that the file declares, which tell what a label means; empty for none.

    Raises:
        CifError: there are none, or one is partly occupied, has hydrogens without a place, names no element, or has
            no place.
    """
    labels = block.column(LABEL) or block.column(SYMBOL)
    if not labels or not all(block.column(item) for item in PLACE):
        raise CifError("no sites with fractional coordinates (_atom_site_label, _atom_site_fract_x, _y, _z)")
    if any(len(block.column(item)) != len(labels) for item in PLACE):
        raise CifError("the labels and the coordinates of its sites are of different numbers")
    states = _oxidation_states(block)
    found = [_site(block, row, declared, states) for row in range(len(labels)) if _holds_an_atom(block, row)]
    if not found:
        raise CifError("all of its sites are empty")
    return found


def number_of(text: str, what: str) -> float:
    """A number without its uncertainty, `0.1234(5)`.

    Raises:
        CifError: it is none, or not finite.
    """
    plain = re.sub(r"\(\d*\)?$", "", text.strip())
    numerator, _, divisor = plain.partition("/")
    try:
        value = float(numerator) / (float(divisor) if divisor else 1.0)
    except (ValueError, ZeroDivisionError):
        value = math.nan
    if not math.isfinite(value):
        raise CifError(f"{what}: {text!r} is not a number")
    return value


def _holds_an_atom(block: Block, row: int) -> bool:
    occupancy = _text(block, OCCUPANCY, row)
    empty = occupancy not in UNKNOWN and number_of(occupancy, "occupancy") <= 0
    return not empty and _text(block, FLAG, row).lower() != "dum"


def _site(block: Block, row: int, declared: Collection[str], states: Mapping[str, float]) -> Site:
    label = _text(block, LABEL, row) or _text(block, SYMBOL, row)
    line = block.line(LABEL if block.column(LABEL) else SYMBOL, row)
    where = f"line {line}: site {label}"
    occupancy = _text(block, OCCUPANCY, row)
    if occupancy not in UNKNOWN and abs(number_of(occupancy, f"{where}: occupancy") - 1) > FULL:
        raise CifError(
            f"{where}: partly occupied sites (occupancy {occupancy}): order it first (pymatgen's "
            "OrderDisorderedStructureTransformation)"
        )
    hydrogens = _text(block, HYDROGENS, row)
    if hydrogens not in UNKNOWN and number_of(hydrogens, f"{where}: attached hydrogens") > 0:
        raise CifError(f"{where} has {hydrogens} attached hydrogens without coordinates: add their sites")
    symbol = _text(block, SYMBOL, row)
    name = (
        _element_of_label(label, declared, where) if symbol in UNKNOWN else _element_of_symbol(symbol, declared, where)
    )
    element = Element(ISOTOPES.get(name, name))
    charged = states.get(symbol, states.get(name, 0.0)) if states else None
    # `.` is the default of the dictionary, 0; old files of ICSD write it
    texts = ["0" if _text(block, item, row) == "." else _text(block, item, row) for item in PLACE]
    return Site(
        label,
        element if charged is None else Species(element.symbol, charged),
        np.array([number_of(text, f"{where}: coordinate") for text in texts]),
        np.array([_half_a_unit(text) for text in texts]),
        line,
    )


def _text(block: Block, item: str, row: int) -> str:
    column = block.column(item)
    return column[row].strip() if row < len(column) else ""


def _half_a_unit(text: str) -> float:
    """Half of a coordinate's last digit; 0 for a whole number or a fraction, which are exact."""
    match = re.search(r"\.(\d+)", text)
    exponent = re.search(r"[eE]([+-]?\d+)", text)
    return 0.5 * 10.0 ** (int(exponent[1] if exponent else 0) - len(match[1])) if match else 0.0


def _element_of_symbol(symbol: str, declared: Collection[str], where: str) -> str:
    """Symbol of the element or isotope in a type symbol such as Fe, FE, Fe3+, O-2.

    Two capitals may be a group of atoms: NH3 is no nihonium, and PO4 no polonium, unless the declared formula has it.
    """
    match = re.fullmatch(r"([A-Za-z]{1,2})(?:\d*[+-]\d*|(\d+))?", symbol)
    name = match[1].capitalize() if match else ""
    if not _is_element(name):
        raise CifError(f"{where}: {symbol!r} is not an element: write its symbol in {SYMBOL}")
    capitals = match is not None and len(name) == 2 and match[1].isupper()
    if match and capitals and (match[2] or _is_beyond_plutonium(name)) and name not in declared:
        raise CifError(f"{where}: {symbol!r} may be a group of atoms: write the symbol of an element in {SYMBOL}")
    return name


def _is_beyond_plutonium(name: str) -> bool:
    return name not in ISOTOPES and Element(name).Z > 94


def _element_of_label(label: str, declared: Collection[str], where: str) -> str:
    """Symbol of the element or isotope that a label begins with, where no type symbol says it.

    `CA1` may be calcium or carbon A1: the declared formula tells. Without one only a label whose letters are a symbol,
    and cannot be another, is taken.
    """
    letters = re.match(r"[A-Za-z]*", label)[0]  # type: ignore[index]  # matches any text
    readings = [name for name in dict.fromkeys((letters[:2].capitalize(), letters[:1].upper())) if _is_element(name)]
    if declared:
        readings = [name for name in readings if name in declared or ISOTOPES.get(name) in declared]
    elif len(letters) > 2:
        readings = []
    if len(readings) > 1 and letters[1:2].islower():
        readings = readings[:1]  # Ca1 as it is written is calcium
    elif not declared and len(letters) == 2 and len(readings) == 1 and readings[0] != letters.capitalize():
        readings = []  # OW, OH: more than the element, and nothing says what
    if len(readings) != 1:
        what = f"may be {' or '.join(readings)}" if readings else "does not begin with an element of the formula"
        raise CifError(f"{where}: its label {what if declared or readings else 'is no element'}: add {SYMBOL}")
    return readings[0]


def _is_element(name: str) -> bool:
    return name in ISOTOPES or Element.is_valid_symbol(name)


def _oxidation_states(block: Block) -> dict[str, float]:
    """By type symbol, and by the element's alone; empty if one of them is not known."""
    symbols, states = block.column("_atom_type_symbol"), block.column("_atom_type_oxidation_number")
    if not states or len(symbols) != len(states) or any(text in UNKNOWN for text in states):
        return {}
    found = {}
    for symbol, text in zip(symbols, states, strict=True):
        found[symbol] = number_of(text, f"oxidation number of {symbol}")
        found.setdefault(re.sub(r"\d*[+-]?\d*$", "", symbol).capitalize(), found[symbol])
    return found
