"""Attempts -> crystals: drawn, pushed apart, checked, each once. Any of them can be made again from its number."""

from __future__ import annotations

import shutil
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from pymatgen.core import Composition, Structure

from gnome_torch.candidates.random_search.buildcell import PROGRAM, Buildcell
from gnome_torch.candidates.random_search.cells import (
    NoCellError,
    OutOfTimeError,
    ProgramFailedError,
    PyxtalCells,
    operations_of,
)
from gnome_torch.candidates.random_search.options import (
    Attempt,
    GeneratorMissingError,
    SearchError,
    SearchOptions,
    composition_of,
)
from gnome_torch.candidates.random_search.separations import (
    estimated_volume,
    minimum_separations,
    separation_matrix,
)
from gnome_torch.candidates.random_search.soft_spheres import nearest_ratio, push_apart
from gnome_torch.similarity import Distinct
from gnome_torch.symmetry import primitive, symmetry

GENERATORS = ("auto", "airss", "pyxtal")
TOO_NEAR = "atoms stay too near one another"
OTHER_VOLUME = "a volume out of the range"
SMALLER_CELL = "a smaller cell describes it"
OTHER_SYMMETRY = "more or less symmetry than asked for"
DUPLICATE = "a crystal that is there already"

ROUNDING = 1e-3
"""How far a volume may be from what was asked for, as a fraction: a .cell file has five decimals."""


class CellGenerator(Protocol):
    """What draws cells: `PyxtalCells`, `Buildcell`."""

    @property
    def name(self) -> str:
        """Program and version, or where it is."""

    def input_of(self, attempt: Attempt) -> str:
        """The program's input file; empty where it reads none."""

    def cell(self, attempt: Attempt, rng: np.random.Generator) -> Structure:
        """One random cell.

        Raises:
            NoCellError: the attempt failed.
        """


@dataclass(frozen=True)
class RandomCrystal:
    """One crystal of a search.

    Attributes:
        structure: primitive cell.
        attempt: number of the attempt it comes from; with the composition, the options and the generator it makes the
            crystal again.
        units: formula units in the cell.
        volume: of the cell, in units of the estimate.
        spacegroup: number, at a tolerance of 0.01 angstrom.
        generator: program and version.
        made_from: input file of the program; empty where it reads none.
    """

    structure: Structure
    attempt: int
    units: int
    volume: float
    spacegroup: int
    generator: str
    made_from: str = ""


@dataclass(frozen=True)
class SearchResult:
    """What a search has made.

    Attributes:
        formula: reduced formula.
        crystals: different ones, in the order of their attempts.
        attempts: attempts made.
        rejected: attempts without a crystal, by reason.
    """

    formula: str
    crystals: Sequence[RandomCrystal]
    attempts: int
    rejected: Mapping[str, int]


def generator_of(name: str, time_limit: float = 10.0) -> CellGenerator:
    """A generator by its name; "auto": AIRSS where it is installed, else the embedded one.

    Raises:
        SearchError: no such generator, or it is not installed.
    """
    if name not in GENERATORS:
        raise SearchError(f"generator {name!r}: choose one of {', '.join(GENERATORS)}")
    if name == "airss" or (name == "auto" and shutil.which(PROGRAM)):
        return Buildcell.found(time_limit)
    return PyxtalCells()


def search(
    formula: str,
    options: SearchOptions,
    generator: CellGenerator,
    progress: Callable[[int, int], None] | None = None,
) -> SearchResult:
    """Random crystals of a composition, near-duplicates left out.

    Args:
        formula: composition; its reduced formula counts.
        options: how they are drawn.
        generator: who draws them.
        progress: called after each attempt with the number of crystals and of attempts so far.

    Raises:
        SearchError: not one crystal could be made; the message names the composition and the limits.
        GeneratorMissingError: the generator's program fails, which says nothing about the composition.
    """
    composition = composition_of(formula)
    options.units_for(composition)
    crystals: list[RandomCrystal] = []
    distinct, rejected = Distinct(), _Rejected()
    attempts = 0
    for attempt in range(options.count * options.attempts):
        if len(crystals) == options.count or rejected.hopeless:
            break
        attempts += 1
        try:
            crystal = make(composition, attempt, options, generator)
            if not distinct.add(crystal.structure):
                raise NoCellError(DUPLICATE)
        except NoCellError as error:
            rejected.add(error)
        else:
            crystals.append(crystal)
            rejected.in_a_row.clear()
        if progress:
            progress(len(crystals), attempts)
    failed = rejected.in_a_row[ProgramFailedError]
    if failed and failed in (attempts, _HOPELESS):
        raise GeneratorMissingError(_broken(generator, rejected.last, failed))
    if not crystals:
        raise SearchError(impossible(composition, options, attempts, rejected.reasons))
    return SearchResult(composition.reduced_formula, crystals, attempts, dict(rejected.reasons))


_HOPELESS = 10
"""Attempts in a row that run into the time limit, or at which the program fails, before a search is given up."""


