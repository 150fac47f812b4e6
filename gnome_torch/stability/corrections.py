"""Energy corrections: which scheme belongs to which energies, and the correction of one crystal."""

from __future__ import annotations

import warnings
from enum import StrEnum
from functools import cache
from typing import Any

from pymatgen.core import Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry


class CorrectionScheme(StrEnum):
    """What must be added to a theory's energies before any hull.

    NONE: nothing; the theory needs no correction, or its energies hold it already (CHGNet was trained on corrected
        energies).
    MP2020: the Materials Project 2020 scheme (Wang et al., Sci. Rep. 11, 15496, 2021) with `require_bound`, for
        uncorrected PBE(+U) energies with Materials Project settings, or a model trained on them (SevenNet).
    """

    NONE = "none"
    MP2020 = "MP2020"


class UncorrectableError(ValueError):
    """The scheme refuses this crystal, so its energy must not enter a hull."""


def correction(structure: Structure, energy: float, scheme: CorrectionScheme) -> float:
    """Correction of a cell, eV, to be added to its energy.

    Args:
        structure: relaxed crystal (the scheme tells oxides from peroxides by their bonds).
        energy: uncorrected total energy of the cell, eV.
        scheme: the theory's scheme.

    Raises:
        UncorrectableError: the scheme does not accept the crystal.
    """
    if scheme is CorrectionScheme.NONE:
        return 0.0
    entry = ComputedStructureEntry(structure, energy, parameters=_materials_project_parameters(structure))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "failed to guess oxidation states": the rule for that case is part of it
        processed = _mp2020().process_entry(entry, inplace=False, on_error="ignore")
    if processed is None:
        raise UncorrectableError(f"MP2020 has no correction for {structure.composition.reduced_formula}")
    return float(processed.correction)


@cache
def _mp2020() -> Any:
    from pymatgen.entries.compatibility import MaterialsProject2020Compatibility

    return MaterialsProject2020Compatibility(check_potcar=False, strict_anions="require_bound")


def _materials_project_parameters(structure: Structure) -> dict[str, Any]:
    """Run type and Hubbard U that the Materials Project would have used: U on metals of oxides and fluorides."""
    from pymatgen.io.vasp.sets import MPRelaxSet

    most_electronegative = max(structure.composition, key=lambda element: element.X).symbol
    settings = MPRelaxSet.CONFIG["INCAR"]["LDAUU"].get(most_electronegative, {})
    hubbards = {
        element.symbol: float(settings[element.symbol])
        for element in structure.composition
        if settings.get(element.symbol)
    }
    if len(structure.composition) == 1:
        hubbards = {}
    return {"run_type": "GGA+U" if hubbards else "GGA", "hubbards": hubbards, "software": "vasp"}
