"""`gnome hull`: distances to the convex hull, from files to files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gnome_torch.files import whole_file
from gnome_torch.spreadsheets import CsvWriter
from workflows.commands.errors import refuse_inputs

if TYPE_CHECKING:  # imported where they are needed: `gnome --help` answers at once
    from gnome_torch.data.energies import EnergyTable
    from gnome_torch.stability.hull import Hull

COLUMNS = ("formula", "e_form", "e_above_hull", "phase_separation_energy", "decomposition")
ROWS_AT_ONCE = 5000

OUT = Annotated[Path, typer.Option(help=f"CSV file to write: {','.join(COLUMNS)} (eV/atom)")]
ENTRIES = Annotated[Path | None, typer.Option(help="CSV file: formula and formation energy (eV/atom) of what is known")]
THEORY = Annotated[str | None, typer.Option(help="in its place: a theory of the database, see 'gnome data list'")]
QUERY = Annotated[
    Path | None, typer.Option(help="CSV file: formula and, if known, formation energy; by default the entries")
]
TARGET = Annotated[str, typer.Option(help="column with the formation energies, eV/atom")]


def hull(
    out: OUT, entries: ENTRIES = None, theory: THEORY = None, query: QUERY = None, target: TARGET = "target"
) -> None:
    """Distances to the convex hull of formation energies, which are measured from the elements, at 0.

    e_above_hull: above the hull of all entries. phase_separation_energy: against the hull without any entry of the
    same composition, negative for a stable compound; empty for an element. decomposition: phases on the hull with
    their parts of the atoms. Rows that cannot be used are written to OUT.rejects.csv, and the others go on.
    """
    from gnome_torch.data.energies import read_energies
    from gnome_torch.data.files import StructureFileError
    from gnome_torch.data.rejects import keep_rejects, rejects_of
    from gnome_torch.stability.hull import Hull

    if (entries is None) == (theory is None):
        raise StructureFileError("what is known: give either --entries FILE or --theory NAME")
    refuse_inputs(out, *(path for path in (entries, query) if path is not None))
    known = read_energies(entries, target) if entries is not None else _read_theory(theory or "")
    engine = Hull.of_formation_energies(known.formulas, known.energies, known.ids)
    asked, rejects = known, list(known.rejects)
    if query is not None:
        asked = _with_known_elements(read_energies(query, target, required=False), engine, query)
        rejects += asked.rejects
    with whole_file(out) as file:
        writer = CsvWriter(file)
        writer.writerow(COLUMNS)
        writer.writerows(_answers(engine, asked))
    print(f"{out}: {len(asked):,} compositions on a hull of {len(known):,} entries")
    keep_rejects(rejects, rejects_of(out))


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


def _with_known_elements(asked: EnergyTable, engine: Hull, query: Path) -> EnergyTable:
    """The rows whose elements the hull has; the others become rejects.

    Raises:
        StructureFileError: it has those of none.
    """
    from gnome_torch.data.energies import EnergyTable
    from gnome_torch.data.files import StructureFileError
    from gnome_torch.data.rejects import Reject

    missing = [engine.missing_elements(formula) for formula in asked.formulas]
    rows = [row for row, symbols in enumerate(missing) if not symbols]
    if not rows:
        raise StructureFileError(f"{query}: the entries lack an element of every compound in it")
    rejects = [
        Reject(str(query), asked.ids[row], asked.formulas[row], f"no entry has {', '.join(symbols)}")
        for row, symbols in enumerate(missing)
        if symbols
    ]
    return EnergyTable(
        [asked.ids[row] for row in rows],
        [asked.formulas[row] for row in rows],
        [asked.energies[row] for row in rows],
        [*asked.rejects, *rejects],
    )


def _answers(engine: Hull, asked: EnergyTable) -> Iterator[list[str]]:
    """Lines of the table, some thousands worked out at a time."""
    from functools import cache

    import numpy as np
    from rich.progress import track

    formula_of = cache(engine.formula_of)
    for start in track(range(0, len(asked), ROWS_AT_ONCE), "hull", disable=len(asked) <= ROWS_AT_ONCE):
        formulas = asked.formulas[start : start + ROWS_AT_ONCE]
        energies = np.array(asked.energies[start : start + ROWS_AT_ONCE], dtype=float)
        found = engine.decompositions(formulas)
        lowest = engine.lowest_energies(found)
        energies = np.where(np.isnan(energies), lowest, energies)
        for row, formula in enumerate(formulas):
            parts = engine.decomposition(found, row)
            numbers = (energies[row], energies[row] - found.energy[row], energies[row] - found.energy_without[row])
            texts = ("" if np.isnan(x) else f"{round(x, 6) + 0.0:.6f}" for x in numbers)
            yield [formula, *texts, " + ".join(f"{formula_of(phase)} ({amount:.4f})" for phase, amount in parts)]
