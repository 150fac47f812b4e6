"""Energy corrections: which scheme belongs to which energies, and the correction of one crystal."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from importlib.metadata import version
from typing import Any

from pymatgen.core import Composition, Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry

from gnome_torch.records import EntryEnergy
from gnome_torch.stability.hull import STABLE_TOLERANCE, Hull
from gnome_torch.stability.oxidation import likeliest_states

_PYMATGEN_GUESSES = 20  # atoms of a reduced formula at most, for which pymatgen guesses oxidation states


class CorrectionScheme(StrEnum):
    """What must be added to a theory's energies before any hull.

    NONE: nothing; the theory needs no correction, or its energies hold it already (CHGNet was trained on corrected
        energies).
    MP2020: the Materials Project 2020 scheme (Wang et al., Sci. Rep. 11, 15496, 2021) with `require_bound`, for
        uncorrected PBE(+U) energies with Materials Project settings, or a model trained on them (SevenNet).
    MP2020_TO_GNOME: the same and `TO_GNOME`.
    TO_GNOME: `POTENTIAL_SHIFTS`, which put energies of the Materials Project on the scale of GNoME's.
    FROM_GNOME: their negative, which puts GNoME's energies on the scale of the Materials Project's.
    """

    NONE = "none"
    MP2020 = "MP2020"
    MP2020_TO_GNOME = "MP2020, to GNoME's potentials"
    TO_GNOME = "to GNoME's potentials"
    FROM_GNOME = "from GNoME's potentials"


POTENTIAL_SHIFTS = {
    "Ga": -0.0028805,
    "Ge": 0.10417085,
    "Li": -0.00301278,
    "Mg": 0.0924014,
    "Na": -0.00447437,
}
"""eV per atom of the element: E(Materials Project) + shift stands beside GNoME's energies, which were calculated with
other PAW potentials of these elements (google-deepmind/materials_discovery; see DATASET.md there)."""


HOLDING_MP2020 = (CorrectionScheme.MP2020, CorrectionScheme.MP2020_TO_GNOME)


class UncorrectableError(ValueError):
    """The scheme refuses this crystal, so its energy must not enter a hull."""


def correction(
    structure: Structure, energy: float, scheme: CorrectionScheme, parameters: Mapping[str, Any] | None = None
) -> float:
    """Correction of a cell, eV, to be added to its energy.

    Args:
        structure: relaxed crystal (the scheme tells oxides from peroxides by their bonds).
        energy: uncorrected total energy of the cell, eV.
        scheme: the theory's scheme.
        parameters: of the calculation, where they are known: `run_type` and `hubbards`, else those that the Materials
            Project would have used; `oxidation_states`, the mean of each element, else those of the crystal's species,
            else pymatgen's guess, else that of `likeliest_states` (above pymatgen's 20 atoms).

    Raises:
        UncorrectableError: the scheme does not accept the crystal.
    """
    shift = potential_shift(structure.composition, scheme)
    if scheme not in HOLDING_MP2020:
        return shift
    known = parameters is not None and "run_type" in parameters
    given = _given_parameters(parameters) if parameters and known else _materials_project_parameters(structure)
    states = (parameters or {}).get("oxidation_states") or _oxidation_states(structure)
    plain = structure.copy().remove_oxidation_states()
    data = {"oxidation_states": dict(states)} if states is not None else {}
    entry = ComputedStructureEntry(plain, energy, parameters=given, data=data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "failed to guess oxidation states": the rule for that case is part of it
        processed = _mp2020().process_entry(entry, inplace=False, on_error="ignore")
    if processed is None:
        computed = f", computed with {given['run_type']} and U = {given['hubbards']}" if known else ""
        raise UncorrectableError(f"MP2020 has no correction for {structure.composition.reduced_formula}{computed}")
    return float(processed.correction) + shift


def potential_shift(composition: Composition, scheme: CorrectionScheme) -> float:
    """What a scheme adds for other potentials, eV: the sum of `POTENTIAL_SHIFTS` over the atoms, or its negative."""
    sign = {
        CorrectionScheme.TO_GNOME: 1.0,
        CorrectionScheme.MP2020_TO_GNOME: 1.0,
        CorrectionScheme.FROM_GNOME: -1.0,
    }.get(scheme, 0.0)
    amounts = composition.get_el_amt_dict()
    return sign * sum(amounts.get(symbol, 0.0) * shift for symbol, shift in POTENTIAL_SHIFTS.items())


def stamp(scheme: CorrectionScheme) -> dict[str, str] | None:
    """What an entry says of its correction: the scheme, and the version of pymatgen whose tables it has.

    None for no correction.
    """
    return None if scheme is CorrectionScheme.NONE else {"name": scheme.value, "pymatgen": version("pymatgen")}


@dataclass(frozen=True)
class Flip:
    """An entry that is on the hull with corrections and off it without, or the other way round.

    Attributes:
        entry: the entry.
        corrected: energy above the hull of corrected energies, eV/atom.
        uncorrected: energy above the hull of the energies as they were calculated, eV/atom.
    """

    entry: EntryEnergy
    corrected: float
    uncorrected: float


def flips(entries: Iterable[EntryEnergy], tolerance: float = STABLE_TOLERANCE) -> list[Flip]:
    """Entries whose stability depends on the corrections, those furthest from the hull on one side first.

    Args:
        entries: of one theory, with at least one of each element.
        tolerance: distance below which an entry is on the hull, eV/atom.

    Raises:
        MixedTheoryError: entries of several theories.
        MissingReferenceError: an element without an entry of its own.
    """
    entries = list(entries)
    as_calculated = [replace(entry, correction=0.0) for entry in entries]
    corrected, uncorrected = (
        [point.e_above_hull for point in Hull(some).points(some)] for some in (entries, as_calculated)
    )
    found = [
        Flip(entry, one, other)
        for entry, one, other in zip(entries, corrected, uncorrected, strict=True)
        if (one <= tolerance) != (other <= tolerance)
    ]
    return sorted(found, key=lambda flip: (-max(flip.corrected, flip.uncorrected), flip.entry.id))


@cache
def _mp2020() -> Any:
    from pymatgen.entries.compatibility import MaterialsProject2020Compatibility

    return MaterialsProject2020Compatibility(check_potcar=False, strict_anions="require_bound")


def _oxidation_states(structure: Structure) -> dict[str, float] | None:
    """Mean oxidation state of each element: the crystal's own, or a guess where pymatgen makes none; None else."""
    amounts = structure.composition.get_el_amt_dict()
    if all(getattr(site.specie, "oxi_state", None) is not None for site in structure):
        sums = dict.fromkeys(amounts, 0.0)
        for site in structure:
            sums[site.specie.symbol] += float(site.specie.oxi_state or 0)
        return {symbol: total / amounts[symbol] for symbol, total in sums.items()}
    if structure.composition.reduced_composition.num_atoms <= _PYMATGEN_GUESSES:
        return None
    return likeliest_states(structure.composition)


def _given_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters in the words of pymatgen's scheme: emmet writes PBE where it wants GGA."""
    run_type = str(parameters.get("run_type") or "GGA").replace("PBE", "GGA").replace(" ", "")
    hubbards = {symbol: float(u) for symbol, u in (parameters.get("hubbards") or {}).items() if u}
    return {"run_type": run_type, "hubbards": hubbards, "software": "vasp"}


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
