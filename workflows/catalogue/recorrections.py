"""Corrections that another version of pymatgen made, made anew: a hull has those of one version.

Versions before the stamp (`correction_scheme`) kept neither the scheme of an import nor what its records were computed
with. The scheme is in the import's own record. MP2020 refuses what was not computed as the Materials Project would, so
of an entry that it has taken run type and U are known: the Project's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pymatgen.core import Structure

from gnome_torch.data.gnome_release import GnomeRelease
from gnome_torch.data.kinds import Corrections
from gnome_torch.stability.corrections import HOLDING_MP2020, CorrectionScheme, UncorrectableError, correction, stamp
from workflows.store import PastImport, Store
from workflows.store.base import Document


@dataclass(frozen=True)
class Recorrected:
    """What became of the old corrections of a theory.

    Attributes:
        renewed: entries whose correction was made anew.
        refused: entries that the scheme refuses by now, with the reason; they keep what they have.
        unclear: sources whose entries have an old correction that nobody can make anew, with the reason.
    """

    renewed: int
    refused: Mapping[str, str]
    unclear: Mapping[str, str]


def recorrect(store: Store, theory: str) -> Recorrected:
    """Make the corrections of a theory anew that are not of the pymatgen that is installed, from what is stored.

    Args:
        store: the database.
        theory: key of the theory. Imported entries without a scheme have what their source gave, and keep it, unless
            their import says that they were corrected.
    """
    renewed, refused = 0, {}
    for scheme in HOLDING_MP2020:
        mark = stamp(scheme) or {}
        for document in _old(store, theory, scheme):
            try:
                store.entries.set_correction(document, _correction_of(document, scheme), mark)
                renewed += 1
            except UncorrectableError as error:
                refused[str(document["_id"])] = str(error)
    return Recorrected(renewed, refused, _unclear(store, theory))


def _old(store: Store, theory: str, scheme: CorrectionScheme) -> Iterator[Document]:
    """Entries of a theory with a correction of a scheme that is not of the pymatgen installed."""
    own = next((c["scheme"] for c in store.campaigns.all() if c["theory"] == theory), "")
    yield from store.entries.corrected_otherwise(theory, stamp(scheme) or {}, unmarked=own == scheme.value)
    if scheme is CorrectionScheme.MP2020:
        for some, others in _imports(store, theory):
            if some.corrections == Corrections.MP2020 and not _doubt(some, others):
                yield from store.entries.unmarked_of(some)


def _imports(store: Store, theory: str) -> Iterator[tuple[PastImport, Sequence[PastImport]]]:
    """Imports into a theory that corrected, each with those of the same source in the same time that did otherwise."""
    past = store.imports.into(theory)
    for some in past:
        if some.corrections != Corrections.AS_GIVEN:
            yield some, [other for other in past if other.corrections != some.corrections and other.overlaps(some)]


def _unclear(store: Store, theory: str) -> dict[str, str]:
    """Sources of entries with an old correction that cannot be made anew, with the reason."""
    found = {}
    for some, others in _imports(store, theory):
        doubt = _doubt(some, others)
        if doubt and (count := store.entries.count_unmarked_of(some)):
            entries = "1 entry" if count == 1 else f"{count} entries"
            found[some.source] = f"{entries}, imported with --corrections {some.corrections}: {doubt}"
    return found


def _doubt(some: PastImport, others: Sequence[PastImport]) -> str:
    """Why it is not known what the entries of an import should have; empty if it is."""
    if others:
        words = sorted({other.corrections for other in others})
        return f"at the same time it was imported with {', '.join(words)}, and which entry is of which is not written"
    if some.source == GnomeRelease.name and some.corrections == Corrections.MP2020:
        return "its energies had the corrections of MP2020 before, and now have them twice"
    if some.corrections not in list(Corrections):  # of versions before the stamp
        return "an earlier version added GNoME's shifts whichever way they were meant, to-gnome or from-gnome"
    return ""


def _correction_of(document: Document, scheme: CorrectionScheme) -> float:
    """The correction of an entry's cell, eV, by its crystal, its energy and what it was computed with.

    Raises:
        UncorrectableError: the scheme refuses it.
    """
    computed: Mapping[str, Any] = document.get("calculation") or (document.get("outside") or {}).get("parameters") or {}
    known = {name: computed[name] for name in ("run_type", "hubbards", "oxidation_states") if name in computed}
    return correction(Structure.from_dict(document["structure"]), document["energy"], scheme, known or None)
