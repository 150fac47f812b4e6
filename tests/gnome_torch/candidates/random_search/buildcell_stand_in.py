"""A stand-in for AIRSS's `buildcell` in tests, as strict as the program (0.9.1, whose answers it was compared with).

It refuses what the program refuses, in the program's words: seeds that are no whole numbers, or fewer than the eight
that gfortran wants; ends of a range of operations that no crystal's group has; numbers that are none. It multiplies the
volume as the program does (by all atoms over the species listed), reads 400 characters of a line, makes the same cell
of the same seeds, keeps TARGVOL exactly and VARVOL within 5 %, and its status is 0 without a cell too.

Not AIRSS: it knows a few symmorphic groups of primitive lattices for each order, and does not push atoms apart, but
takes the best of a few draws. `STAND_IN` makes it misbehave: a mood, or `MOOD:N` from its Nth cell on, which it counts
by the length of the file `STAND_IN_CALLS`.
"""

from __future__ import annotations

import itertools
import math
import os
import random
import re
import signal
import sys
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple, NoReturn

Matrix = tuple[tuple[int, ...], ...]
Place = tuple[float, ...]


class Cell(NamedTuple):
    """What is printed: space group, its operations, angstrom, degrees, places of the atoms."""

    group: str
    order: int
    lengths: list[float]
    angles: list[float]
    atoms: list[tuple[str, Place]]


INVERSION: Matrix = ((-1, 0, 0), (0, -1, 0), (0, 0, -1))
TWO_X: Matrix = ((1, 0, 0), (0, -1, 0), (0, 0, -1))
TWO_Y: Matrix = ((-1, 0, 0), (0, 1, 0), (0, 0, -1))
MIRROR_Y: Matrix = ((1, 0, 0), (0, -1, 0), (0, 0, 1))
SWAP: Matrix = ((0, 1, 0), (1, 0, 0), (0, 0, -1))
THREE: Matrix = ((0, -1, 0), (1, -1, 0), (0, 0, 1))
THREE_DIAGONAL: Matrix = ((0, 0, 1), (1, 0, 0), (0, 1, 0))
FOUR: Matrix = ((0, -1, 0), (1, 0, 0), (0, 0, 1))
SIX: Matrix = ((1, -1, 0), (1, 0, 0), (0, 0, 1))

GROUPS: dict[int, list[tuple[str, str, tuple[Matrix, ...]]]] = {
    1: [("P1", "triclinic", ())],
    2: [("P-1", "triclinic", (INVERSION,)), ("P2", "monoclinic", (TWO_Y,)), ("Pm", "monoclinic", (MIRROR_Y,))],
    3: [("P3", "hexagonal", (THREE,))],
    4: [("P2/m", "monoclinic", (TWO_Y, INVERSION)), ("P222", "orthorhombic", (TWO_X, TWO_Y))],
    6: [("P-3", "hexagonal", (THREE, INVERSION)), ("P6", "hexagonal", (SIX,))],
    8: [("Pmmm", "orthorhombic", (TWO_X, TWO_Y, INVERSION)), ("P422", "tetragonal", (FOUR, TWO_X))],
    12: [("P-31m", "hexagonal", (THREE, SWAP, INVERSION)), ("P23", "cubic", (TWO_X, TWO_Y, THREE_DIAGONAL))],
    16: [("P4/mmm", "tetragonal", (FOUR, TWO_X, INVERSION))],
    24: [("Pm-3", "cubic", (TWO_X, TWO_Y, THREE_DIAGONAL, INVERSION)), ("P432", "cubic", (FOUR, THREE_DIAGONAL))],
    48: [("Pm-3m", "cubic", (FOUR, THREE_DIAGONAL, INVERSION))],
}
DRAWS, BEST_OF = 60, 5


def stop(words: str, status: int = 0) -> NoReturn:
    """What the program does where it cannot go on."""
    print(words, file=sys.stderr)
    sys.exit(status)


def number(text: str) -> float:
    """A number as Fortran reads it."""
    try:
        return float(text)
    except ValueError:
        stop(
            "At line 2117 of file cell.f90\nFortran runtime error: Bad real number in item 1 of list input\n\n"
            "Error termination. Backtrace:\n#0  0x7fa0b2e218c2 in ???",
            2,
        )


def seeds(text: str) -> list[int]:
    words = [word for word in re.split(r"[,\s]+", text) if word][:8]
    if len(words) < 8 or not all(re.fullmatch(r"[-+]?\d+", word) and abs(int(word)) <= 2**31 for word in words):
        stop("STOP init_pseudorandom : error reading seed")
    return [int(word) for word in words]


