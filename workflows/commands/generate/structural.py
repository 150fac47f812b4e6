"""`gnome generate structural`: substitution in known crystals."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflows.commands.generate.elements import policy

if TYPE_CHECKING:  # imported where they are needed: `gnome --help` answers at once
    from rich.console import Console

    from gnome_torch.candidates.parents import Parent

LIBRARY = "prototypes"
NAMED = 20  # unsuitable parents named on the terminal; all are in summary.json


class Order(StrEnum):
    PROBABLE = "probable"
    RANDOM = "random"


def structural(
    parents: Annotated[
        list[str],
        typer.Option(
            help="known crystals: 'prototypes' (AFLOW's 288), a file (CIF, POSCAR, extended XYZ, ASE database, "
            "pymatgen JSON, CSV with a column cif) or a directory of files; can be given several times"
        ),
    ],
    elements: Annotated[str, typer.Option(help="elements to build with, such as Li,Na,Mg,O,F; or 'all'")],
    out: Annotated[Path, typer.Option(help="directory for the candidates")],
    limit: Annotated[int | None, typer.Option(min=1, help="keep at most this many")] = None,
    order: Annotated[Order, typer.Option(help="which to keep: the most probable, or a random sample")] = Order.PROBABLE,
    seed: Annotated[int, typer.Option(min=0, help="of the random sample")] = 0,
    known: Annotated[
        Path | None, typer.Option(help="CSV of known compositions (column formula), left out like those of the parents")
    ] = None,
    threshold: Annotated[float, typer.Option(min=1e-12, max=1.0, help="smallest substitution probability")] = 0.001,
    saps: Annotated[bool, typer.Option(help="also replace an ion on some of its sites only")] = True,
    choices: Annotated[int, typer.Option(min=0, help="choices of sites per ion at most")] = 64,
    split_sites: Annotated[
        int, typer.Option(min=0, max=20, help="an ion on more sites changes by whole orbits only")
    ] = 12,
    systems: Annotated[str, typer.Option(help="chemical systems to stay within, such as Li-Fe-O,Na-Cl")] = "",
    exclude: Annotated[str, typer.Option(help="elements to leave out, such as Hg,Tl")] = "",
    radioactive: Annotated[bool, typer.Option("--radioactive", help="allow elements without a stable isotope")] = False,
    noble_gases: Annotated[bool, typer.Option("--noble-gases", help="allow noble gases")] = False,
    max_atoms: Annotated[int, typer.Option(min=2, max=200, help="atoms in the cell at most")] = 20,
    max_elements: Annotated[int, typer.Option(min=2, help="different elements at most")] = 5,
    charge_balance: Annotated[
        bool, typer.Option("--charge-balance", help="only what common oxidation states can balance")
    ] = False,
    min_contact: Annotated[
        float, typer.Option(min=0.0, help="shortest distance over the sum of the covalent radii at least")
    ] = 0.75,
    workers: Annotated[int, typer.Option(min=1, help="processes; the candidates are the same for any number")] = (
        os.cpu_count() or 1
    ),
) -> None:
    """Substitute in known crystals, fully and on symmetry-distinct parts of their sites.

    Ctrl-C stops; the same command goes on from there. Running it again when it is done changes nothing.
    """
    from rich.console import Console

    from gnome_torch.candidates.structural.generation import generate
    from gnome_torch.candidates.structural.partial import PartialLimits
    from gnome_torch.candidates.structural.proposals import StructuralOptions, known_compositions
    from gnome_torch.candidates.structural.selection import Request, Selection
    from gnome_torch.candidates.structural.substitution import SubstitutionRules
    from gnome_torch.data.files import read_formulas

    chosen = policy(
        elements,
        exclude,
        systems,
        radioactive,
        noble_gases,
        max_sites=max_atoms,
        max_elements=max_elements,
        charge_balance=charge_balance,
        min_contact=min_contact,
    )
    formulas = read_formulas(known) if known else []
    console = Console()
    crystals, unsuitable = _read_parents(parents, max_atoms, console)
    formulas += [parent.structure.reduced_formula for parent in crystals]
    options = StructuralOptions(
        chosen, SubstitutionRules(threshold), saps, PartialLimits(split_sites, choices), known_compositions(formulas)
    )
    try:
        with _progress(console) as report:
            summary = generate(
                crystals,
                Request(options, Selection(limit, order.value, seed)),
                out,
                refused=unsuitable,
                workers=workers,
                progress=report,
            )
    except KeyboardInterrupt:
        print("gnome: stopped; the same command goes on from here", file=sys.stderr)
        raise typer.Exit(130) from None
    _print_summary(summary, out, console)


def _read_parents(
    sources: Sequence[str], max_atoms: int, console: Console
) -> tuple[list[Parent], list[tuple[str, str]]]:
    """The crystals of all sources that can be parents; the others with the reason, which is also printed."""
    from gnome_torch.candidates.parents import ParentError, parent_of
    from gnome_torch.candidates.prototypes import prototypes
    from gnome_torch.candidates.structural.generation import GenerationError
    from gnome_torch.data.files import Crystal, read_crystals

    crystals, unsuitable = [], []
    named = 0
    for source in sources:
        library = source == LIBRARY
        items: Iterator[Crystal] = (
            (Crystal(key, structure) for key, structure in prototypes().items()) if library else read_crystals(source)
        )
        reasons: Counter[str] = Counter()
        with console.status(f"reading {source}"):
            for crystal in items:
                try:
                    if crystal.structure is None:
                        raise ParentError(crystal.problem)
                    crystals.append(parent_of(crystal.name, crystal.structure, max_atoms))
                except ParentError as error:
                    unsuitable.append((crystal.name, str(error)))
                    reasons[str(error)] += 1
                    if not library and named < NAMED:
                        print(f"skipped {crystal.name}: {error}", file=sys.stderr)
                        named += 1
        if library:  # nobody asked for these in particular
            for reason, count in reasons.items():
                print(f"skipped {count} of the {LIBRARY}: {reason}", file=sys.stderr)
    if len(unsuitable) > named and named == NAMED:
        print(f"skipped more, {len(unsuitable)} in all: their names are in summary.json", file=sys.stderr)
    if not crystals:
        raise GenerationError(f"no crystal of {', '.join(sources)} can be a parent: all were skipped, see above")
    return crystals, unsuitable


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[int, int, int], None]]:
    """A progress bar on the terminal, or a line now and then in a log."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("units of parents"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[passed]:,} candidates"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=None, passed=0)

        def report(done: int, total: int, passed: int) -> None:
            bar.update(task, completed=done, total=total, passed=passed)

        yield report


