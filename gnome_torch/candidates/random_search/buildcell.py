"""Random cells by AIRSS's own `buildcell`, which the user installs (GPL): called as a program, never copied.

It reads its input from standard input and prints a CASTEP .cell on standard output; what it has to say is on standard
error. Its exit status is 0 without a cell too, and it can go on for ever where the limits are impossible, so that
what it says counts beside the status, and it has a time limit. `cell_files.py` knows what it reads and prints.
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
from pymatgen.core import Structure

from gnome_torch.candidates.random_search.cell_files import input_of, read_cell
from gnome_torch.candidates.random_search.cells import NoCellError, OutOfTimeError, ProgramFailedError
from gnome_torch.candidates.random_search.options import Attempt, GeneratorMissingError

PROGRAM = "buildcell"

REFUSALS = (
    "init_pseudorandom : error reading seed",
    "Number of symmetry operations not allowed",
    "Requested number of operations not available",
    "There is a problem reading the cell information",
    "Both SPECIES and POSITIONS_ block defined",
)
"""What buildcell says, with a status of 0, of an input that it cannot read, whatever the composition."""

_TELLING = re.compile(r"error|stop|signal|not found", re.IGNORECASE)


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
        """Input of an attempt."""
        return input_of(attempt)

    def cell(self, attempt: Attempt, rng: np.random.Generator) -> Structure:
        """One random cell.

        Raises:
            NoCellError: no cell in time, or none of these atoms.
            ProgramFailedError: the program does not work, whatever the composition.
            GeneratorMissingError: the program cannot be run.
        """
        structure = read_cell(self._run(input_of(attempt)))
        if structure.composition != attempt.composition * attempt.units:
            raise NoCellError(f"a cell of other atoms ({structure.composition.formula})")
        return structure

    def _run(self, text: str) -> str:
        """What the program prints; it and its children are ended when their time is over."""
        try:
            process = subprocess.Popen(
                [str(self.program)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise GeneratorMissingError(f"{self.program}: cannot be run: {error.strerror}") from error
        try:
            output, said = process.communicate(text.encode(), timeout=self.time_limit)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise OutOfTimeError(f"no cell within {self.time_limit:g} s") from None
        printed = output.decode(errors="replace")
        _check(process.returncode, printed, said.decode(errors="replace"))
        return printed


def _check(status: int, printed: str, said: str) -> None:
    """Make sure that the program has worked and has made a cell.

    Args:
        status: its exit status; of a signal, the negative.
        printed: on standard output.
        said: on standard error.

    Raises:
        ProgramFailedError: it has not worked.
        NoCellError: it has made no cell of this input.
    """
    words = _words(said)
    if status != 0:
        how = f"ended by signal {-status}" if status < 0 else f"ended with status {status}"
        raise ProgramFailedError(f"{how}: {words or 'without a word'}")
    if any(refusal in said for refusal in REFUSALS):
        raise ProgramFailedError(words)
    if not printed.strip() and words:
        raise NoCellError(f"no cell: {words}")


def _words(said: str) -> str:
    """The line of standard error that tells why: the first of an error, else the last."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if _TELLING.search(line)] or lines[-1:]
    return telling[0].removeprefix("STOP ")[:200] if telling else ""
