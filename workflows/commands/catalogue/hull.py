"""`gnome hull`: distances to the convex hull, from files to files."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gnome_torch.files import whole_file

if TYPE_CHECKING:  # imported where they are needed: `gnome --help` answers at once
    from gnome_torch.data.energies import EnergyTable
    from gnome_torch.data.rejects import Reject
    from gnome_torch.stability.hull import Hull

COLUMNS = ("formula", "e_form", "e_above_hull", "phase_separation_energy", "decomposition")
ROWS_AT_ONCE = 5000


def hull(
    out: Annotated[Path, typer.Option(help=f"CSV file to write: {','.join(COLUMNS)} (eV/atom)")],
    entries: Annotated[
        Path | None, typer.Option(help="CSV file: formula and formation energy (eV/atom) of what is known")
    ] = None,
    theory: Annotated[
        str | None, typer.Option(help="in its place: a theory of the database, see 'gnome data list'")
    ] = None,
    query: Annotated[
        Path | None, typer.Option(help="CSV file: formula and, if known, formation energy; by default the entries")
    ] = None,
    target: Annotated[str, typer.Option(help="column with the formation energies, eV/atom")] = "target",
) -> None:
    """Distances to the convex hull of formation energies; elements that are not listed are at 0.

    e_above_hull: above the hull of all entries. phase_separation_energy: against the hull without any entry of the
    same composition, negative for a stable compound; empty for an element. decomposition: phases on the hull with
    their parts of the atoms. Rows that cannot be used are written to OUT.rejects.csv, and the others go on.
    """
    from gnome_torch.data.energies import read_energies
    from gnome_torch.data.files import StructureFileError
    from gnome_torch.data.rejects import Reject, write_rejects
    from gnome_torch.stability.hull import Hull

    if (entries is None) == (theory is None):
        raise StructureFileError("what is known: give --entries FILE or --theory NAME, one of them")
    if out.exists() and any(path is not None and path.exists() and out.samefile(path) for path in (entries, query)):
        raise StructureFileError(f"--out {out}: this file is read from: choose another name")
    known = read_energies(entries, target) if entries is not None else _read_theory(theory or "")
    rejects = list(known.rejects)
    asked = known
    if query is not None:
        asked = read_energies(query, target, required=False)
        rejects += asked.rejects
    engine = Hull.of_formation_energies(known.formulas, known.energies, known.ids)
    rows = [(row, formula) for row, formula in enumerate(asked.formulas)]
    if query is not None:
        missing = [(row, engine.missing_elements(formula)) for row, formula in rows]
        rejects += [
            Reject(str(query), asked.ids[row], asked.formulas[row], f"no entry has {', '.join(symbols)}")
            for row, symbols in missing
            if symbols
        ]
        rows = [rows[row] for row, symbols in missing if not symbols]
    if not rows:
        raise StructureFileError(f"{query}: the entries have the elements of none of its compounds")
    _write(engine, [(formula, asked.energies[row]) for row, formula in rows], out)
    write_rejects(rejects, out.with_name(f"{out.name}.rejects.csv"))
    print(f"{out}: {len(rows):,} compositions on a hull of {len(known):,} entries")
    if rejects:
        _say(rejects, out)


def flips(
    theory: Annotated[str, typer.Option(help="a theory of the database, see 'gnome data list'")],
    out: Annotated[Path | None, typer.Option(help="CSV file to write; by default only the numbers are printed")] = None,
) -> None:
    """Stabilities that hang on the corrections: entries on the hull with them and off it without, or the other way."""
    from gnome_torch.stability.corrections import flips as flips_of
    from gnome_torch.stability.hull import STABLE_TOLERANCE
    from workflows.catalogue.hulls import FORMATION, believed
    from workflows.store import StoreError
    from workflows.store.connection import open_database

    _, store = open_database()
    if theory.endswith(FORMATION):
        raise StoreError(f"theory {theory!r} holds formation energies, which have no corrections")
    entries = believed(store, theory)
    found = flips_of(entries)
    lost = sum(flip.corrected <= STABLE_TOLERANCE for flip in found)
    print(
        f"theory {theory}: {len(entries):,} entries; stable with corrections only: {lost:,}; "
        f"without them only: {len(found) - lost:,}"
    )
    if out is not None:
        with whole_file(out) as file:
            writer = csv.writer(file)
            writer.writerow(("formula", "e_above_hull", "e_above_hull_uncorrected", "correction", "entry"))
            for flip in found:
                numbers = (flip.corrected, flip.uncorrected, flip.entry.correction)
                writer.writerow([flip.entry.reduced_formula, *(f"{x:.6f}" for x in numbers), flip.entry.id])


def _read_theory(theory: str) -> EnergyTable:
    """Formation energies of a theory's entries in the database."""
    import numpy as np

    from gnome_torch.data.energies import EnergyTable
    from gnome_torch.stability.formulas import fractions_of
    from workflows.catalogue.hulls import believed, hull_of
    from workflows.store.connection import open_database

    _, store = open_database()
    entries = believed(store, theory)
    formulas = [entry.reduced_formula for entry in entries]
    energies = hull_of(entries).formation_energies(
        fractions_of(formulas), np.array([entry.energy_per_atom for entry in entries])
    )
    return EnergyTable([entry.id for entry in entries], formulas, energies.tolist(), [])


def _say(rejects: list[Reject], out: Path) -> None:
    for some in rejects[:3]:
        print(f"gnome: left out: {some}", file=sys.stderr)
    more = f"; {len(rejects) - 3:,} more" if len(rejects) > 3 else ""
    print(f"gnome: {len(rejects):,} left out, all in {out}.rejects.csv{more}", file=sys.stderr)


def _write(engine: Hull, rows: list[tuple[str, float]], out: Path) -> None:
    """Answer and write, some thousands at a time; the file appears when it is complete."""
    from functools import cache

    import numpy as np
    from rich.progress import track

    from gnome_torch.stability.formulas import fractions_of

    formula_of = cache(engine.formula_of)
    with whole_file(out) as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for start in track(range(0, len(rows), ROWS_AT_ONCE), "hull", disable=len(rows) <= ROWS_AT_ONCE):
            some = rows[start : start + ROWS_AT_ONCE]
            found = engine.decompositions([formula for formula, _ in some])
            lowest = engine.lowest_energies(found)
            # measured from the elements as they are listed, like the hull
            given = engine.formation_energies(
                fractions_of(formula for formula, _ in some), np.array([energy for _, energy in some])
            )
            energies = np.where(np.isnan(given), lowest, given)
            for row, (formula, _) in enumerate(some):
                parts = engine.decomposition(found, row)
                numbers = (energies[row], energies[row] - found.energy[row], energies[row] - found.energy_without[row])
                text = " + ".join(f"{formula_of(phase)} ({amount:.4f})" for phase, amount in parts)
                writer.writerow([formula, *("" if np.isnan(x) else f"{round(x, 6) + 0.0:.6f}" for x in numbers), text])
