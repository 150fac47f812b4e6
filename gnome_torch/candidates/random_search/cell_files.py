"""What AIRSS's `buildcell` reads and writes: its input, a line for each setting, and the CASTEP .cell that it prints.

Source: `buildcell` of AIRSS 0.9.1, whose words are those of its manual (airss-docs.github.io, "Buildcell Manual").
"""

from __future__ import annotations

import re
from hashlib import sha512

import numpy as np
from pymatgen.core import Element, Lattice, Structure

from gnome_torch.candidates.random_search.cells import ProgramFailedError
from gnome_torch.candidates.random_search.options import Attempt, SearchError

LONGEST_LINE = 400
"""Characters of a line that buildcell reads; it leaves out the rest without a word."""

SEEDS = 12
"""Whole numbers of a seed: gfortran asks for 8 (33 before version 7), and more than it asks for do no harm."""

_NUMBER = re.compile(r"[-+]?\d*\.?\d+(?:[eEdD][-+]?\d+)?")


def input_of(attempt: Attempt) -> str:
    """Input of an attempt.

    Raises:
        SearchError: it has a line that is longer than those that buildcell reads.
    """
    options, separations = attempt.options, sorted(attempt.separations.items())
    pairs = " ".join(f"{a}-{b}={distance:.3f}" for (a, b), distance in separations)
    lines = [
        # TARGVOL is kept exactly, VARVOL within 5 %. Both are of the species as they are listed, NUM not counted, so
        # that they are of a formula unit only where every atom of it is listed.
        f"#TARGVOL={attempt.volume / attempt.units:.4f}",
        f"#SPECIES={','.join(e.symbol for e, amount in attempt.composition.items() for _ in range(round(amount)))}",
        f"#NFORM={attempt.units}",
        f"#SYMMOPS={_range_of(attempt.options.orders)}",
        f"#SLACK={options.slack:g}",
        f"#OVERLAP={options.overlap:g}",
        f"#SEED={' '.join(map(str, seeds_of(attempt.label)))}",  # the clock's otherwise
        f"#MINSEP={min(attempt.separations.values()):.3f} {pairs}",
        "#COMPACT" if options.compact else "#NOCOMPACT",  # it is compacted where nothing is said
    ]
    for line in lines:
        if len(line) > LONGEST_LINE:
            raise SearchError(
                f"{attempt.composition.reduced_formula}: {line.partition('=')[0]} takes {len(line)} characters, and "
                f"buildcell reads {LONGEST_LINE} of a line: use the embedded generator (pyxtal)"
            )
    return "\n".join(lines) + "\n"


def seeds_of(label: str) -> list[int]:
    """Signed 32-bit numbers that depend on a label alone."""
    return np.frombuffer(sha512(label.encode()).digest(), dtype="<i4")[:SEEDS].tolist()


def _range_of(orders: list[int]) -> str:
    """From-to: buildcell wants both ends to be orders of a crystal's group."""
    return f"{orders[0]}-{orders[-1]}" if len(orders) > 1 else f"{orders[0]}"


def read_cell(text: str) -> Structure:
    """The crystal of a CASTEP .cell file.

    Raises:
        ProgramFailedError: there is no whole crystal in it.
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
        raise ProgramFailedError("output without a whole cell") from None
    if (
        not (np.isfinite(structure.volume) and np.isfinite(structure.frac_coords).all())
        or structure.volume < 1e-3
        or len(structure) == 0
    ):
        raise ProgramFailedError("output without a whole cell")
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
