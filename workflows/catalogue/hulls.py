"""Hulls of what the database knows, and where its entries stand on them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from gnome_torch.data.kinds import EnergyKind
from gnome_torch.records import EntryEnergy, HullPoint
from gnome_torch.stability.formulas import amounts_of, symbol_of
from gnome_torch.stability.hull import Hull, MissingReferenceError
from gnome_torch.stability.plausibility import unbelievable
from workflows.catalogue.recorrections import recorrect
from workflows.store import Store, StoreError, now

FORMATION = ":formation"


def theory_of(name: str, kind: EnergyKind) -> str:
    """Key of a theory that comes from outside: formation energies never meet total ones, whatever they are called."""
    return name if kind is EnergyKind.TOTAL else f"{name}{FORMATION}"


def hull_of(entries: Sequence[EntryEnergy]) -> Hull:
    """The hull of entries of one theory; for formation energies, the reference of every element is at 0.

    Raises:
        MixedTheoryError: several theories.
        MissingReferenceError: an element without an entry of its own, of a theory of total energies.
    """
    if not entries or not entries[0].theory.endswith(FORMATION):
        return Hull(entries)
    at_zero = _pure([entry for entry in entries if entry.energy_per_atom == 0])
    zeros = [
        EntryEnergy(symbol, symbol, 0.0, 0.0, entries[0].theory) for symbol in sorted(_elements(entries) - at_zero)
    ]
    return Hull([*(entry for entry in entries if not _rounded_below_zero(entry)), *zeros])


def current_hull(store: Store, theory: str, elements: Collection[str] | None = None) -> Hull:
    """The hull of everything that the database knows of a theory, within some elements or all.

    Entries that cannot be believed, and those of elements without an entry of their own, are left out.
    """
    return hull_of(hull_entries(store, theory, elements))


def hull_entries(store: Store, theory: str, elements: Collection[str] | None = None) -> list[EntryEnergy]:
    """What the hull of a theory is made of, within some elements or all; empty where there is nothing yet."""
    return _placeable(_believable(store.entries.energies(theory, elements))[0])


def believed(store: Store, theory: str) -> list[EntryEnergy]:
    """Entries of a theory that can be placed on its hull.

    Raises:
        StoreError: there is none.
    """
    entries = hull_entries(store, theory)
    if not entries:
        names = ", ".join(sorted({row["theory"] for row in store.entries.theories()})) or "none"
        raise StoreError(f"theory {theory!r} has no entries that a hull can be made of (theories: {names})")
    return entries


@dataclass(frozen=True)
class Renewed:
    """A hull that has been renewed.

    Attributes:
        points: where the entries stand that were placed.
        missing: elements without an entry of their own, whose compounds could not be placed.
        doubtful: entries kept out, with the reason.
        size: entries that the hull was made of.
    """

    points: Mapping[str, HullPoint]
    missing: Sequence[str]
    doubtful: Mapping[str, str]
    size: int


def renew(store: Store, theory: str, elements: Collection[str] | None = None) -> Renewed:
    """Place the entries of a theory on its hull anew, and write down where they stand.

    Args:
        store: the database.
        theory: key of the theory.
        elements: only entries that hold one of these; None for all.

    Raises:
        MissingReferenceError: one of `elements` has no entry of its own; nothing is written.
    """
    moment = now()
    recorrect(store, theory)  # a hull has the corrections of one version
    kept, doubtful = _believable(store.entries.energies(theory))
    missing = sorted(_elements(kept) - _pure(kept)) if not theory.endswith(FORMATION) else []
    needed = sorted(set(elements or ()) - _pure(kept)) if not theory.endswith(FORMATION) else []
    if needed:
        raise MissingReferenceError(f"no entry of the pure element {', '.join(needed)}")
    entries = _placeable(kept)
    hull = hull_of(entries)
    touched = [e for e in entries if elements is None or not set(elements).isdisjoint(_symbols(e))]
    points = dict(zip((entry.id for entry in touched), hull.points(touched), strict=True))
    store.entries.set_stability(theory, points, moment, len(entries), _without_corrections(entries, touched))
    store.entries.set_doubtful(doubtful)
    return Renewed(points, missing, doubtful, len(entries))


def _without_corrections(entries: Sequence[EntryEnergy], touched: Sequence[EntryEnergy]) -> dict[str, float] | None:
    """Distances to the hull of the energies as they were calculated, eV/atom; None where nothing is corrected."""
    if not any(entry.correction for entry in entries):
        return None
    hull = hull_of([replace(entry, correction=0.0) for entry in entries])
    points = hull.points([replace(entry, correction=0.0) for entry in touched])
    return {entry.id: point.e_above_hull for entry, point in zip(touched, points, strict=True)}


def _believable(entries: Sequence[EntryEnergy]) -> tuple[list[EntryEnergy], dict[str, str]]:
    of_formation = bool(entries) and entries[0].theory.endswith(FORMATION)
    doubtful = unbelievable(entries, 0.0) if of_formation else unbelievable(entries)
    return [entry for entry in entries if entry.id not in doubtful], doubtful


def _placeable(entries: Sequence[EntryEnergy]) -> list[EntryEnergy]:
    """Entries whose elements all have a reference."""
    if entries and entries[0].theory.endswith(FORMATION):
        return list(entries)
    known = _pure(entries)
    return [entry for entry in entries if known.issuperset(_symbols(entry))]


def _rounded_below_zero(entry: EntryEnergy) -> bool:
    """Whether a formation energy is an element's and not above 0 but for its last digits."""
    return entry.energy_per_atom < 0 and len(_symbols(entry)) == 1


def _pure(entries: Sequence[EntryEnergy]) -> set[str]:
    """Elements that have an entry of their own."""
    return {next(iter(_symbols(entry))) for entry in entries if len(_symbols(entry)) == 1}


def _elements(entries: Sequence[EntryEnergy]) -> set[str]:
    return {symbol for entry in entries for symbol in _symbols(entry)}


def _symbols(entry: EntryEnergy) -> set[str]:
    return {symbol_of(z) for z, _ in amounts_of(entry.reduced_formula)}
