"""What a site needs before the first core-hour: VASP's command, its potentials, inputs that look right."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymatgen.core import SETTINGS, Structure

from workflows.ground.site import COMMAND, apply_site, site_file
from workflows.ground.strict import SettingsError
from workflows.relax.base import Theory
from workflows.relax.vasp import VaspRelaxation


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        what: it was.
        good: whether it is as it should be.
        found: what was found, with the remedy if it is not good.
    """

    what: str
    good: bool
    found: str


def checks(theory: Theory, elements: Collection[str]) -> list[Check]:
    """Whether this machine can run a theory for some elements.

    Args:
        theory: which.
        elements: of the campaign.
    """
    found = [Check("theory", True, theory.id)]
    if not isinstance(theory, VaspRelaxation):
        return found
    try:
        apply_site()
        found.append(Check("site file", True, str(site_file()) if site_file().exists() else "none; environment alone"))
    except SettingsError as error:
        return [*found, Check("site file", False, str(error))]
    return [*found, _command(), *_potentials(theory, sorted(elements))]


def _command() -> Check:
    command = os.environ.get(COMMAND, "")
    if not command:
        return Check("VASP", False, f"no command: write vasp.command into {site_file()}")
    words = shlex.split(os.path.expandvars(command))
    missing = [word for word in (words[0], words[-1]) if shutil.which(word) is None and not Path(word).is_file()]
    if missing:
        return Check(
            "VASP", False, f"{missing[0]} of {command!r} is not on the PATH: load its module, or name its path"
        )
    return Check("VASP", True, command)


def _potentials(theory: VaspRelaxation, elements: list[str]) -> list[Check]:
    from pymatgen.io.vasp.inputs import PotcarSingle

    directory = SETTINGS.get("PMG_VASP_PSP_DIR")
    if not directory:
        return [Check("potentials", False, f"PMG_VASP_PSP_DIR is not set: write vasp.potcars into {site_file()}")]
    found = []
    symbols = theory.symbols(
        Structure([[9, 0, 0], [0, 9, 0], [0, 0, 9]], elements, [[0, 0, i / 99] for i in range(len(elements))])
    )
    for element in elements:
        symbol = symbols[element]
        try:
            potential = PotcarSingle.from_symbol_and_functional(symbol, theory.settings.potcars)
            found.append(Check(f"POTCAR of {element}", True, str(potential.keywords["TITEL"])))
        except (OSError, ValueError, KeyError):
            reason = f"no {symbol} of {theory.settings.potcars} in {directory}: unpack that release there"
            found.append(Check(f"POTCAR of {element}", False, reason))
    return found


def dry_run(theory: Theory, structure: Structure) -> dict[str, Any]:
    """INCAR, KPOINTS and the names of the potentials of a theory's first calculation, as text; empty if it has none."""
    if not isinstance(theory, VaspRelaxation):
        return {}
    inputs = theory.inputs(structure)
    potentials = ", ".join(f"{element} {symbol}" for element, symbol in theory.symbols(structure).items())
    return {
        "INCAR": str(inputs["INCAR"]).strip(),
        "KPOINTS": str(inputs["KPOINTS"]).strip(),
        "POTCAR": f"{theory.settings.potcars}: {potentials}; {theory.electrons(structure):.0f} electrons",
    }
