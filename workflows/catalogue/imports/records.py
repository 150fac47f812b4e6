"""Records from outside as entries of a theory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gnome_torch.data.kinds import Corrections, EnergyKind
from gnome_torch.data.outside import Batch, OutsideRecord
from gnome_torch.data.rejects import Reject
from gnome_torch.records import EntryEnergy, content_hash, structure_key
from gnome_torch.stability.corrections import (
    HOLDING_MP2020,
    CorrectionScheme,
    UncorrectableError,
    correction,
    potential_shift,
    stamp,
)
from gnome_torch.stability.formulas import composition_of, reduced_formula
from gnome_torch.stability.hull import against_zero
from workflows.catalogue.hulls import theory_of
from workflows.store import OutsideEntry

SCHEMES = {
    Corrections.MP2020: CorrectionScheme.MP2020,
    Corrections.MP2020_TO_GNOME: CorrectionScheme.MP2020_TO_GNOME,
    Corrections.TO_GNOME: CorrectionScheme.TO_GNOME,
    Corrections.FROM_GNOME: CorrectionScheme.FROM_GNOME,
    Corrections.AS_GIVEN: CorrectionScheme.NONE,
}


class Records:
    """Makes records entries of a theory.

    Args:
        theory: its name; formation energies get a theory of their own beside it.
        corrections: of total energies.
        licence: of records that have none of their own.
        functional: that the entries of the theory were computed with; empty where none of them says. The first record
            that is used, and says it, decides.
    """

    def __init__(self, theory: str, corrections: Corrections, licence: str, functional: str) -> None:
        self.theory = theory
        self.licence = licence
        self.corrections = corrections
        self.functional = functional

    def entries(self, batch: Batch, source: str) -> tuple[list[OutsideEntry], list[Reject]]:
        """Entries of a batch, and what cannot be used.

        Args:
            batch: of records.
            source: name of where they come from.
        """
        entries: list[OutsideEntry] = []
        rejects: list[Reject] = []
        for item in batch.items:
            if isinstance(item, Reject):
                rejects.append(item)
                continue
            try:
                entries.append(self._entry(item))
            except (UncorrectableError, ValueError) as error:
                where = (item.file or source, item.place or item.key)
                rejects.append(Reject(*where, item.formula, " ".join(str(error).split())))
        return entries, rejects

    def _entry(self, record: OutsideRecord) -> OutsideEntry:
        if record.functional and self.functional and record.functional != self.functional:
            raise ValueError(
                f"computed with {record.functional}, but theory {self.theory!r} holds {self.functional}: import it "
                "under another name"
            )
        entry = _entry(record, theory_of(self.theory, record.kind), self.corrections)
        self.functional = self.functional or record.functional  # of a record that is used
        return replace(entry, licence=record.licence or self.licence)


def _entry(record: OutsideRecord, theory: str, corrections: Corrections) -> OutsideEntry:
    """The entry of a record.

    Raises:
        UncorrectableError: the scheme refuses the crystal.
        ValueError: no crystal to correct, a formation energy that is to be corrected, or an element's below 0.
    """
    formula = reduced_formula(record.formula)
    if record.kind is EnergyKind.FORMATION and (problem := against_zero(formula, record.energy_per_atom)):
        raise ValueError(problem)
    scheme = SCHEMES[corrections]
    shift = _correction(record, scheme)
    content: dict[str, Any] = {
        "theory": theory,
        "crystal": structure_key(record.structure) if record.structure is not None else formula,
        "energy_per_atom": round(record.energy_per_atom, 6),
        "correction_per_atom": round(shift, 6),
    }
    entry = EntryEnergy(content_hash(content), formula, record.energy_per_atom, shift, theory)
    return OutsideEntry(record.key, record.structure, entry, stamp(scheme), record.parameters)


def _correction(record: OutsideRecord, scheme: CorrectionScheme) -> float:
    """What is added to the energy of a record before any hull, eV/atom.

    Raises:
        UncorrectableError: the scheme refuses the crystal.
        ValueError: no crystal to correct, a formation energy, or an energy that is corrected already.
    """
    if scheme is CorrectionScheme.NONE:
        return record.correction_per_atom
    if record.kind is EnergyKind.FORMATION:
        raise ValueError(f"corrections {scheme.value!r} need a total energy, and this is one of formation")
    if scheme not in HOLDING_MP2020:
        composition = composition_of(record.formula)
        return record.correction_per_atom + potential_shift(composition, scheme) / composition.num_atoms
    if record.structure is None:
        raise ValueError(f"corrections {scheme.value!r} need a crystal and a total energy")
    if record.correction_per_atom:
        raise ValueError(
            f"it comes with a correction of {record.correction_per_atom:g} eV/atom: give --corrections as-given"
        )
    n = len(record.structure)
    return correction(record.structure, record.energy_per_atom * n, scheme, record.parameters) / n
