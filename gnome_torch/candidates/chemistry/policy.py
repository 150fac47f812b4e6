"""Which compositions may be proposed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from pymatgen.core import Element

from gnome_torch.candidates.chemistry.balance import charge_balanced, merged
from gnome_torch.candidates.chemistry.elements import member_table, numbers_of

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
        systems: chemical systems; a composition must lie within one of them. Empty: no such rule.
        max_sites: largest number of atoms in the cell.
        max_elements: largest number of different elements.
        charge_balance: refuse compositions that common oxidation states cannot balance.
        min_contact: refuse crystals with a shorter distance, in units of the sum of the two covalent radii.
    """

    elements: frozenset[str]
    excluded: frozenset[str] = field(default=NOBLE_GASES | RADIOACTIVE)
    systems: tuple[frozenset[str], ...] = ()
    max_sites: int = 20
    max_elements: int = 5
    charge_balance: bool = False
    min_contact: float = 0.75

    @property
    def allowed(self) -> frozenset[str]:
        """Elements that may be proposed."""
        elements = self.elements - self.excluded
        return elements & frozenset().union(*self.systems) if self.systems else elements

    def refusals(self, numbers: np.ndarray, amounts: np.ndarray) -> list[tuple[str, np.ndarray]]:
        """The rules and whom each refuses, (n,); whoever an earlier rule refused, the later ones leave alone.

        Args:
            numbers: atomic numbers, (n, k), each element once per row, 0 where a row has fewer.
            amounts: atoms of each, (n, k).
        """
        members, systems = _tables(self)
        n_elements = (numbers > 0).sum(axis=1)
        verdicts = [
            ("element not allowed", ~members[numbers].all(axis=1)),
            ("a single element", n_elements < 2),
            ("too many elements", n_elements > self.max_elements),
            ("too many atoms", amounts.sum(axis=1) > self.max_sites),
        ]
        if systems:
            inside = np.any([system[numbers].all(axis=1) for system in systems], axis=0)
            verdicts.append(("outside the chemical systems", ~inside))
        refused = np.zeros(len(numbers), dtype=bool)
        first = []
        for rule, verdict in verdicts:
            first.append((rule, verdict & ~refused))
            refused |= verdict
        if self.charge_balance:
            unbalanced = np.zeros(len(numbers), dtype=bool)
            unbalanced[~refused] = ~charge_balanced(numbers[~refused], amounts[~refused])
            first.append(("not charge balanced", unbalanced))
        return first

    def refusal(self, counts: Mapping[str, int]) -> str | None:
        """Name of the rule that refuses a composition, None if it may pass.

        Args:
            counts: atoms of each element in the cell.
        """
        numbers, amounts = merged(numbers_of(list(counts))[None], np.array(list(counts.values())))
        return next((rule for rule, refused in self.refusals(numbers, amounts) if refused[0]), None)


@cache
def _tables(policy: ElementPolicy) -> tuple[np.ndarray, list[np.ndarray]]:
    """Atomic numbers allowed, and those of each chemical system, as tables, (119,)."""
    return member_table(policy.allowed), [member_table(system) for system in policy.systems]
