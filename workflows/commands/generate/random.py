"""`gnome generate random`: random sensible crystals of compositions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workflows.commands.generate.numbers import between, distances, whole
from workflows.commands.generate.searches import Format, Task, write_crystals

if TYPE_CHECKING:  # imported where they are needed: `gnome --help` answers at once
    from gnome_torch.candidates.random_search.options import SearchOptions
    from gnome_torch.data.rejects import Reject


class Generator(StrEnum):
    """Who draws the cells."""

    AUTO = "auto"
    AIRSS = "airss"
    PYXTAL = "pyxtal"


OUT = Annotated[Path, typer.Option(help="directory for the crystals")]
COMPOSITION = Annotated[list[str] | None, typer.Option(help="formula, such as Li3N; can be given several times")]
COMPOSITIONS = Annotated[Path | None, typer.Option(help="CSV of formulas (column formula)")]
COUNT = Annotated[int, typer.Option("-n", "--count", min=1, help="crystals of each composition")]
FORMAT = Annotated[Format, typer.Option(help="one extended XYZ file a composition, or a CIF file a crystal")]
GENERATOR = Annotated[
    Generator, typer.Option(help="airss: the buildcell on your PATH; pyxtal: embedded; auto: airss if it is there")
]
UNITS = Annotated[str, typer.Option(help="formula units in the primitive cell, from-to")]
MAX_ATOMS = Annotated[int, typer.Option(min=1, help="atoms in the primitive cell at most")]
VOLUMES = Annotated[str, typer.Option(help="volume, from-to, in units of the estimate from atomic radii")]
OPERATIONS = Annotated[str, typer.Option(help="symmetry operations, from-to: 1 for no symmetry, 48 for cubic")]
SEPARATION = Annotated[
    list[str] | None,
    typer.Option(help="smallest distance of a pair, angstrom, such as O-O=1.3; can be given several times"),
]
ATTEMPTS = Annotated[int, typer.Option(min=1, help="attempts for each crystal wanted, at most")]
SEED = Annotated[int, typer.Option(min=0, help="seed of everything random")]
ATTEMPT = Annotated[int | None, typer.Option(min=0, help="make the crystal of this attempt again, no other")]
SLACK = Annotated[float, typer.Option(help="airss: by how much separations may be violated")]
OVERLAP = Annotated[float, typer.Option(help="airss: remaining overlap that it accepts")]
COMPACT = Annotated[bool, typer.Option(help="airss: reduce the cell to a compact one")]
TIME_LIMIT = Annotated[float, typer.Option(min=0.1, help="buildcell may take so long over one cell, seconds")]


def generate_random(
    out: OUT,
    composition: COMPOSITION = None,
    compositions: COMPOSITIONS = None,
    count: COUNT = 100,
    format: FORMAT = Format.EXTXYZ,
    generator: GENERATOR = Generator.AUTO,
    units: UNITS = "1-4",
    max_atoms: MAX_ATOMS = 20,
    volumes: VOLUMES = "0.4-1.2",
    operations: OPERATIONS = "2-48",
    separation: SEPARATION = None,
    attempts: ATTEMPTS = 20,
    seed: SEED = 0,
    attempt: ATTEMPT = None,
    slack: SLACK = 0.25,
    overlap: OVERLAP = 0.1,
    compact: COMPACT = True,
    time_limit: TIME_LIMIT = 10.0,
) -> None:
    """Random crystals with symmetry, no atoms too near one another, near-duplicates left out.

    What has been written whole with the same options is left as it is, so a command that was stopped can be repeated.
    """
    from gnome_torch.candidates.random_search.options import SearchOptions
    from gnome_torch.candidates.random_search.search import generator_of
    from gnome_torch.data.rejects import keep_rejects

    options = SearchOptions(
        count=count,
        formula_units=whole(units, "--units"),
        max_sites=max_atoms,
        volumes=between(volumes, "--volumes"),
        operations=whole(operations, "--operations"),
        separations=distances(separation or []),
        attempts=attempts,
        seed=seed,
        slack=slack,
        overlap=overlap,
        compact=compact,
    )
    rejects: list[Reject] = []
    formulas = _formulas(composition or [], compositions, rejects)
    _check_separations(options, formulas)
    task = Task(options, generator_of(generator.value, time_limit), out, format, attempt)
    with _progress(len(formulas), options) as report:
        written = [write_crystals(formula, task, partial(report, formula)) for formula in formulas]
    keep_rejects(rejects, out / "rejects.csv")
    if not any(written):
        raise typer.Exit(1)


def _formulas(given: Sequence[str], file: Path | None, rejects: list[Reject]) -> list[str]:
    """Reduced formulas of the command line and of a file, each once, in their order; rows that are none are added."""
    from gnome_torch.candidates.random_search.options import SearchError, composition_of
    from gnome_torch.data.files import read_formulas
    from gnome_torch.data.rejects import Reject

    found = [composition_of(text).reduced_formula for text in given]
    for text in read_formulas(file, rejects.append) if file else ():
        try:
            found.append(composition_of(text).reduced_formula)
        except SearchError as error:
            rejects.append(Reject(str(file), text, text, str(error)))
    formulas = list(dict.fromkeys(found))
    if not formulas:
        raise SearchError(
            str(rejects[0]) if rejects else "no composition: give --composition Li3N or --compositions FILE.csv"
        )
    return formulas


def _check_separations(options: SearchOptions, formulas: Sequence[str]) -> None:
    """Make sure that every pair with a smallest distance occurs in a composition: another one is a mistake."""
    from gnome_torch.candidates.random_search.options import SearchError, composition_of, pair_of

    elements = [{element.symbol for element in composition_of(formula)} for formula in formulas]
    for pair in options.separations:
        if not any(present.issuperset(pair_of(pair)) for present in elements):
            raise SearchError(f"--separation {pair}: no composition has both elements")


@contextmanager
def _progress(total: int, options: SearchOptions) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on the terminal."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("crystals", total=options.count)

        def report(formula: str, crystals: int, attempts: int) -> None:
            text = f"{formula} ({total} compositions)" if total > 1 else formula
            bar.update(task, description=f"{text}: {attempts} attempts", completed=crystals)

        yield report
