"""Searches as `gnome generate random` makes them: one composition after another, into files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # imported where they are needed: `gnome --help` answers at once
    from gnome_torch.candidates.random_search.options import SearchOptions
    from gnome_torch.candidates.random_search.search import CellGenerator, SearchResult


class Format(StrEnum):
    """What the crystals are written as."""

    EXTXYZ = "extxyz"
    CIF = "cif"


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


def write_crystals(formula: str, task: Task, report: Callable[[int, int], None]) -> bool:
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
