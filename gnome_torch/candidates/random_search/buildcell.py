"""Random cells by AIRSS's own `buildcell`, which the user installs (GPL): called as a program, never copied.

It reads a seed from standard input and prints a CASTEP .cell on standard output. It exits with 0 even when it fails,
so the cell is judged and not the status; and it can go on for ever where the limits are impossible, so it has a time
limit.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pymatgen.core import Element, Lattice, Structure

from gnome_torch.candidates.random_search.cells import NoCellError, OutOfTimeError
from gnome_torch.candidates.random_search.options import Attempt, GeneratorMissingError

PROGRAM = "buildcell"
_NUMBER = re.compile(r"[-+]?\d*\.?\d+(?:[eEdD][-+]?\d+)?")


@dataclass(frozen=True)
class Buildcell:
    """Cells by AIRSS.

    Attributes:
        program: path of the executable.
        time_limit: of one cell, seconds.
    """

    program: Path
    time_limit: float = 10.0

    @classmethod
    def found(cls, time_limit: float = 10.0) -> Buildcell:
        """The program on the PATH.

        Raises:
            GeneratorMissingError: there is none.
        """
        path = shutil.which(PROGRAM)
        if path is None:
            raise GeneratorMissingError(
                f"no {PROGRAM} on the PATH: install AIRSS, or use the embedded generator (--generator pyxtal)"
            )
        return cls(Path(path), time_limit)

    @property
    def name(self) -> str:
        """AIRSS, and the path of its program."""
        return f"airss {self.program}"

    def input_of(self, attempt: Attempt) -> str:
        """Seed file of an attempt; the volume is given to AIRSS by formula unit."""
        options, per_unit = attempt.options, attempt.volume / attempt.units
        pairs = " ".join(f"{a}-{b}={distance:.3f}" for (a, b), distance in sorted(attempt.separations.items()))
        species = ",".join(f"{e.symbol}%NUM={round(amount)}" for e, amount in attempt.composition.items())
        low, high = options.operations
        lines = [
            f"#TARGVOL={0.98 * per_unit:.4f}-{1.02 * per_unit:.4f}",
            f"#SPECIES={species}",
            f"#NFORM={attempt.units}",
            f"#SYMMOPS={low}-{high}" if high > low else f"#SYMMOPS={low}",
            f"#SLACK={options.slack:g}",
            f"#OVERLAP={options.overlap:g}",
            f"#SEED={attempt.label}",  # of AIRSS's random numbers, which are the clock's otherwise
            f"#MINSEP={min(attempt.separations.values()):.3f} {pairs}",
        ]
        if options.compact:
            lines.append("#COMPACT")
        return "\n".join(lines) + "\n"

    def cell(self, attempt: Attempt, rng: np.random.Generator) -> Structure:
        """One random cell.

        Raises:
            NoCellError: no cell in time, or none of these atoms.
            GeneratorMissingError: the program cannot be run.
        """
        structure = read_cell(self._run(self.input_of(attempt)))
        if structure.composition != attempt.composition * attempt.units:
            raise NoCellError(f"a cell of other atoms ({structure.composition.formula})")
        return structure

    def _run(self, seed: str) -> str:
        """What the program prints; it and its children are ended when their time is over."""
        try:
            process = subprocess.Popen(
                [str(self.program)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise GeneratorMissingError(f"{self.program}: cannot be run: {error.strerror}") from error
        try:
            output, _ = process.communicate(seed.encode(), timeout=self.time_limit)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise OutOfTimeError(f"no cell within {self.time_limit:g} s") from None
        return output.decode(errors="replace")


def read_cell(text: str) -> Structure:
    """The crystal of a CASTEP .cell file.

    Raises:
        NoCellError: there is no whole crystal in it.
    """
    blocks = _blocks(text)
    try:
        if "LATTICE_CART" in blocks:
            lattice = Lattice(_numbers(blocks["LATTICE_CART"][-3:]))
        else:
            (a, b, c), angles = _numbers(blocks["LATTICE_ABC"][-2:])
            lattice = Lattice.from_parameters(a, b, c, *angles)
        symbols, coordinates = [], []
        for line in blocks["POSITIONS_FRAC"]:
            symbol, *rest = line.split()
            symbols.append(Element(symbol.split(":")[0]).symbol)
            coordinates.append([float(value) for value in rest[:3]])
        structure = Structure(lattice, symbols, coordinates, to_unit_cell=True)
    except (KeyError, ValueError, IndexError, TypeError):
        raise NoCellError("output without a whole cell") from None
    if (
        not (np.isfinite(structure.volume) and np.isfinite(structure.frac_coords).all())
        or structure.volume < 1e-3
        or len(structure) == 0
    ):
        raise NoCellError("output without a whole cell")
    return structure


def _blocks(text: str) -> dict[str, list[str]]:
    """Lines of each %BLOCK that is closed, without comments."""
    blocks: dict[str, list[str]] = {}
    inside, lines = "", list[str]()
    for raw in text.splitlines():
        line = re.split(r"[#!]", raw, maxsplit=1)[0].strip()
        words = line.upper().split()
        if not words:
            continue
        if words[0] == "%BLOCK" and len(words) > 1:
            inside, lines = words[1], []
        elif words[0] == "%ENDBLOCK":
            blocks[inside], lines = lines, []
        else:
            lines.append(line)
    return blocks


def _numbers(lines: list[str]) -> list[list[float]]:
    """Three numbers of each line (a line with a unit has none, and is left out by whoever calls)."""
    rows = [[float(value.replace("d", "e").replace("D", "e")) for value in _NUMBER.findall(line)] for line in lines]
    if any(len(row) != 3 for row in rows):
        raise ValueError("three numbers a line")
    return rows
