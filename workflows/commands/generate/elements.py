"""Elements and chemical systems, as options name them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:  # imported where they are needed: `gnome --help` answers at once
    from gnome_torch.candidates.chemistry.policy import ElementPolicy

ELEMENTS = Annotated[str, typer.Option(help="elements to build with, such as Li,Na,Mg,O,F; or 'all'")]
SYSTEMS = Annotated[str, typer.Option(help="chemical systems to stay within, such as Li-Fe-O,Na-Cl")]
EXCLUDE = Annotated[str, typer.Option(help="elements to leave out, such as Hg,Tl")]
RADIOACTIVE = Annotated[bool, typer.Option("--radioactive", help="allow elements without a stable isotope")]
NOBLE_GASES = Annotated[bool, typer.Option("--noble-gases", help="allow noble gases")]
MAX_ELEMENTS = Annotated[int, typer.Option(min=2, help="different elements at most")]


@dataclass(frozen=True)
class Elements:
    """What a command's options say of elements.

    Attributes:
        wanted: to build with; or 'all'.
        exclude: to leave out.
        systems: chemical systems to stay within.
        radioactive: whether elements without a stable isotope are allowed.
        noble_gases: whether noble gases are.
    """

    wanted: str
    exclude: str
    systems: str
    radioactive: bool
    noble_gases: bool

    def policy(self, **limits: Any) -> ElementPolicy:
        """The element policy of the options.

        Args:
            limits: further fields of the policy.

        Raises:
            GenerationError: something is not an element, or the options contradict each other.
        """
        from gnome_torch.candidates.chemistry.policy import ElementPolicy
        from gnome_torch.candidates.structural.generation import GenerationError

        left_out = self._left_out()
        wanted = self._wanted(left_out)
        systems = [system for system in self.systems.replace(";", ",").split(",") if system]
        within = tuple(frozenset(_symbols(system, "--systems")) for system in systems)
        if outside := sorted(frozenset().union(*within) - wanted):
            raise GenerationError(f"--systems: {', '.join(outside)} not among --elements")
        return ElementPolicy(wanted, left_out, within, **limits)

    def _left_out(self) -> frozenset[str]:
        from gnome_torch.candidates.chemistry.policy import NOBLE_GASES, RADIOACTIVE

        left_out = frozenset(_symbols(self.exclude, "--exclude"))
        left_out |= frozenset() if self.radioactive else RADIOACTIVE
        return left_out | (frozenset() if self.noble_gases else NOBLE_GASES)

    def _wanted(self, left_out: frozenset[str]) -> frozenset[str]:
        from pymatgen.core import Element

        from gnome_torch.candidates.structural.generation import GenerationError

        if self.wanted.strip().lower() == "all":
            return frozenset(element.symbol for element in Element if element.Z <= 94) - left_out
        wanted = frozenset(_symbols(self.wanted, "--elements"))
        if not wanted:
            raise GenerationError("--elements: name at least one element, such as Li,O")
        if refused := sorted(wanted & left_out):
            raise GenerationError(
                f"--elements: {', '.join(refused)} refused by the policy: leave them out, or allow them with "
                "--radioactive, --noble-gases"
            )
        return wanted


def _symbols(text: str, option: str) -> list[str]:
    """Element symbols of a list such as Li,Na or Li-Na."""
    from pymatgen.core import Element

    from gnome_torch.candidates.structural.generation import GenerationError

    symbols = [symbol for symbol in re.split(r"[\s,;-]+", text) if symbol]
    for symbol in symbols:
        if not Element.is_valid_symbol(symbol):
            raise GenerationError(f"{option}: {symbol!r} is not an element; write symbols such as Li or O")
    return symbols
