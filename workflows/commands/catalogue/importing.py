"""An import as a user follows it: its progress, what became of the records, the hulls that have changed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gnome_torch.data.kinds import Corrections
from workflows.commands.errors import interruptible

if TYPE_CHECKING:  # imported where they are needed: `gnome --help` answers at once
    from gnome_torch.data.origins import Origin
    from gnome_torch.data.outside import Source
    from workflows.catalogue.imports import Imported
    from workflows.store import Store


NOT_FOR_SALE = "not for commercial use: exports, and what is found with these data, are to say so"


@dataclass(frozen=True)
class Destination:
    """What the records become.

    Attributes:
        theory: name of their theory.
        corrections: of total energies.
        compatible: whether they may share a hull with a campaign's.
        other_potentials: whether they may, with potentials of another release.
        rejects: file for those that cannot be used; None: named after the import.
    """

    theory: str
    corrections: Corrections
    compatible: bool
    rejects: Path | None
    other_potentials: bool = False


def run_import(source: Source, destination: Destination) -> None:
    """Import what a source has, place it on its hulls, and say what became of it.

    Raises:
        SourceError: the source cannot be read further.
        StoreError: the theory cannot be written to.
    """
    from workflows.store.connection import open_database

    _, store = open_database()
    imported = _import(store, source, destination)
    _say(source, imported)
    if imported.repeated and imported.placed:
        return
    _place(store, imported.theories)
    store.imports.update(imported.key, placed=True)


def _import(store: Store, source: Source, destination: Destination) -> Imported:
    from gnome_torch.data.outside import SourceError
    from workflows.catalogue.imports import import_source

    kept = 0
    with interruptible(), _progress(source) as show:

        def report(imported: Imported, done: float | None) -> None:
            nonlocal kept
            kept = imported.read - imported.rejected
            show(imported, done)

        to = destination
        try:
            options = (to.theory, to.rejects, to.corrections, to.compatible, to.other_potentials)
            return import_source(store, source, *options, report)
        except SourceError as error:
            if not kept:
                raise
            raise SourceError(
                f"{error}; {kept:,} records were read before and are kept: they are placed on a hull when the import "
                "has ended"
            ) from error


@contextmanager
def _progress(source: Source) -> Iterator[Callable[[Imported, float | None], None]]:
    """A bar on the terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(source.name, total=None)

        def show(imported: Imported, done: float | None) -> None:
            text = f"{source.name}: {imported.read:,} read, {imported.new:,} new, {imported.rejected:,} rejected"
            bar.update(task, description=text, completed=done, total=None if done is None else 1.0)

        yield show


def _say(source: Source, imported: Imported) -> None:
    if imported.repeated:
        print(f"{source.name}: imported before ({imported.read:,} records), and unchanged since: nothing to do")
        return
    kept = imported.read - imported.rejected
    print(f"{source.name}: {kept:,} of {imported.read:,} records used, {imported.new:,} of them new")
    for line in licence_lines(source.name, imported.origin):
        print(line)
    for warning in imported.warnings:
        print(f"gnome: {source.name} warns: {warning}", file=sys.stderr)
    if imported.rejected:
        print(f"gnome: {imported.rejected:,} records left out: all of them are in {imported.rejects}", file=sys.stderr)


def licence_lines(source: str, origin: Origin) -> list[str]:
    """Under which licence a source is, and what to cite."""
    from gnome_torch.data.origins import NOT_STATED, forbids_commerce

    if origin.licence == NOT_STATED:
        return [f"{source}: its licence is not stated: ask who has published it before you pass it on"]
    where = f" ({origin.licence_url})" if origin.licence_url else ""
    lines = [f"{source}: {origin.licence}{where}{f', cite {origin.citation}' if origin.citation else ''}"]
    return [*lines, NOT_FOR_SALE] if forbids_commerce(origin.licence) else lines


def _place(store: Store, theories: Sequence[str]) -> None:
    """Renew the hulls that have changed, and with them what is known of the campaigns' finds."""
    from gnome_torch.stability.hull import STABLE_TOLERANCE
    from workflows.catalogue.hulls import renew
    from workflows.catalogue.novelty import NEAR, judge

    for theory in theories:
        renewed = renew(store, theory)
        on_hull = sum(point.e_above_hull <= STABLE_TOLERANCE for point in renewed.points.values())
        print(f"theory {theory}: {len(renewed.points):,} entries placed, {on_hull:,} of them on the hull")
        if renewed.doubtful:
            print(
                f"gnome: {len(renewed.doubtful):,} energies that no crystal can have are kept off the hull",
                file=sys.stderr,
            )
        if renewed.missing:
            print(
                f"gnome: compounds of {', '.join(renewed.missing)} are not placed: no entry of the pure element; "
                "import one of the same theory",
                file=sys.stderr,
            )
    judge(store, store.finds.near_hull(NEAR))
    store.finds.settle_compositions()  # what a source has replaced is known no longer
