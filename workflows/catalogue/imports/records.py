"""Records from outside as entries of a theory."""

from __future__ import annotations

from typing import Any

from gnome_torch.data.kinds import Corrections, EnergyKind
from gnome_torch.data.outside import Batch, OutsideRecord
from gnome_torch.data.rejects import Reject
from gnome_torch.records import EntryEnergy, content_hash, structure_key
from gnome_torch.stability.corrections import CorrectionScheme, UncorrectableError, correction
from gnome_torch.stability.formulas import reduced_formula
from workflows.catalogue.hulls import theory_of
from workflows.store import OutsideEntry

_SCHEMES = {
    Corrections.MP2020: CorrectionScheme.MP2020,
    Corrections.MP2020_GNOME: CorrectionScheme.MP2020_GNOME,
    Corrections.GNOME: CorrectionScheme.GNOME,
}


class Records:
    """Makes records entries of a theory.

    Args:
        theory: its name; formation energies get a theory of their own beside it.
        corrections: of total energies.
        functional: that the entries of the theory were computed with; empty where none of them says. The first record
            that is used, and says it, decides.
    """

    def __init__(self, theory: str, corrections: Corrections, functional: str) -> None:
        self.theory = theory
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
        return entry


def _entry(record: OutsideRecord, theory: str, corrections: Corrections) -> OutsideEntry:
    """The entry of a record.

    Raises:
        UncorrectableError: the scheme refuses the crystal.
        ValueError: no crystal to correct, or a formation energy that is to be corrected.
    """
    formula = reduced_formula(record.formula)
    shift = record.correction_per_atom
    if corrections is not Corrections.AS_GIVEN:
        if record.structure is None or record.kind is EnergyKind.FORMATION:
            raise ValueError(f"corrections {corrections.value!r} need a crystal and a total energy")
        n = len(record.structure)
        energy = record.energy_per_atom * n
        shift = correction(record.structure, energy, _SCHEMES[corrections], record.parameters) / n
    content: dict[str, Any] = {
        "theory": theory,
        "crystal": structure_key(record.structure) if record.structure is not None else formula,
        "energy_per_atom": round(record.energy_per_atom, 6),
        "correction_per_atom": round(shift, 6),
    }
    entry = EntryEnergy(content_hash(content), formula, record.energy_per_atom, shift, theory)
    return OutsideEntry(record.key, record.structure, entry)
