"""Batch after batch into the database, each with the position behind it: nothing is lost or imported twice."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gnome_torch.data.kinds import Corrections
from gnome_torch.data.origins import Origin
from gnome_torch.data.outside import Batch, Source, SourceError
from gnome_torch.records import content_hash
from gnome_torch.stability.corrections import HOLDING_MP2020
from workflows.catalogue.imports.records import SCHEMES, Records
from workflows.catalogue.imports.rejects import RejectsFile
from workflows.store import ImportState, OutsideEntry, Store, StoreError, now
from workflows.store.base import Document

THEORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,95}")
FROM_THE_BEGINNING: Mapping[str, Any] = {"position": None, "read": 0, "rejected": 0, "rejects_bytes": 0}
"""Whatever was counted will be counted again."""


@dataclass(frozen=True)
class Imported:
    """How an import stands.

    Attributes:
        theories: keys of the theories that have been written to.
        read: records of the source that have been read, over all runs.
        new: entries that were not there before, over all runs.
        rejected: records that could not be used, over all runs; they are in the file of rejects.
        key: of the import's record.
        origin: who has published it, and under which licence.
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
    origin: Origin
    repeated: bool = False
    placed: bool = False
    rejects: Path | None = None
    warnings: tuple[str, ...] = ()

    def after(self, batch: Batch, new: Sequence[OutsideEntry], added: int, rejected: int) -> Imported:
        """How it stands when one more batch has been written.

        Args:
            batch: that was read.
            new: entries of it.
            added: how many of them were not there before.
            rejected: records of it that could not be used.
        """
        return replace(
            self,
            theories=sorted({*self.theories, *(entry.energy.theory for entry in new)}),
            read=self.read + len(batch.items),
            new=self.new + added,
            rejected=self.rejected + rejected,
            warnings=tuple(dict.fromkeys((*self.warnings, *batch.warnings))),
        )


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
        theory: name of their theory; formation energies get a theory of their own beside it.
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
    key, mark = _opened(store, source, theory, corrections, other_potentials)
    done = mark["state"] == ImportState.DONE
    if done and source.unchanging:
        return replace(_standing(key, mark), repeated=True, placed=mark.get("placed", False))
    if done or mark["position"] is None:
        mark = {**mark, **FROM_THE_BEGINNING}
    rejects = rejects or Path(f"{_file_name(source.name)}.{key[:8]}.rejects.csv")
    file = RejectsFile(rejects, mark["rejects_bytes"])
    imported = replace(_standing(key, mark), rejects=rejects)
    records = Records(theory, corrections, imported.origin.licence, store.imports.functional_of(theory))
    for batch in source.batches(mark["position"]):
        entries, refused = records.entries(batch, source.name)
        added = _add(store, source, mark["version"], entries)
        size = file.append(refused)
        imported = imported.after(batch, entries, added, len(refused))
        # last of all: what comes before it is repeated without harm if we die here
        _remember(store, imported, position=batch.position, rejects_bytes=size, functional=records.functional)
        report(imported, batch.done)
    _end(store, source, imported)
    return imported


def _opened(
    store: Store, source: Source, theory: str, corrections: Corrections, other_potentials: bool
) -> tuple[str, Document]:
    """Key and record of an import, begun if there is none, which says whose data these are, and under which licence."""
    identity = {**source.identity, "theory": theory, "corrections": corrections.value}
    key = content_hash(identity)
    mark = store.imports.open(key, source=source.name, identity=identity, theory=theory, theories=[])
    said = {
        "origin": asdict(source.origin),
        "version": str(identity.get("version", "")),
        "potentials": source.potentials,
    }
    store.imports.note(key, **said, **({"other_potentials": True} if other_potentials else {}))
    return key, {**mark, **said}


def _standing(key: str, mark: Document) -> Imported:
    """How an import stands by its record."""
    origin = Origin(**mark["origin"])
    return Imported(mark["theories"], mark["read"], mark["new"], mark["rejected"], key, origin)


def _add(store: Store, source: Source, version: str, entries: Sequence[OutsideEntry]) -> int:
    """Write entries, theory by theory; returns how many were not there before."""
    added = 0
    for theory in sorted({entry.energy.theory for entry in entries}):
        of_theory = [entry for entry in entries if entry.energy.theory == theory]
        added += store.entries.add_outside(of_theory, source.name, version, source.unique_keys)
    return added


def _remember(store: Store, imported: Imported, **fields: Any) -> None:
    store.imports.update(
        imported.key,
        state=ImportState.RUNNING,
        placed=False,
        read=imported.read,
        new=imported.new,
        rejected=imported.rejected,
        theories=list(imported.theories),
        **fields,
    )


def _end(store: Store, source: Source, imported: Imported) -> None:
    """Note that an import is complete; one that brought nothing has not been, and begins anew."""
    if imported.read > imported.rejected:
        store.imports.update(imported.key, state=ImportState.DONE, ended=now())
        return
    store.imports.update(imported.key, state=ImportState.RUNNING, **FROM_THE_BEGINNING)
    refused = f"all {imported.rejected} records are refused, see {imported.rejects}"
    raise SourceError(f"{source.name}: nothing to import: {refused if imported.rejected else 'no record in it'}")


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
    if source.corrected and SCHEMES[corrections] in HOLDING_MP2020:
        raise SourceError(
            f"{source.name}: --corrections {corrections.value}: its energies have the corrections of MP2020 already; "
            "leave this out"
        )
    computed = _computed(store, theory, source.potentials)
    if computed is None:
        return
    if not compatible:
        raise StoreError(
            f"theory {theory!r} is that of campaign '{computed.campaign}': imported energies would share its hull and "
            "its training set. If computed with the very same settings, say --compatible; otherwise choose another "
            "name"
        )
    if source.potentials and computed.release != source.potentials and not other_potentials:
        raise StoreError(
            f"theory {theory!r} is computed with VASP's potentials {computed.release}, {source.name} with "
            f"{source.potentials}: choose another name, or say --other-potentials if these energies may share a hull"
        )


@dataclass(frozen=True)
class _Computed:
    """What computes a theory here.

    Attributes:
        campaign: its name.
        release: of VASP's potentials.
    """

    campaign: str
    release: str


def _computed(store: Store, theory: str, unless_said: str) -> _Computed | None:
    """What computes a theory, as its own or to recheck phases; None for a theory that is only imported.

    Args:
        store: the database.
        theory: key of the theory.
        unless_said: release of potentials of a theory without any.
    """
    owners = (c for c in store.campaigns.all() if c["theory"] == theory)
    if (owner := min(owners, key=lambda c: str(c["_id"]), default=None)) is not None:
        return _Computed(owner["_id"], (owner["settings"].get("theory") or {}).get("potcars", unless_said))
    if (entry := store.entries.rechecked(theory)) is not None:
        release = (entry.get("calculation") or {}).get("potcar_functional", unless_said)
        return _Computed(entry["lineage"]["campaign"], release)
    return None


def _file_name(source: str) -> str:
    """A source's name as a part of a file name."""
    return re.sub(r"[^A-Za-z0-9_.+-]+", "-", source.removeprefix("file:")).strip("-.")
