"""What a random search is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite

from pymatgen.core import Composition, Element

from gnome_torch.hydrates import AmbiguousFormulaError, in_brackets

VOLUMES = (0.4, 1.2)
"""GNoME's range of volumes, in units of an estimate from atomic radii (`separations.estimated_volume`)."""


# International Tables A: last space group of each stretch, operations of its point group
ORDERS = (
    *((1, 1), (9, 2), (46, 4), (74, 8), (82, 4), (122, 8), (142, 16), (146, 3), (161, 6), (167, 12), (174, 6)),
    *((190, 12), (194, 24), (199, 12), (220, 24), (230, 48)),
)


class SearchError(ValueError):
    """A search that cannot be done; one line that names the composition and what to change."""


class GeneratorMissingError(SearchError):
    """The program that draws cells is not installed here or does not work: this says nothing about a composition."""


@dataclass(frozen=True)
class SearchOptions:
    """How the crystals of a composition are drawn.

    Attributes:
        count: crystals wanted.
        formula_units: reduced formula units in the primitive cell, from and to; drawn evenly.
        max_sites: atoms in the primitive cell at most.
        volumes: volume of the cell, from and to, in units of the estimate from atomic radii; drawn evenly.
        operations: operations of the crystal's point group, from and to (1: no symmetry, 48: cubic).
        separations: smallest distance of a pair of elements, angstrom, such as {"O-O": 1.3}, in the place of the
            tabulated one.
        attempts: attempts for each crystal wanted, at most.
        seed: of everything random.
        slack: AIRSS: how far it may give way to separations, as a fraction; soft spheres restore them afterwards.
        overlap: AIRSS: remaining overlap that it accepts.
        compact: AIRSS: reduce the cell to a compact one.
    """

    count: int = 100
    formula_units: tuple[int, int] = (1, 4)
    max_sites: int = 20
    volumes: tuple[float, float] = VOLUMES
    operations: tuple[int, int] = (2, 48)
    separations: Mapping[str, float] = field(default_factory=dict)
    attempts: int = 20
    seed: int = 0
    slack: float = 0.25
    overlap: float = 0.1
    compact: bool = True

    def __post_init__(self) -> None:
        self._check_numbers()
        self._check_ranges()
        for pair, distance in self.separations.items():
            pair_of(pair)
            if not (distance >= 0 and isfinite(distance)):
                raise SearchError(f"separation {pair} = {distance:g}: must be a distance in angstrom")

    def _check_numbers(self) -> None:
        for name in ("count", "max_sites", "attempts"):
            if getattr(self, name) < 1:
                raise SearchError(f"{name} = {getattr(self, name)}: must be at least 1")
        if self.seed < 0:
            raise SearchError(f"seed = {self.seed}: must not be negative")
        for name in ("slack", "overlap"):
            if not 0 <= getattr(self, name) < 1:
                raise SearchError(f"{name} = {getattr(self, name):g}: must be from 0 to below 1")

    def _check_ranges(self) -> None:
        for name in ("formula_units", "operations"):
            low, high = getattr(self, name)
            if not 1 <= low <= high:
                raise SearchError(f"{name} = {low} to {high}: must be 1 or more, the smaller number first")
        if not self.orders:
            low, high = self.operations
            orders = ", ".join(map(str, sorted({order for _, order in ORDERS})))
            raise SearchError(
                f"operations = {low} to {high}: point groups have {orders}: choose a range with one of them"
            )
        low, high = self.volumes
        if not (0 < low <= high and isfinite(high)):
            raise SearchError(f"volumes = {low:g} to {high:g}: must be positive, the smaller number first")

    @property
    def orders(self) -> list[int]:
        """Numbers of operations within the range that a crystal's point group can have, the smallest first."""
        low, high = self.operations
        return sorted({order for _, order in ORDERS if low <= order <= high})

    def units_for(self, composition: Composition) -> range:
        """Numbers of formula units that fit.

        Raises:
            SearchError: not even the smallest does.
        """
        reduced = composition.reduced_composition
        low, high = self.formula_units
        most = min(high, int(self.max_sites // reduced.num_atoms))
        if most < low:
            raise SearchError(
                f"{reduced.reduced_formula}: {low} formula unit{'s' if low > 1 else ''} of {reduced.num_atoms:g} atoms "
                f"exceed the {self.max_sites} atoms of a cell: allow more"
            )
        return range(low, most + 1)


@dataclass(frozen=True)
class Attempt:
    """One cell that is asked for.

    Attributes:
        composition: reduced.
        units: formula units in the primitive cell.
        volume: of the cell, cubic angstrom.
        separations: smallest distance of each pair of elements, angstrom.
        options: of the search.
        label: seed of a program's own random numbers, which no other attempt has.
    """

    composition: Composition
    units: int
    volume: float
    separations: Mapping[tuple[str, str], float]
    options: SearchOptions
    label: str

    @property
    def atoms(self) -> dict[str, int]:
        """Atoms of each element in the cell, in the order of the formula."""
        return {element.symbol: round(amount) * self.units for element, amount in self.composition.items()}


def pair_of(text: str) -> tuple[str, str]:
    """The two elements of a pair such as Li-O, in alphabetical order.

    Raises:
        SearchError: it is none.
    """
    symbols = text.split("-")
    if len(symbols) != 2 or not all(Element.is_valid_symbol(symbol) for symbol in symbols):
        raise SearchError(f"separation {text!r}: write two elements, such as Li-O")
    first, second = sorted(symbols)
    return first, second


def composition_of(formula: str) -> Composition:
    """The reduced composition that a formula means; D and T are hydrogen, from which energies do not tell them.

    Raises:
        SearchError: it is no formula of whole numbers of elements.
    """
    try:
        composition = Composition(in_brackets(formula))
        known = all(Element.is_valid_symbol(element.symbol) for element in composition) and isfinite(
            composition.num_atoms
        )
    except AmbiguousFormulaError as error:
        raise SearchError(str(error)) from None
    except (ValueError, KeyError, AttributeError):
        known = False
    if not known or not composition:
        raise SearchError(f"{formula!r} is not a chemical formula; write Li3N")
    reduced = Composition(composition.get_el_amt_dict()).reduced_composition  # D and H by their symbol: one element
    if any(abs(amount - round(amount)) > 1e-8 for amount in reduced.values()):
        raise SearchError(f"{formula}: a crystal has whole numbers of atoms; write Li15Si4")
    return Composition(reduced.reduced_formula)  # the order of the elements is that of the formula, always
