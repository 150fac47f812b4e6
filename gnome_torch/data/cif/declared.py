"""What a file says of its own content, against what was read from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pymatgen.core import Composition, Element, Structure

from gnome_torch.data.cif.blocks import Block, CifError
from gnome_torch.data.cif.sites import number_of
from gnome_torch.data.isotopes import ISOTOPES
from gnome_torch.stability.formulas import FormulaError, amounts_of, symbol_of

ATOMS_OFF = 0.1
"""Atoms of an element in the cell that may be missing: the rounding of a formula."""
CONTENT_OFF = 0.15
"""Relative deviation of a density: of the cell's temperature and of isotopes, not of a formula unit too many. The same
for electrons and mass: of 171 crystals of the Crystallography Open Database none has F(000) so far off."""
VOLUME_OFF = 0.05


@dataclass(frozen=True)
class Declared:
    """What a block declares; 0 or nothing where it does not.

    Attributes:
        formula: atoms of each element in the formula unit.
        text: the formula as it is written.
        units: formula units in the cell.
        density: g/cm3, calculated by the authors.
        volume: of the cell, cubic angstrom.
        electrons: of the cell, as the scattering factor F(000) counts them.
        mass: of the cell, u; where a weight of the formula unit stands without the formula.
        per_element: `units` is the number of atoms over that of elements, as the OQMD writes it.
    """

    formula: Mapping[str, float]
    text: str
    units: float
    density: float
    volume: float
    electrons: float = 0.0
    mass: float = 0.0
    per_element: bool = False

    @property
    def counts_atoms(self) -> bool:
        """Whether it says how many atoms are in the cell; a formula alone says how many of each element to another."""
        return bool((self.formula and self.units) or self.density or self.electrons or self.mass)

    def check(self, structure: Structure) -> None:
        """Compare a cell that was read.

        Raises:
            CifError: it is another; the message has both.
        """
        counts = {str(e): n for e, n in structure.composition.element_composition.get_el_amt_dict().items()}
        if self.formula:
            self._check_formula(counts)
            self._check_units(structure)
        if self.volume and abs(structure.volume / self.volume - 1) > VOLUME_OFF:
            raise CifError(f"the cell has {structure.volume:.1f} A3, the file says {self.volume:g}: mend the cell")
        electrons = sum(Element(symbol).Z * count for symbol, count in counts.items())
        for declared, read, unit in (
            (self.density, float(structure.density), "g/cm3"),
            (self.electrons, electrons, "electrons (_exptl_crystal_F_000)"),
            (self.mass, float(structure.composition.weight), "u (_chemical_formula_weight and Z)"),
        ):
            if declared and abs(read / declared - 1) > CONTENT_OFF:
                raise CifError(
                    f"{structure.composition.formula} in this cell has {read:,.2f} {unit}, the file says "
                    f"{declared:g}: sites or symmetry are missing, or that is wrong"
                )

    def _check_formula(self, counts: Mapping[str, float]) -> None:
        if lacking := [symbol for symbol in self.formula if symbol not in counts]:
            raise CifError(f"{', '.join(lacking)} of the declared formula {self.text!r} has no site: add its sites")
        units = sum(counts.values()) / sum(self.formula.values())
        for symbol, count in counts.items():
            if abs(count - units * self.formula.get(symbol, 0.0)) > ATOMS_OFF:
                raise CifError(
                    f"read as {Composition(dict(counts)).reduced_formula}, the file declares {self.text!r}: sites or "
                    "symmetry are missing, or the formula is wrong"
                )

    def _check_units(self, structure: Structure) -> None:
        """Z counts the declared formula, or, as pymatgen writes it, the reduced one."""
        if not self.units:
            return
        formula = Composition(dict(self.formula))
        allowed = {self.units * c.num_atoms for c in (formula, formula.reduced_composition)}
        allowed.add(self.units * Composition(formula.reduced_formula).num_atoms)
        if self.per_element:
            allowed.add(self.units * len(self.formula))
        if not any(abs(len(structure) - atoms) < 0.5 for atoms in allowed):
            raise CifError(
                f"{len(structure)} atoms in the cell, the file declares {self.units:g} of {self.text!r} "
                f"(_cell_formula_units_Z): symmetry is missing, or Z is wrong"
            )


def declared_of(block: Block) -> Declared:
    """What a block declares.

    Raises:
        CifError: its formula or a number cannot be read.
    """
    text = block.value("_chemical_formula_sum")
    units = _number(block, "_cell_formula_units_z")
    return Declared(
        _formula(text),
        text,
        units,
        _number(block, "_exptl_crystal_density_diffrn"),
        _number(block, "_cell_volume"),
        _number(block, "_exptl_crystal_f_000"),
        0.0 if text or not units else units * _number(block, "_chemical_formula_weight"),
        any(item.startswith("_oqmd_") for item in block.values),
    )


def _formula(text: str) -> dict[str, float]:
    """Atoms of each element; isotopes are their element."""
    if not text:
        return {}
    # uncertainties: Fe0.95(2)
    plain = re.sub(r"(\.\d+)\(\d+\)", r"\1", text.replace("'", "").replace('"', ""))
    if re.search(r"[^\w\s().]", plain):
        raise CifError(f"_chemical_formula_sum {text!r} is not a formula: mend it, or write ?")
    found: dict[str, float] = {}
    try:
        for number, amount in amounts_of(re.sub(r"\s+", "", plain)):
            symbol = symbol_of(number)
            symbol = ISOTOPES.get(symbol, symbol)
            found[symbol] = found.get(symbol, 0.0) + amount
    except FormulaError:
        raise CifError(f"_chemical_formula_sum {text!r} is not a formula: mend it, or write ?") from None
    return found


def _number(block: Block, item: str) -> float:
    text = block.value(item)
    return number_of(text, item) if text else 0.0
