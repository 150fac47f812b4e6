"""`gnome flips`: stabilities that depend on the energy corrections."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gnome_torch.files import whole_file
from gnome_torch.spreadsheets import CsvWriter

if TYPE_CHECKING:  # imported where they are needed: `gnome --help` answers at once
    from gnome_torch.stability.corrections import Flip


def flips(
    theory: Annotated[str, typer.Option(help="a theory of the database, see 'gnome data list'")],
    out: Annotated[Path | None, typer.Option(help="CSV file to write; by default only the numbers are printed")] = None,
) -> None:
    """Stabilities that depend on the corrections: on the hull with them and off it without, or the other way."""
    from gnome_torch.stability.corrections import flips as flips_of
    from gnome_torch.stability.hull import STABLE_TOLERANCE
    from workflows.catalogue.hulls import FORMATION, believed
    from workflows.store import StoreError
    from workflows.store.connection import open_database

    _, store = open_database()
    if theory.endswith(FORMATION):
        raise StoreError(f"theory {theory!r} holds formation energies, which have no corrections")
    entries = believed(store, theory)
    flipped = flips_of(entries)
    lost = sum(flip.corrected <= STABLE_TOLERANCE for flip in flipped)
    print(
        f"theory {theory}: {len(entries):,} entries; stable with corrections only: {lost:,}; "
        f"without them only: {len(flipped) - lost:,}"
    )
    if out is not None:
        _write(flipped, out)


def _write(flipped: Sequence[Flip], out: Path) -> None:
    with whole_file(out) as file:
        writer = CsvWriter(file)
        writer.writerow(("formula", "e_above_hull", "e_above_hull_uncorrected", "correction", "entry"))
        for flip in flipped:
            numbers = (flip.corrected, flip.uncorrected, flip.entry.correction)
            writer.writerow([flip.entry.reduced_formula, *(f"{x:.6f}" for x in numbers), flip.entry.id])
