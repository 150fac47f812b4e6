"""What sharing one calculator among a worker's relaxations saves: `python benchmarks/calculator.py [--crystals N]`.

Prints both sides in one run: atomate2's own SevenNet maker, which loads the potential for each relaxation, and the
maker of workflows/relax, on the same crystals (rock salts, stretched by a few per cent).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
warnings.simplefilter("ignore")

from pymatgen.core import Lattice, Structure  # noqa: E402


def crystals(count: int) -> list[Structure]:
    pairs = [("Mg", "O", 4.21), ("Ca", "O", 4.81), ("Li", "F", 4.03), ("Na", "Cl", 5.64), ("K", "F", 5.34)]
    salts = []
    for index in range(count):
        cation, anion, a = pairs[index % len(pairs)]
        lattice = Lattice.cubic(a * (1.02 + 0.01 * (index // len(pairs))))
        salt = Structure.from_spacegroup("Fm-3m", lattice, [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])
        salts.append(salt.get_primitive_structure())
    return salts


def seconds_each(made_by: Callable[[Structure], Any], structures: list[Structure]) -> float:
    """Mean wall time of a relaxation, seconds; the first one, which pays for the imports, is left out."""
    from jobflow import run_locally

    times = []
    for structure in structures:
        with contextlib.redirect_stdout(io.StringIO()):
            start = time.perf_counter()
            run_locally(made_by(structure), log=False)
            times.append(time.perf_counter() - start)
    return sum(times[1:]) / len(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crystals", type=int, default=11)
    structures = crystals(parser.parse_args().crystals)
    os.chdir(tempfile.mkdtemp())

    from atomate2.forcefields.jobs import ForceFieldRelaxMaker

    from workflows.relax import theory
    from workflows.relax.potentials import ForcefieldTheory

    level = theory(ForcefieldTheory())
    own = ForceFieldRelaxMaker(
        force_field_name="SevenNet", relax_kwargs={"fmax": 0.05}, optimizer_kwargs={"optimizer": "FIRE"}
    )
    reference = seconds_each(own.make, structures)
    ours = seconds_each(level.flow, structures)
    print(f"relaxations of 2 atoms, {len(structures) - 1} each, one thread")
    print(f"potential loaded for each   {reference:6.2f} s")
    print(f"potential shared            {ours:6.2f} s")
    print(f"ratio                       {reference / ours:6.1f}")


if __name__ == "__main__":
    main()