def orders(text: str) -> list[int]:
    """The numbers of operations among which one is drawn."""
    ends = [int(number(word)) for word in text.split("-")]
    if len(ends) == 1 and ends[0] not in GROUPS:
        stop(" Requested number of operations not available")
    if not all(end in GROUPS for end in ends):
        stop("STOP Number of symmetry operations not allowed for a crystal")
    return [order for order in GROUPS if min(ends) <= order <= max(ends)]


def species(text: str) -> tuple[dict[str, int], float]:
    """Atoms of each element in a formula unit, and by what the volume is multiplied."""
    atoms: dict[str, int] = {}
    entries = text.split(",")
    for entry in entries:
        symbol, _, rest = entry.strip().partition("%")
        given = re.search(r"NUM=(\d+)", rest)
        atoms[symbol] = atoms.get(symbol, 0) + (int(given.group(1)) if given else 1)
    return atoms, sum(atoms.values()) / len(entries)


def separations(text: str) -> dict[frozenset[str], float]:
    """Smallest distances by pair; that of any other pair under an empty one."""
    first, *pairs = text.split()
    found = {frozenset[str](): number(first.split("-")[0])}
    for pair in pairs:
        names, _, distance = pair.partition("=")
        found[frozenset(names.split("-"))] = number(distance)
    return found


def target(settings: dict[str, str], scale: float, rng: random.Random) -> float:
    """Volume of a formula unit."""
    if "VARVOL" in settings:
        return number(settings["VARVOL"]) * scale * rng.uniform(0.95, 1.05)
    ends = [number(word) for word in settings["TARGVOL"].split("-")]
    return rng.uniform(ends[0], ends[-1]) * scale


@cache
def operations(generators: tuple[Matrix, ...]) -> list[Matrix]:
    """All products of the generators."""
    found: list[Matrix] = [((1, 0, 0), (0, 1, 0), (0, 0, 1))]
    for one in found:  # which grows
        for other in generators:
            product = tuple(tuple(sum(one[i][k] * other[k][j] for k in range(3)) for j in range(3)) for i in range(3))
            if product not in found:
                found.append(product)
    return found


def orbit(place: Place, group: Sequence[Matrix], most: int) -> list[Place]:
    """The places that the operations make of one, each once; none where there are more than so many."""
    found: list[Place] = []
    for operation in group:
        image = tuple(sum(a * x for a, x in zip(row, place, strict=True)) % 1.0 for row in operation)
        if not any(same(image, other) for other in found):
            found.append(image)
        if len(found) > most:
            return []
    return found


def same(one: Place, other: Place) -> bool:
    return all(abs((a - b + 0.5) % 1.0 - 0.5) < 1e-6 for a, b in zip(one, other, strict=True))


def places(atoms: dict[str, int], group: Sequence[Matrix], rng: random.Random) -> list[tuple[str, Place]] | None:
    """Special and general positions that hold just these atoms; None where a few draws find none."""
    found: list[tuple[str, Place]] = []
    for symbol, amount in atoms.items():
        missing = amount
        for _ in range(DRAWS):
            x, y, z = (rng.choice((rng.random(), rng.random(), 0.0, 0.5)) for _ in range(3))
            x, y = rng.choice(((x, y), (x, y), (x, x), (x, -x), (x, 2 * x), (1 / 3, 2 / 3)))
            images = orbit((x, y, rng.choice((z, z, x))), group, missing)
            if images and not any(same(images[0], other) for _, other in found):
                found += [(symbol, image) for image in images]
                missing -= len(images)
            if missing == 0:
                break
        else:
            return None
    return found


def lattice(system: str, volume: float, rng: random.Random) -> tuple[list[float], list[float]]:
    """Lengths and angles."""
    a, b, c = (rng.uniform(0.7, 1.4) for _ in range(3))
    if system in ("tetragonal", "hexagonal", "cubic"):
        b = a
    if system == "cubic":
        c = a
    angles = [90.0, 90.0, 120.0 if system == "hexagonal" else 90.0]
    if system == "monoclinic":
        angles[1] = rng.uniform(90, 120)
    if system == "triclinic":
        angles = [rng.uniform(70, 110) for _ in range(3)]
    scale = (volume / (a * b * c * flatness(angles))) ** (1 / 3)
    return [a * scale, b * scale, c * scale], angles


def flatness(angles: Sequence[float]) -> float:
    """Volume of a cell over the product of its lengths."""
    x, y, z = (math.cos(math.radians(angle)) for angle in angles)
    return math.sqrt(1 - x * x - y * y - z * z + 2 * x * y * z)


