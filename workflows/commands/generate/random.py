"""`gnome generate random`: random sensible crystals of compositions."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # imported where they are needed: `gnome --help` answers at once
    from gnome_torch.candidates.random_search.options import SearchOptions
    from gnome_torch.candidates.random_search.search import CellGenerator, SearchResult


class Generator(StrEnum):
    """Who draws the cells."""

    AUTO = "auto"
    AIRSS = "airss"
    PYXTAL = "pyxtal"


class Format(StrEnum):
    """What the crystals are written as."""

    EXTXYZ = "extxyz"
    CIF = "cif"


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


@dataclass(frozen=True)
class Task:
    """What is asked for, whatever the composition.

    Attributes:
        options: how crystals are drawn.
        generator: who draws them.
        out: directory of the files.
        format: of the files.
        attempt: the one attempt to make again; None: a whole search.
    """

    options: SearchOptions
    generator: CellGenerator
    out: Path
    format: Format
    attempt: int | None


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

    options = SearchOptions(
        count=count,
        formula_units=_whole(units, "--units"),
        max_sites=max_atoms,
        volumes=_range(volumes, "--volumes"),
        operations=_whole(operations, "--operations"),
        separations=_separations(separation or []),
        attempts=attempts,
        seed=seed,
        slack=slack,
        overlap=overlap,
        compact=compact,
    )
    formulas = _formulas(composition or [], compositions)
    _check_separations(options, formulas)
    task = Task(options, generator_of(generator.value, time_limit), out, format, attempt)
    with _progress(len(formulas), options) as report:
        written = [_write(formula, task, partial(report, formula)) for formula in formulas]
    if not any(written):
        raise typer.Exit(1)


def _formulas(given: Sequence[str], file: Path | None) -> list[str]:
    """Reduced formulas of the command line and of a file, each once, in their order."""
    from gnome_torch.candidates.random_search.options import SearchError, composition_of
    from gnome_torch.data.files import read_formulas

    texts = [*given, *(read_formulas(file) if file else [])]
    formulas = list(dict.fromkeys(composition_of(text).reduced_formula for text in texts))
    if not formulas:
        raise SearchError("no composition: give --composition Li3N or --compositions FILE.csv")
    return formulas


def _check_separations(options: SearchOptions, formulas: Sequence[str]) -> None:
    """Make sure that every pair with a smallest distance occurs in a composition: another one is a mistake."""
    from gnome_torch.candidates.random_search.options import SearchError, composition_of, pair_of

    elements = [{element.symbol for element in composition_of(formula)} for formula in formulas]
    for pair in options.separations:
        if not any(present.issuperset(pair_of(pair)) for present in elements):
            raise SearchError(f"--separation {pair}: no composition has both elements")


def _write(formula: str, task: Task, report: Callable[[int, int], None]) -> bool:
    """Search the crystals of a composition and write them; whether they are there in the end."""
    from gnome_torch.candidates.random_search.files import is_written, plan_of, write_search
    from gnome_torch.candidates.random_search.options import GeneratorMissingError, SearchError
    from gnome_torch.candidates.random_search.search import again, search

    plan = plan_of(formula, task.options, task.generator.name, task.format.value) | {"attempt": task.attempt}
    stem = formula if task.attempt is None else f"{formula}-{task.attempt:05d}"
    if is_written(task.out, plan, stem):
        print(f"{formula}: there already, in {task.out}")
        return True
    try:
        if task.attempt is None:
            result = search(formula, task.options, task.generator, report)
        else:
            result = again(formula, task.attempt, task.options, task.generator)
    except GeneratorMissingError:
        raise  # the other compositions would fail too
    except SearchError as error:
        print(f"gnome: {error}", file=sys.stderr)
        return False
    _say(result, write_search(result, task.out, plan, stem), task)
    return True


def _say(result: SearchResult, paths: Sequence[Path], task: Task) -> None:
    where = paths[0] if len(paths) == 1 else f"{task.out}/{result.formula}-*.cif"
    rejected = "".join(f"; {reason}: {number}" for reason, number in result.rejected.items())
    made, attempts = len(result.crystals), result.attempts
    print(f"{where}: {made} crystals by {task.generator.name} in {attempts} attempts{rejected}")
    if task.attempt is None and made < task.options.count:
        missing = f"{made} of {task.options.count} crystals after {attempts} attempts"
        print(f"gnome: {result.formula}: {missing}: allow more with --attempts", file=sys.stderr)


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


def _range(text: str, option: str) -> tuple[float, float]:
    """Two numbers, from-to, or one for both."""
    from gnome_torch.candidates.random_search.options import SearchError

    parts = text.split("-")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or not all(math.isfinite(number) for number in numbers):
        raise SearchError(f"{option} {text}: write two numbers with a dash between them, such as 1-4")
    return numbers[0], numbers[-1]


def _whole(text: str, option: str) -> tuple[int, int]:
    """Two whole numbers."""
    from gnome_torch.candidates.random_search.options import SearchError

    low, high = _range(text, option)
    if low != int(low) or high != int(high):
        raise SearchError(f"{option} {text}: whole numbers only, such as 1-4")
    return int(low), int(high)


def _separations(texts: Sequence[str]) -> dict[str, float]:
    """Smallest distances by pair, from texts such as O-O=1.3."""
    from gnome_torch.candidates.random_search.options import SearchError

    separations = {}
    for text in texts:
        pair, _, number = text.partition("=")
        try:
            separations[pair] = float(number)
        except ValueError:
            raise SearchError(f"--separation {text}: write a pair and a distance, such as O-O=1.3") from None
    return separations
