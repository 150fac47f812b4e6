"""Small chemical facts that every candidate source needs: charge balance, chemical distance, volume of an atom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import product
from math import pi

from pymatgen.core import Composition, Element

# Fraction of the cell that spheres of the mean ionic radii fill in simple ionic crystals: 0.58 in NaCl, 0.59 in MgO.
IONIC_PACKING = 0.60


@cache
def is_anion_former(symbol: str) -> bool:
    """Whether the element is an anion in ordinary compounds: it has a negative common oxidation state."""
    element = Element(symbol)
    return not element.is_metal and any(state < 0 for state in element.common_oxidation_states)


@cache
def chemical_distance(a: str, b: str) -> float:
    """Distance of two elements on Pettifor's chemical scale, in steps of his Mendeleev number (about 1 to 103).

    Source: D. G. Pettifor, Solid State Commun. 51, 31 (1984); numbers from pymatgen's element table.
    """
    return abs(float(Element(a).mendeleev_no) - float(Element(b).mendeleev_no))


@cache
def _balanced(reduced_formula: str) -> bool:
    composition = Composition(reduced_formula)
    symbols = [element.symbol for element in composition]
    amounts = [int(composition[element]) for element in composition]
    states = [Element(symbol).common_oxidation_states for symbol in symbols]
    return any(sum(n * state for n, state in zip(amounts, choice, strict=True)) == 0 for choice in product(*states))


def is_charge_balanced(counts: Mapping[str, int]) -> bool:
    """Whether common oxidation states, one per element, can add up to zero.

    A composition of metals only, and an element, need no balance and pass.

    Args:
        counts: atoms of each element.
    """
    if len(counts) == 1 or not any(is_anion_former(symbol) for symbol in counts):
        return True
    return _balanced(Composition(counts).reduced_formula)


@cache
def _is_anion(symbol: str) -> bool:
    """Whether the element has a tabulated anion radius: silicides, carbides and phosphides count as metallic."""
    return is_anion_former(symbol) and float(Element(symbol).average_anionic_radius) > 0


@cache
def _ionic_volume(symbol: str) -> float | None:
    """Volume of the sphere of the mean ionic radius, cubic angstrom (Shannon radii as tabulated in pymatgen)."""
    element = Element(symbol)
    radius = element.average_anionic_radius if _is_anion(symbol) else element.average_cationic_radius
    return 4 / 3 * pi * float(radius) ** 3 if radius else None


@cache
def elemental_volume(symbol: str) -> float:
    """Volume of an atom in the solid element, cubic angstrom, from the tabulated molar volume."""
    element = Element(symbol)
    try:
        molar_volume = float(element.molar_volume)  # cm^3/mol
    except (AttributeError, TypeError, ValueError):
        molar_volume = 0.0
    if molar_volume > 0:
        return molar_volume / 0.602214
    return 4 / 3 * pi * float(element.atomic_radius or 1.5) ** 3 / 0.74


def volume_estimate(species: Iterable[str]) -> float:
    """Rough volume of a crystal from its species alone, cubic angstrom.

    Where metals meet anion formers, the anions take what valence they can: that share of each metal atom has the volume
    of its ion, the rest the volume it has in the metal (Mg2AlO is a metal with some oxygen, not an oxide); the same for
    anions that find no metal. Elemental volumes otherwise.
    """
    counts = Counter(species)
    anions = {symbol for symbol in counts if _is_anion(symbol)}
    ionic = {symbol: _ionic_volume(symbol) for symbol in counts}
    if not anions or anions == set(counts) or not all(ionic.values()):
        return sum(n * elemental_volume(symbol) for symbol, n in counts.items())
    taken = sum(-n * _valence(symbol, -1) for symbol, n in counts.items() if symbol in anions)
    given = sum(n * _valence(symbol, +1) for symbol, n in counts.items() if symbol not in anions)
    share_of_metals, share_of_anions = min(1.0, taken / given), min(1.0, given / taken)
    total = 0.0
    for symbol, n in counts.items():
        share = share_of_anions if symbol in anions else share_of_metals
        ion = float(ionic[symbol] or 0.0) / IONIC_PACKING
        total += n * (share * ion + (1 - share) * elemental_volume(symbol))
    return total


@cache
def _valence(symbol: str, sign: int) -> int:
    """Largest common oxidation state of a sign, at least 1 in size."""
    states = [int(state) for state in Element(symbol).common_oxidation_states if state * sign > 0]
    return max(states, key=abs, default=sign)


def substituted_volume(parent_volume: float, old: Iterable[str], new: Iterable[str]) -> float:
    """Reference volume of a substituted crystal, cubic angstrom: the parent's, scaled by the two estimates.

    The parent's own deviation from its estimate carries over, within bounds: a high-pressure or a molecular parent says
    nothing about other elements.
    """
    openness = parent_volume / volume_estimate(old)
    return volume_estimate(new) * min(max(openness, 0.7), 1.5)
