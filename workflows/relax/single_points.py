"""Energies of crystals as they stand, and after a few steps: many of them, quickly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from workflows.ground.failures import is_a_result

LONGEST_STEP = 0.2
"""Of an atom, angstrom."""

BATCH_ATOMS = 256
"""Atoms in one batch: what the caches of a CPU hold, and enough to keep a GPU from waiting."""


def by_chgnet(structures: Sequence[Structure], calculator: Any) -> np.ndarray:
    """By CHGNet in batches, crystals of one size together: eV/atom, (n,); nan where one cannot be computed.

    Args:
        structures: ordered crystals.
        calculator: CHGNet's, whose model is used.
    """
    energies = np.full(len(structures), np.nan)
    order = np.argsort([len(structure) for structure in structures], kind="stable").tolist()
    first = 0
    while first < len(order):
        size = max(1, BATCH_ATOMS // len(structures[order[first]]))
        batch = order[first : first + size]
        try:
            energies[batch] = _chgnet_batch([structures[index] for index in batch], calculator)
        except (ValueError, RuntimeError):  # one of them: each by itself
            for index in batch:
                energies[index] = _or_nan(lambda index=index: _chgnet_batch([structures[index]], calculator)[0])
        first += size
    return energies


def _chgnet_batch(structures: list[Structure], calculator: Any) -> list[float]:
    predicted = calculator.model.predict_structure(structures, task="e", batch_size=len(structures))
    some = predicted if isinstance(predicted, list) else [predicted]
    return [float(one["e"]) for one in some]


def by_calculator(structures: Sequence[Structure], calculator: Any) -> np.ndarray:
    """By any ASE calculator, one after another: eV/atom, (n,); nan where one cannot be computed.

    Args:
        structures: ordered crystals.
        calculator: ASE's.
    """

    def energy(structure: Structure) -> float:
        atoms = AseAtomsAdaptor.get_atoms(structure, msonable=False)
        atoms.calc = calculator
        return float(atoms.get_potential_energy()) / len(atoms)

    return np.array([_or_nan(lambda structure=structure: energy(structure)) for structure in structures])


def approach(structure: Structure, calculator: Any, steps: int, fmax: float) -> tuple[float, Structure | None]:
    """Energy, eV/atom, and crystal after a few steps of BFGS; nan and None where the calculator stumbles over it.

    Args:
        structure: where it begins, ordered.
        calculator: ASE's.
        steps: at most.
        fmax: largest force at which it stops before, eV/angstrom.
    """
    from ase.filters import FrechetCellFilter
    from ase.optimize import BFGS

    atoms = AseAtomsAdaptor.get_atoms(structure, msonable=False)
    atoms.calc = calculator

    def energy() -> float:
        movable: Any = FrechetCellFilter(atoms)
        BFGS(movable, logfile=None, maxstep=LONGEST_STEP).run(fmax=fmax, steps=steps)
        return float(atoms.get_potential_energy()) / len(atoms)

    found = _or_nan(energy)
    return found, AseAtomsAdaptor.get_structure(atoms) if np.isfinite(found) else None


def _or_nan(energy: Any) -> float:
    """An energy; nan where the calculator stumbles over the crystal."""
    try:
        return float(energy())
    except Exception as error:  # whatever a calculator stumbles over
        if not is_a_result(error):
            raise
        return float("nan")