def _print_summary(summary: dict[str, Any], out: Path, console: Console) -> None:
    from rich.table import Table

    table = Table(title="Structural candidates")
    table.add_column("")
    table.add_column("number", justify="right")
    unsuitable = summary["parents_refused"]
    table.add_row("parents", f"{summary['parents']:,}")
    table.add_row("  skipped", f"{len(unsuitable):,}")
    table.add_row("  structure types", f"{summary['prototypes']:,}")
    for rule, count in summary["ions_from"].items():
        table.add_row(f"  ions: {rule}", f"{count:,}")
    table.add_row("proposed", f"{summary['proposed']:,}")
    for rule, count in summary["refused"].items():
        table.add_row(f"  rejected: {rule}", f"{count:,}")
    table.add_row("  known composition", f"{summary['known']:,}")
    table.add_row("  duplicates", f"{summary['duplicates']:,}")
    table.add_row("new candidates", f"{summary['passed']:,}")
    if summary["selection"]["limit"] is not None:
        table.add_row(f"  kept by --limit ({summary['selection']['order']})", f"{summary['written']:,}")
    table.add_row("written", f"{summary['written']:,}")
    table.add_row("  by partial substitution", f"{summary['saps']:,}")
    console.print(table)
    if summary["choices_left_out"]:
        console.print(
            f"{summary['choices_left_out']:,} choices of sites were left out by --choices and --split-sites",
            highlight=False,
        )
    console.print(
        f"{out}/candidates-*.parquet: the candidates; {out}/parents.parquet: their parents; {out}/summary.json: this",
        highlight=False,
        soft_wrap=True,
    )