@dataclass
class _Rejected:
    """Attempts without a crystal.

    Attributes:
        reasons: how many, by reason.
        in_a_row: how many of one kind, the last ones.
        last: reason of the last.
    """

    reasons: Counter[str] = field(default_factory=Counter)
    in_a_row: Counter[type[NoCellError]] = field(default_factory=Counter)
    last: str = ""

    def add(self, error: NoCellError) -> None:
        """One more."""
        self.last = str(error)
        self.reasons[self.last] += 1
        self.in_a_row = Counter({type(error): self.in_a_row[type(error)] + 1})

    @property
    def hopeless(self) -> bool:
        """Whether there is no point in going on."""
        return max(self.in_a_row[OutOfTimeError], self.in_a_row[ProgramFailedError]) == _HOPELESS


def _broken(generator: CellGenerator, reason: str, times: int) -> str:
    """One line: which program, what it said."""
    often = f"{times} times in a row, " if times > 1 else ""
    return (
        f"{generator.name} fails, which says nothing about the composition ({often}{reason}): mend its installation, "
        "or use the embedded generator (pyxtal)"
    )


def make(composition: Composition, attempt: int, options: SearchOptions, generator: CellGenerator) -> RandomCrystal:
    """The crystal of one attempt.

    Args:
        composition: reduced.
        attempt: its number.
        options: how it is drawn.
        generator: who draws it.

    Raises:
        NoCellError: the attempt fails.
        GeneratorMissingError: the generator's program cannot be run.
    """
    rng = np.random.default_rng([options.seed, zlib.crc32(composition.reduced_formula.encode()), attempt])
    units = int(rng.choice(options.units_for(composition)))
    whole = estimated_volume(composition) * units
    separations = minimum_separations(composition, options.separations)
    wanted = Attempt(
        composition,
        units,
        rng.uniform(*options.volumes) * whole,
        separations,
        options,
        f"{options.seed}-{composition.reduced_formula}-{attempt}",
    )
    cell = generator.cell(wanted, rng)
    allowed = separation_matrix([site.specie.symbol for site in cell], separations)
    structure = push_apart(cell, allowed)
    if nearest_ratio(structure, allowed) < 1.0:
        raise NoCellError(TOO_NEAR)
    low, high = options.volumes
    if not (1 - ROUNDING) * low <= structure.volume / whole <= (1 + ROUNDING) * high:
        raise NoCellError(OTHER_VOLUME)
    # pushing can move atoms onto places that a translation joins: then it is a crystal of fewer formula units
    smaller = primitive(structure)
    if smaller is not None and len(smaller) < len(structure):
        raise NoCellError(SMALLER_CELL)
    group = symmetry(structure).number
    # special positions can have more symmetry than the group that was drawn, and pushing can lose some
    if operations_of(group) not in options.orders:
        raise NoCellError(OTHER_SYMMETRY)
    return RandomCrystal(
        structure.get_sorted_structure(),
        attempt,
        units,
        structure.volume / whole,
        group,
        generator.name,
        generator.input_of(wanted),
    )


def again(formula: str, attempt: int, options: SearchOptions, generator: CellGenerator) -> SearchResult:
    """The crystal of one attempt, made again.

    AIRSS gives a group up after a second of its own time, and tries another: an attempt in which it does so depends on
    the clock, and comes out otherwise each time. Such a crystal is to be had from the files of its search alone.

    Args:
        formula: composition.
        attempt: its number.
        options: those of the search.
        generator: that of the search.

    Raises:
        SearchError: this attempt gives none, or another one each time.
        GeneratorMissingError: the generator's program fails.
    """
    composition = composition_of(formula)
    try:
        crystal, same = (make(composition, attempt, options, generator) for _ in range(2))
    except ProgramFailedError as error:
        raise GeneratorMissingError(_broken(generator, str(error), 1)) from None
    except NoCellError as error:
        raise SearchError(f"{composition.reduced_formula}: attempt {attempt} gives no crystal: {error}") from None
    if crystal.structure != same.structure:
        raise SearchError(
            f"{composition.reduced_formula}: attempt {attempt} depends on the clock ({generator.name} gives groups up "
            "after a second) and comes out otherwise each time: take its crystal from the files of the search"
        )
    return SearchResult(composition.reduced_formula, [crystal], 1, {})


def impossible(composition: Composition, options: SearchOptions, attempts: int, rejected: Mapping[str, int]) -> str:
    """One line: which composition, which limits, what happened."""
    reasons = "; ".join(f"{reason}: {count}" for reason, count in sorted(rejected.items(), key=lambda x: -x[1]))
    least = minimum_separations(composition, options.separations)
    separations = ", ".join(f"{a}-{b} {distance:.2f}" for (a, b), distance in least.items())
    low, high = (factor * estimated_volume(composition) for factor in options.volumes)
    units = options.units_for(composition)
    return (
        f"{composition.reduced_formula}: no crystal in {attempts} attempts ({reasons}) with separations of "
        f"{separations} angstrom, {low:.1f} to {high:.1f} cubic angstrom a formula unit, {units[0]} to {units[-1]} of "
        f"them, {options.operations[0]} to {options.operations[1]} symmetry operations: allow smaller separations, "
        "more room or other symmetry"
    )
