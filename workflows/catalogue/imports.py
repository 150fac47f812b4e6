"""Outside data into the database, batch after batch.

Each comes with the position behind it, so that nothing is lost or imported twice.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gnome_torch.data.kinds import Corrections, EnergyKind
from gnome_torch.data.outside import Batch, OutsideRecord, Source, SourceError
from gnome_torch.data.rejects import COLUMNS, Reject
from gnome_torch.records import EntryEnergy, content_hash, structure_key
from gnome_torch.spreadsheets import CsvWriter
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
from workflows.store import OutsideEntry, Store, StoreError, now

THEORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,95}")


_SCHEMES = {
    Corrections.MP2020: CorrectionScheme.MP2020,
    Corrections.MP2020_TO_GNOME: CorrectionScheme.MP2020_TO_GNOME,
    Corrections.TO_GNOME: CorrectionScheme.TO_GNOME,
    Corrections.FROM_GNOME: CorrectionScheme.FROM_GNOME,
    Corrections.AS_GIVEN: CorrectionScheme.NONE,
}


@dataclass(frozen=True)
class Imported:
    """How an import stands.

    Attributes:
        theories: keys of the theories that have been written to.
        read: records of the source that have been read, over all runs.
        new: entries that were not there before, over all runs.
        rejected: records that could not be used, over all runs; they are in the file of rejects.
        key: of the import's record.
        repeated: the whole of it had been imported before, and nothing was done.
        placed: what it brought has been placed on its hulls since.
        rejects: where records that could not be used are written.
        warnings: of the source, in this run.
    """

    theories: Sequence[str]
    read: int
    new: int
    rejected: int
    key: str
    repeated: bool = False
    placed: bool = False
    rejects: Path | None = None
    warnings: tuple[str, ...] = ()


def import_source(
    store: Store,
    source: Source,
    theory: str,
    rejects: Path | None = None,
    corrections: Corrections = Corrections.AS_GIVEN,
    compatible: bool = False,
    other_potentials: bool = False,
    report: Callable[[Imported, float | None], None] = lambda imported, done: None,
) -> Imported:
    """Import everything that a source has. Stopped, it goes on from the last batch; repeated, it changes nothing.

    Args:
        store: the database.
        source: where the records come from.
        theory: name of their level of theory; formation energies get a theory of their own beside it.
        rejects: CSV file for the records that cannot be used; none is written if there are none. By default in this
            directory, named after the source and this import of it.
        corrections: of total energies.
        compatible: the energies may share a hull with those that campaigns computed under this theory.
        other_potentials: and that although these were computed with potentials of another release.
        report: told after every batch, with the share of the source that has been read, if that is known.

    Raises:
        SourceError: the source cannot be read further, and what was read is kept; or it would be corrected twice.
        StoreError: the theory's name cannot be used, or the theory is a campaign's.
    """
    _check(store, source, theory, corrections, compatible, other_potentials)
    identity = {**source.identity, "theory": theory, "corrections": corrections.value}
    key = content_hash(identity)
    mark = store.imports.open(key, source=source.name, identity=identity, theory=theory, theories=[])
    rejects = rejects or Path(f"{_file_name(source.name)}.{key[:8]}.rejects.csv")
    imported = _begun(mark, source, rejects)
    if imported.repeated:
        return imported
    functional, file = store.imports.functional_of(theory), _RejectsFile(rejects, mark["rejects_bytes"])
    for batch in source.batches(mark["position"]):
        functional, good, bad = _entries(batch, source, theory, corrections, functional)
        new = _write(store, good, source, str(identity.get("version", "")))
        imported = _after(imported, good, batch, new)
        # last of all: what comes before it is repeated without harm if we die here
        size = file.append(bad)
        store.imports.update(
            key, **_counts(imported), position=batch.position, rejects_bytes=size, functional=functional
        )
        report(imported, batch.done)
    _end(store, source, imported)
    return imported


def _begun(mark: dict[str, Any], source: Source, rejects: Path) -> Imported:
    """How an import stands when a run of it begins; one that begins with its source counts everything again."""
    done = mark["state"] == "done"
    if done and not source.unchanging:
        mark["position"] = None
    if mark["position"] is None:
        mark |= {"read": 0, "rejected": 0, "rejects_bytes": 0}
    imported = Imported(mark["theories"], mark["read"], mark["new"], mark["rejected"], mark["_id"], rejects=rejects)
    if done and source.unchanging:
        return replace(imported, repeated=True, placed=mark.get("placed", False), rejects=None)
    return imported


def _end(store: Store, source: Source, imported: Imported) -> None:
    """Note that an import has ended.

    Raises:
        SourceError: nothing of it could be used.
    """
    if imported.read == imported.rejected:
        refused = f"all {imported.rejected} records are refused, see {imported.rejects}"
        store.imports.update(imported.key, state="running", position=None, read=0, rejected=0, rejects_bytes=0)
        raise SourceError(f"{source.name}: nothing to import: {refused if imported.rejected else 'no record in it'}")
    store.imports.update(imported.key, state="done", ended=now())


def _write(store: Store, entries: Sequence[OutsideEntry], source: Source, version: str) -> int:
    """Write entries, theory by theory; how many are new."""
    by_theory: dict[str, list[OutsideEntry]] = {}
    for entry in entries:
        by_theory.setdefault(entry.energy.theory, []).append(entry)
    return sum(
        store.entries.add_outside(by_theory[name], source.name, version, source.unique_keys)
        for name in sorted(by_theory)
    )


def _after(before: Imported, good: Sequence[OutsideEntry], batch: Batch, new: int) -> Imported:
    """How an import stands after a batch."""
    return replace(
        before,
        theories=sorted({*before.theories, *(entry.energy.theory for entry in good)}),
        read=before.read + len(batch.items),
        new=before.new + new,
        rejected=before.rejected + len(batch.items) - len(good),
        warnings=tuple(dict.fromkeys((*before.warnings, *batch.warnings))),
    )


def _counts(imported: Imported) -> dict[str, Any]:
    """What the record of an import that runs says of it."""
    return {
        "state": "running",
        "placed": False,
        "read": imported.read,
        "new": imported.new,
        "rejected": imported.rejected,
        "theories": list(imported.theories),
    }


def _check(
    store: Store, source: Source, theory: str, corrections: Corrections, compatible: bool, other_potentials: bool
) -> None:
    """Refuse a name that is none, and what would mix or correct what must not be.

    Raises:
        SourceError: the source's energies have the corrections already.
        StoreError: the theory's name cannot be used, or the theory is a campaign's.
    """
    if not THEORY.fullmatch(theory):
        raise StoreError(f"theory {theory!r}: letters, digits, '.', '_', '+' and '-' only, beginning with a letter")
    if source.corrected and _SCHEMES[corrections] in HOLDING_MP2020:
        raise SourceError(
            f"{source.name}: --corrections {corrections.value}: its energies have the corrections of MP2020 already; "
            "leave this out"
        )
    owner = next((c for c in sorted(store.campaigns.all(), key=lambda c: str(c["_id"])) if c["theory"] == theory), None)
    if owner is None:
        return
    if not compatible:
        raise StoreError(
            f"theory {theory!r} is that of campaign '{owner['_id']}': imported energies would share its hull and its "
            "training set. If computed with the very same settings, say --compatible; otherwise choose another "
            "name"
        )
    release = (owner["settings"].get("theory") or {}).get("potcars", source.potentials)
    if source.potentials and release != source.potentials and not other_potentials:
        raise StoreError(
            f"theory {theory!r} is computed with VASP's potentials {release}, {source.name} with {source.potentials}: "
            "choose another name, or say --other-potentials if these energies may share a hull"
        )


def _entries(
    batch: Batch, source: Source, theory: str, corrections: Corrections, functional: str
) -> tuple[str, list[OutsideEntry], list[Reject]]:
    """The functional of the theory, as far as it is known by now, entries, and what cannot be used."""
    good: list[OutsideEntry] = []
    bad: list[Reject] = []
    for item in batch.items:
        if isinstance(item, Reject):
            bad.append(item)
            continue
        try:
            if item.functional and functional and item.functional != functional:
                raise ValueError(
                    f"computed with {item.functional}, but theory {theory!r} holds {functional}: import it under "
                    "another name"
                )
            good.append(_entry(item, theory_of(theory, item.kind), corrections))
            functional = functional or item.functional  # of a record that is used
        except (UncorrectableError, ValueError) as error:
            where = (item.file or source.name, item.place or item.key)
            bad.append(Reject(*where, item.formula, " ".join(str(error).split())))
    return functional, good, bad


def _file_name(source: str) -> str:
    """A source's name as a part of a file name."""
    return re.sub(r"[^A-Za-z0-9_.+-]+", "-", source.removeprefix("file:")).strip("-.")


