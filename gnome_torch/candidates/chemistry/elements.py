"""Tabulated data of the elements, singly, and as arrays indexed by atomic number for many compositions at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
import yaml
from ase.data import covalent_radii, vdw_radii
from pymatgen.core import Element

N_NUMBERS = 119
"""Length of every table: atomic number 0 (nothing) to 118."""


@dataclass(frozen=True, eq=False)
class ElementTable:
    """One row per atomic number; rows without data hold nan.

    Attributes:
        symbols: element symbols, (119,), "" for 0.
        covalent_radius: angstrom (Cordero et al., Dalton Trans. 2832, 2008, from ASE).
        van_der_waals_radius: angstrom (Bondi, J. Phys. Chem. 68, 441, 1964, from ASE).
        bond_radius: angstrom, the r of Chu et al., Comput. Mater. Sci. 146, 184 (2018), from pymatgen.
        bond_polarity: angstrom, the k of the same.
        electronegativity: Pauling's.
        atomic_volume: volume of an atom in the solid element, cubic angstrom, from the tabulated molar volume.
        mendeleev_number: place on Pettifor's chemical scale (Solid State Commun. 51, 31, 1984), from pymatgen.
        common_states: common oxidation states, (119, 9), padded with nan.
        forms_anions: whether the element is an anion in ordinary compounds.
    """

    symbols: np.ndarray
    covalent_radius: np.ndarray
    van_der_waals_radius: np.ndarray
    bond_radius: np.ndarray
    bond_polarity: np.ndarray
    electronegativity: np.ndarray
    atomic_volume: np.ndarray
    mendeleev_number: np.ndarray
    common_states: np.ndarray
    forms_anions: np.ndarray


@cache
def element_table() -> ElementTable:
    """The tables, read once."""
    bonds = yaml.safe_load(
        (resources.files("pymatgen.core.structure_prediction") / "DLS_bond_params.yaml").read_text(encoding="utf-8")
    )
    elements = [Element.from_Z(number) for number in range(1, N_NUMBERS)]
    states = [element.common_oxidation_states for element in elements]
    padded = np.full((N_NUMBERS, max(map(len, states))), np.nan)
    for number, some in enumerate(states, start=1):
        padded[number, : len(some)] = some

    def column(values: list[float]) -> np.ndarray:
        array = np.array([np.nan, *values], dtype=float)
        array.flags.writeable = False
        return array

    return ElementTable(
        symbols=np.array(["", *(element.symbol for element in elements)]),
        covalent_radius=column([float(covalent_radii[element.Z]) for element in elements]),
        van_der_waals_radius=column(
            [float(vdw_radii[element.Z]) if len(vdw_radii) > element.Z else np.nan for element in elements]
        ),
        bond_radius=column([float(bonds.get(element.symbol, {}).get("r", np.nan)) for element in elements]),
        bond_polarity=column([float(bonds.get(element.symbol, {}).get("k", np.nan)) for element in elements]),
        electronegativity=column([_electronegativity(element) for element in elements]),
        atomic_volume=column([_atomic_volume(element) for element in elements]),
        mendeleev_number=column([_number(element.data.get("Mendeleev no")) for element in elements]),
        common_states=padded,
        forms_anions=np.array([False, *(_forms_anions(element) for element in elements)]),
    )


def numbers_of(symbols: Iterable[str]) -> np.ndarray:
    """Atomic numbers of element symbols, (n,)."""
    return np.array([Element(symbol).Z for symbol in symbols], dtype=np.uint8)


def member_table(symbols: Collection[str]) -> np.ndarray:
    """Whether each atomic number is among some elements, (119,); 0, nothing, is among all."""
    table = np.zeros(N_NUMBERS, dtype=bool)
    table[[0, *numbers_of(symbols)]] = True
    return table


def is_anion_former(symbol: str) -> bool:
    """Whether the element is an anion in ordinary compounds: a non-metal with a negative common oxidation state."""
    return bool(element_table().forms_anions[Element(symbol).Z])


def chemical_distance(a: str, b: str) -> float:
    """Distance of two elements on Pettifor's chemical scale, in steps of his Mendeleev number (about 1 to 103).

    Source: D. G. Pettifor, Solid State Commun. 51, 31 (1984); numbers from pymatgen's element table.
    """
    scale = element_table().mendeleev_number
    return float(abs(scale[Element(a).Z] - scale[Element(b).Z]))


@cache
def elemental_volume(symbol: str) -> float:
    """Volume of an atom in the solid element, cubic angstrom, from the tabulated molar volume."""
    return float(element_table().atomic_volume[Element(symbol).Z])


def _forms_anions(element: Element) -> bool:
    return not element.is_metal and any(state < 0 for state in element.common_oxidation_states)


def _electronegativity(element: Element) -> float:
    # pymatgen warns for noble gases, whose value is nan anyway
    return _number(element.data.get("X"))


def _atomic_volume(element: Element) -> float:
    molar_volume = _number(element.data.get("Molar volume"))  # cm^3/mol
    if molar_volume > 0:
        return molar_volume / 0.602214
    radius = _number(element.data.get("Atomic radius"))
    return 4 / 3 * np.pi * (radius if radius > 0 else 1.5) ** 3 / 0.74


def _number(value: object) -> float:
    try:
        return float(str(value).split()[0])
    except (ValueError, IndexError):
        return float("nan")