def draws(possible: Sequence[int], amounts: dict[str, int], volume: float, rng: random.Random) -> list[Cell]:
    """A few cells of one number of operations, which is drawn again where the atoms have no places."""
    for _ in range(20):
        order = rng.choice(possible)
        cells = []
        for _ in range(BEST_OF):
            name, system, generators = rng.choice(GROUPS[order])
            atoms = places(amounts, operations(generators), rng)
            if atoms is not None:
                cells.append(Cell(name, order, *lattice(system, volume, rng), atoms))
        if cells:
            return cells
    return []


def nearest(cell: Cell, allowed: dict[frozenset[str], float]) -> float:
    """Smallest distance in units of what is allowed."""
    cosines = [math.cos(math.radians(angle)) for angle in cell.angles]
    ratio = math.inf
    for i, (symbol, place) in enumerate(cell.atoms):
        for other, second in cell.atoms[:i]:
            limit = allowed.get(frozenset((symbol, other)), allowed[frozenset()])
            delta = [(p - q + 0.5) % 1.0 - 0.5 for p, q in zip(place, second, strict=True)]
            for shift in itertools.product((-1, 0, 1), repeat=3):
                u, v, w = (length * (d + s) for length, d, s in zip(cell.lengths, delta, shift, strict=True))
                square = u * u + v * v + w * w + 2 * (v * w * cosines[0] + u * w * cosines[1] + u * v * cosines[2])
                ratio = min(ratio, math.sqrt(max(square, 0.0)) / limit)
    return ratio


def misbehave(mood: str) -> None:
    """What ends the program before it has read anything to the end."""
    if mood == "hang":
        time.sleep(60)
    elif mood == "nothing":
        sys.exit(0)
    elif mood == "unsatisfied":
        stop(" Too many rejects")
    elif mood == "crash":
        number("x")
    elif mood == "signal":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif mood == "library":
        name = "libgfortran.so.5"
        stop(f"buildcell: error while loading shared libraries: {name}: cannot open shared object file", 127)


def mood_of_this_call() -> str:
    """How it behaves this time."""
    mood, _, first = os.environ.get("STAND_IN", "").partition(":")
    if not first:
        return mood
    with Path(os.environ["STAND_IN_CALLS"]).open("a") as calls:
        calls.write(".")
        return mood if calls.tell() > int(first) else ""


def write(cell: Cell, seed: list[int], mood: str) -> None:
    """Print the .cell file."""
    print("#              Generated by Buildcell\n#\n# at 12:00:00 (GMT+0.0) 1st June 2018\n#")
    print("# seed" + "".join(f"{value:12d}" for value in seed))
    print(f"#\n#      Author: C. J. Pickard (cjp20@cam.ac.uk)\n#                Space group: {cell.group}\n#\n ")
    if mood == "bytes":
        sys.stdout.flush()
        sys.stdout.buffer.write(b"\xff\xfe\n")
    print("%BLOCK LATTICE_ABC")
    for row in (cell.lengths, cell.angles):
        print("".join(f"{value:13.5f}" for value in row))
    print("%ENDBLOCK LATTICE_ABC\n\n%BLOCK POSITIONS_FRAC")
    for symbol, place in cell.atoms:
        print(f"{symbol:>4s}" + "".join(f"{math.nan if mood == 'nan' else value:17.7f}" for value in place))
        if mood == "half":
            sys.exit(0)
    print("%ENDBLOCK POSITIONS_FRAC\n\nSNAP_TO_SYMMETRY\nSYMMETRY_GENERATE\n")


def main() -> None:
    mood = mood_of_this_call()
    misbehave(mood)
    text = [line[:400].strip() for line in sys.stdin.read().splitlines()]
    settings = dict(line[1:].split("=", 1) for line in text if line.startswith("#") and "=" in line)
    seed = seeds(settings["SEED"]) if "SEED" in settings else [time.time_ns() % 2**31] * 8
    rng = random.Random(repr(seed))
    formula, scale = species(settings["SPECIES"])
    possible = orders(settings.get("SYMMOPS", "1"))
    units = int(number(settings["NFORM"]))
    allowed = separations(settings["MINSEP"])
    for name in ("SLACK", "OVERLAP"):
        number(settings.get(name, "0"))
    volume = target(settings, scale, rng) * units * (10 if mood == "volume" else 1)
    amounts = {symbol: amount * units + (mood == "other atoms") for symbol, amount in formula.items()}
    drawn = draws(possible, amounts, volume, rng)
    if not drawn:
        stop(" No positions for these atoms")
    cell = max(drawn, key=lambda cell: nearest(cell, allowed))
    print(f"Symm: {cell.group:<10s} Nops: {cell.order:3d}\nFormula units: {units:4d}", file=sys.stderr)
    write(cell, seed, mood)
    print("Timed:        0.00000", file=sys.stderr)


if __name__ == "__main__":
    main()