def _entry(record: OutsideRecord, theory: str, corrections: Corrections) -> OutsideEntry:
    """The entry of a record.

    Raises:
        UncorrectableError: the scheme refuses the crystal.
        ValueError: no crystal to correct, a formation energy that is to be corrected, or an element's below 0.
    """
    formula = reduced_formula(record.formula)
    if record.kind is EnergyKind.FORMATION and (problem := against_zero(formula, record.energy_per_atom)):
        raise ValueError(problem)
    scheme = _SCHEMES[corrections]
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


def _is_of_rejects(path: Path) -> bool:
    """Whether a file is one that an import has written, or empty."""
    with path.open("rb") as file:
        first = file.readline(200)
    return first.strip() in (b"", ",".join(COLUMNS).encode())


class _RejectsFile:
    """A CSV file that grows with an import; what a run that was stopped wrote behind the last batch is cut off."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        if path.exists() and not _is_of_rejects(path):
            raise SourceError(f"{path} is no file of rejects, and would be replaced: name another with --rejects")
        if size == 0:
            path.unlink(missing_ok=True)
        elif path.exists() and path.stat().st_size > size:
            os.truncate(path, size)

    def append(self, rejects: Sequence[Reject]) -> int:
        """Write rejects to the disk, and return the file's size, bytes."""
        if rejects:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", newline="") as file:
                writer = CsvWriter(file)
                if file.tell() == 0:
                    writer.writerow(COLUMNS)
                writer.writerows((some.file, some.place, some.value[:200], some.reason) for some in rejects)
                file.flush()
                os.fsync(file.fileno())
        return self._path.stat().st_size if self._path.exists() else 0
