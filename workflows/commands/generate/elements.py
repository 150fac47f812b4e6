"""Elements and chemical systems, as options name them."""

from __future__ import annotations

import re
from typing import Any


def policy(elements: str, exclude: str, systems: str, radioactive: bool, noble_gases: bool, **sizes: Any) -> Any:
    """The element policy of the command's options."""
    from pymatgen.core import Element

    from gnome_torch.candidates.chemistry.policy import NOBLE_GASES, RADIOACTIVE, ElementPolicy
    from gnome_torch.candidates.structural.generation import GenerationError

    left_out = frozenset(symbols(exclude, "--exclude"))
    left_out |= frozenset() if radioactive else RADIOACTIVE
    left_out |= frozenset() if noble_gases else NOBLE_GASES
    if elements.strip().lower() == "all":
        chosen = frozenset(element.symbol for element in Element if element.Z <= 94) - left_out
    else:
        chosen = frozenset(symbols(elements, "--elements"))
        if refused := sorted(chosen & left_out):
            raise GenerationError(
                f"--elements: {', '.join(refused)} refused by the policy: leave out, or allow with --radioactive, "
                "--noble-gases"
            )
    within = tuple(frozenset(symbols(system, "--systems")) for system in systems.replace(";", ",").split(",") if system)
    if outside := sorted(frozenset().union(*within) - chosen):
        raise GenerationError(f"--systems: {', '.join(outside)} not among --elements")
    return ElementPolicy(chosen, left_out, within, **sizes)


def symbols(text: str, option: str) -> list[str]:
    """Element symbols of a list such as Li,Na or Li-Na."""
    from pymatgen.core import Element

    from gnome_torch.candidates.structural.generation import GenerationError

    found = [symbol for symbol in re.split(r"[\s,;-]+", text) if symbol]
    for symbol in found:
        if not Element.is_valid_symbol(symbol):
            raise GenerationError(f"{option}: {symbol!r} is not an element; write symbols such as Li or O")
    if not found and option == "--elements":
        raise GenerationError("--elements: name at least one element, such as Li,O")
    return found
