"""A record of OPTIMADE as a crystal: what it declares of itself is checked against its sites.

OPTIMADE 1.2, structures: lengths are in angstrom, a species may be several elements, vacancies, or no element at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pymatgen.core import Composition, Element, Lattice, Structure

from gnome_torch.data.isotopes import ISOTOPES
from gnome_torch.data.sound import sound, sound_lattice
from gnome_torch.stability.formulas import composition_of

FIELDS = (
    "last_modified",
    "structure_features",
    "lattice_vectors",
    "dimension_types",
    "nperiodic_dimensions",
    "cartesian_site_positions",
    "nsites",
    "species",
    "species_at_sites",
    "assemblies",
    "elements",
    "nelements",
    "chemical_formula_reduced",
)
"""Properties that a crystal is read from, and checked by."""
NOT_A_CRYSTAL = frozenset({"disorder", "implicit_atoms", "site_attachments", "assemblies"})
"""Features of structures (OPTIMADE 1.2, section structure_features) whose sites are not the whole of one crystal."""
MOST_SITES = 10_000
"""Of a crystal; hundreds of times what a calculation can bear."""
FULL = 1e-3
"""How far a concentration may be off 1 and still be rounding."""


def crystal_of(attributes: Mapping[str, Any]) -> Structure:
    """The crystal of a record's attributes.

    Raises:
        ValueError: they are not those of one ordered crystal in three dimensions, lack something, or contradict one
            another; CrystalError for atoms that cannot be there.
    """
    if incomplete := sorted(NOT_A_CRYSTAL.intersection(_list(attributes, "structure_features", optional=True))):
        raise ValueError(f"it has {', '.join(incomplete)}, so its sites are not those of one ordered crystal")
    if attributes.get("assemblies"):
        raise ValueError("it has assemblies: sites that exclude one another")
    _check_periodic(attributes)
    vectors = _numbers(attributes, "lattice_vectors", 3)
    if len(vectors) != 3:
        raise ValueError(f"lattice_vectors: {len(vectors)} vectors, a crystal has 3")
    positions = _numbers(attributes, "cartesian_site_positions", 3)
    names = [str(name) for name in _list(attributes, "species_at_sites")]
    declared = attributes.get("nsites")
    if not len(positions) == len(names) == (len(names) if declared is None else declared):
        raise ValueError(
            f"nsites is {declared}, with {len(positions)} positions and {len(names)} species: one of these is wrong"
        )
    if len(names) > MOST_SITES:
        raise ValueError(f"{len(names)} sites, more than {MOST_SITES}")
    elements = _elements(attributes, names)
    lattice = sound_lattice(Lattice(vectors))
    crystal = sound(Structure(lattice, [elements[name] for name in names], positions, coords_are_cartesian=True))
    _check_content(attributes, crystal.composition)
    return crystal


def _check_periodic(attributes: Mapping[str, Any]) -> None:
    """Refuse what is not periodic in three dimensions, or does not say so."""
    types, number = attributes.get("dimension_types"), attributes.get("nperiodic_dimensions")
    if types is None and number is None:
        raise ValueError("neither dimension_types nor nperiodic_dimensions: it does not say that it is a crystal")
    if (types is not None and list(types) != [1, 1, 1]) or (number is not None and number != 3):
        raise ValueError(f"not periodic in three dimensions (dimension_types {types}, nperiodic_dimensions {number})")


def _elements(attributes: Mapping[str, Any], names: Sequence[str]) -> dict[str, Element]:
    """Element of each species; without a list of species their names are to be symbols."""
    if attributes.get("species") is None:
        return {name: _element([name], name) for name in dict.fromkeys(names)}
    found: dict[str, Element] = {}
    for species in _list(attributes, "species"):
        name = str(species["name"])
        if name in found:
            raise ValueError(f"species {name!r} stands in the list twice")
        if name in names:  # others are not used
            found[name] = _full(species, name)
    if lacking := sorted(set(names) - found.keys()):
        raise ValueError(f"species {lacking[0]!r} of a site is not in the list of species")
    return found


def _full(species: Mapping[str, Any], name: str) -> Element:
    """The element of a species that is one element and nothing else."""
    symbols = _list(species, "chemical_symbols")
    shares = [float(share) for share in _list(species, "concentration")]
    if len(symbols) != len(shares):
        raise ValueError(f"species {name!r}: {len(symbols)} chemical symbols and {len(shares)} concentrations")
    if species.get("attached"):
        raise ValueError(f"species {name!r} has {species['attached']} attached without sites")
    if len(symbols) != 1 or not abs(shares[0] - 1) <= FULL:
        parts = ", ".join(f"{symbol} {share:g}" for symbol, share in zip(symbols, shares, strict=True))
        raise ValueError(f"partly occupied sites: species {name!r} is {parts or 'nothing'}: order it first")
    return _element(symbols, name)


def _element(symbols: Sequence[Any], name: str) -> Element:
    symbol = ISOTOPES.get(str(symbols[0]), str(symbols[0]))
    if not Element.is_valid_symbol(symbol):
        raise ValueError(f"species {name!r} is {symbol!r}, which is not an element")
    return Element(symbol)


def _check_content(attributes: Mapping[str, Any], composition: Composition) -> None:
    """Compare the elements and the formula that a record declares with its sites."""
    symbols = {element.symbol for element in composition}
    declared = {ISOTOPES.get(str(symbol), str(symbol)) for symbol in _list(attributes, "elements", optional=True)}
    if declared and declared != symbols:
        raise ValueError(f"its sites are of {', '.join(sorted(symbols))}, it declares {', '.join(sorted(declared))}")
    number = attributes.get("nelements")
    if number is not None and number != len(symbols) and not declared:
        raise ValueError(f"its sites are of {len(symbols)} elements, it declares {number}")
    formula = attributes.get("chemical_formula_reduced")
    if formula and not composition_of(str(formula)).fractional_composition.almost_equals(
        composition.fractional_composition
    ):
        raise ValueError(f"its sites are {composition.reduced_formula}, it declares {formula}")


def _list(holder: Mapping[str, Any], name: str, optional: bool = False) -> Sequence[Any]:
    """A list of a record.

    Raises:
        ValueError: it is none.
    """
    value = holder.get(name)
    if value is None and optional:
        return ()
    if not isinstance(value, list):
        raise ValueError(f"{name} is missing" if value is None else f"{name} is no list")
    return value


def _numbers(attributes: Mapping[str, Any], name: str, width: int) -> np.ndarray:
    """A table of finite numbers, (n, width).

    Raises:
        ValueError: it is none.
    """
    rows = _list(attributes, name)
    if not rows or not all(isinstance(row, list) and len(row) == width for row in rows):
        raise ValueError(f"{name}: rows of {width} numbers are expected")
    if not all(isinstance(x, int | float) and not isinstance(x, bool) for row in rows for x in row):
        raise ValueError(f"{name}: something in it is not a number")
    table = np.array(rows, dtype=float)
    if not np.isfinite(table).all():
        raise ValueError(f"{name}: a number in it is not finite")
    return table
