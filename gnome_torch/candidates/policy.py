"""Which compositions a campaign may propose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pymatgen.core import Element

from gnome_torch.candidates.chemistry import is_charge_balanced

NOBLE_GASES = frozenset({"He", "Ne", "Ar", "Kr", "Xe", "Rn"})
RADIOACTIVE = frozenset(
    element.symbol for element in Element if element.Z in (43, 61) or element.Z >= 84
)  # without a stable isotope, bismuth left in


@dataclass(frozen=True)
class ElementPolicy:
    """Rules on elements and sizes.

    Attributes:
        elements: the only elements allowed.
        excluded: elements refused although they may be named in `elements`.
        max_sites: largest number of atoms in the cell.
        max_elements: largest number of different elements.
        charge_balance: refuse compositions that common oxidation states cannot balance.
        min_contact: refuse crystals with a shorter distance, in units of the sum of the two covalent radii.
    """

    elements: frozenset[str]
    excluded: frozenset[str] = field(default=NOBLE_GASES | RADIOACTIVE)
    max_sites: int = 20
    max_elements: int = 5
    charge_balance: bool = False
    min_contact: float = 0.75

    def refusal(self, counts: Mapping[str, int]) -> str | None:
        """Name of the rule that refuses this composition, None if it may pass.

        Args:
            counts: atoms of each element in the cell.
        """
        if not self.elements.issuperset(counts):
            return "element outside the campaign"
        if not self.excluded.isdisjoint(counts):
            return "excluded element"
        if len(counts) > self.max_elements:
            return "too many elements"
        if sum(counts.values()) > self.max_sites:
            return "too many atoms"
        if self.charge_balance and not is_charge_balanced(counts):
            return "not charge balanced"
        return None
