"""`gnome generate random`: random sensible crystals of compositions."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # imported where they are needed: `gnome --help` answers at once
    from collections.abc import Callable

    from gnome_torch.candidates.random_search.options import SearchOptions
    from gnome_torch.candidates.random_search.search import SearchResult


class Generator(StrEnum):
    AUTO = "auto"
    AIRSS = "airss"
    PYXTAL = "pyxtal"


class Format(StrEnum):
    EXTXYZ = "extxyz"
    CIF = "cif"


def generate_random(
    out: Annotated[Path, typer.Option(help="directory for the crystals")],
    composition: Annotated[
        list[str] | None, typer.Option(help="formula, such as Li3N; can be given several times")
    ] = None,
    compositions: Annotated[Path | None, typer.Option(help="CSV of formulas (column formula)")] = None,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="crystals of each composition")] = 100,
    format: Annotated[Format, typer.Option(help="one extended XYZ file a composition, or a CIF file a crystal")] = (
        Format.EXTXYZ
    ),
    generator: Annotated[
        Generator, typer.Option(help="airss: the buildcell on your PATH; pyxtal: embedded; auto: airss if it is there")
    ] = Generator.AUTO,
    units: Annotated[str, typer.Option(help="formula units in the primitive cell, from-to")] = "1-4",
    max_atoms: Annotated[int, typer.Option(min=1, help="atoms in the primitive cell at most")] = 20,
    volumes: Annotated[
        str, typer.Option(help="volume, from-to, in units of the estimate from atomic radii")
    ] = "0.4-1.2",
    operations: Annotated[
        str, typer.Option(help="symmetry operations, from-to: 1 for no symmetry, 48 for cubic")
    ] = "2-48",
    separation: Annotated[
        list[str] | None, typer.Option(help="smallest distance of a pair, angstrom, such as O-O=1.3; several times")
    ] = None,
    attempts: Annotated[int, typer.Option(min=1, help="attempts for each crystal wanted, at most")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="of everything random")] = 0,
    attempt: Annotated[
        int | None, typer.Option(min=0, help="make the crystal of this attempt again, and no other")
    ] = None,
    slack: Annotated[float, typer.Option(help="airss: how far it may give way to separations")] = 0.25,
    overlap: Annotated[float, typer.Option(help="airss: remaining overlap that it accepts")] = 0.1,
    compact: Annotated[bool, typer.Option(help="airss: reduce the cell to a compact one")] = True,
    time_limit: Annotated[float, typer.Option(min=0.1, help="of one cell by buildcell, seconds")] = 10.0,
) -> None:
    """Random crystals with symmetry, no atoms too near one another, near-duplicates left out.

    What has been written whole with the same options is left as it is, so a command that was stopped can be repeated.
    """
    from gnome_torch.candidates.random_search.files import is_written, plan_of, write_search
    from gnome_torch.candidates.random_search.options import SearchError, SearchOptions, composition_of
    from gnome_torch.candidates.random_search.search import again, generator_of, search
    from gnome_torch.data.files import read_formulas

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
    texts = [*(composition or []), *(read_formulas(compositions) if compositions else [])]
    formulas = list(dict.fromkeys(composition_of(text).reduced_formula for text in texts))
    if not formulas:
        raise SearchError("no composition: give --composition Li3N or --compositions FILE.csv")
    absent = [pair for pair in options.separations if not any(_has(formula, pair) for formula in formulas)]
    if absent:
        raise SearchError(f"--separation {absent[0]}: no composition has both elements")
    drawn_by = generator_of(generator.value, time_limit)
    made = 0
    with _progress(len(formulas), options) as report:
        for formula in formulas:
            plan = plan_of(formula, options, drawn_by.name, format.value) | {"attempt": attempt}
            stem = formula if attempt is None else f"{formula}-{attempt:05d}"
            if is_written(out, plan, stem):
                print(f"{formula}: there already, in {out}")
                made += 1
                continue
            try:
                if attempt is None:
                    result = search(formula, options, drawn_by, partial(report, formula))
                else:
                    result = again(formula, attempt, options, drawn_by)
            except SearchError as error:
                print(f"gnome: {error}", file=sys.stderr)
                continue
            paths = write_search(result, out, plan, stem)
            made += 1
            _say(result, str(paths[0]) if len(paths) == 1 else f"{out}/{formula}-*.cif", drawn_by.name)
            if attempt is None and len(result.crystals) < count:
                missing = f"{len(result.crystals)} of {count} crystals after {result.attempts} attempts"
                print(f"gnome: {formula}: {missing}: allow more with --attempts", file=sys.stderr)
    if not made:
        raise typer.Exit(1)


def _has(formula: str, pair: str) -> bool:
    """Whether a composition has both elements of a pair."""
    from gnome_torch.candidates.random_search.options import composition_of, pair_of

    return {element.symbol for element in composition_of(formula)}.issuperset(pair_of(pair))


def _say(result: SearchResult, where: str, generator: str) -> None:
    rejected = "".join(f"; {reason}: {number}" for reason, number in result.rejected.items())
    print(f"{where}: {len(result.crystals)} crystals by {generator} in {result.attempts} attempts{rejected}")


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
    from gnome_torch.candidates.random_search.options import SearchError

    low, high = _range(text, option)
    if low != int(low) or high != int(high):
        raise SearchError(f"{option} {text}: whole numbers are wanted")
    return int(low), int(high)


def _separations(texts: list[str]) -> dict[str, float]:
    from gnome_torch.candidates.random_search.options import SearchError

    found = {}
    for text in texts:
        pair, _, number = text.partition("=")
        try:
            found[pair] = float(number)
        except ValueError:
            raise SearchError(f"--separation {text}: write a pair and a distance, such as O-O=1.3") from None
    return found
