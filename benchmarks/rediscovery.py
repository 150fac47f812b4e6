"""Five known compounds searched from nothing but their formulas: python benchmarks/rediscovery.py.

Random crystals as `gnome generate random` makes them, each relaxed with the embedded theory, until the known structure
is found (pymatgen's StructureMatcher) or a crystal lies at its energy or below; at most 100 a compound. `--all` goes on
to the end and counts every hit. Results are kept in --out, and a repeated command goes on there.

    python benchmarks/rediscovery.py rates     crystals a second: ours, PyXtal's own from_random, AIRSS if it is there
    python benchmarks/rediscovery.py tables    how the tabulated separations and volumes fit known crystals
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, Lattice, Structure

from gnome_torch.candidates.prototypes import prototypes
from gnome_torch.candidates.random_search.buildcell import PROGRAM
from gnome_torch.candidates.random_search.options import SearchError, SearchOptions
from gnome_torch.candidates.random_search.search import generator_of, search
from gnome_torch.candidates.random_search.separations import estimated_volume, minimum_separations, separation_matrix
from gnome_torch.candidates.random_search.soft_spheres import nearest_ratio
from workflows.relax import theory
from workflows.relax.potentials import ForcefieldTheory

SAME_ENERGY = 0.002  # eV/atom: two relaxations of one crystal, to forces of 0.1 eV/angstrom, differ by less

KNOWN = {
    "MgO": ("Fm-3m", Lattice.cubic(4.21), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "CaF2": ("Fm-3m", Lattice.cubic(5.46), ["Ca", "F"], [[0, 0, 0], [0.25, 0.25, 0.25]]),
    "ZnS": ("F-43m", Lattice.cubic(5.41), ["Zn", "S"], [[0, 0, 0], [0.25, 0.25, 0.25]]),
    "TiO2": ("P4_2/mnm", Lattice.tetragonal(4.59, 2.96), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]),
    "SrTiO3": ("Pm-3m", Lattice.cubic(3.905), ["Sr", "Ti", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]),
}
"""Space group, cell, elements and their positions; of TiO2 rutile."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("search", "rates", "tables"), default="search")
    parser.add_argument("--compounds", default=",".join(KNOWN))
    parser.add_argument("--generator", default="auto")
    parser.add_argument("-n", "--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--all", action="store_true", help="do not stop at the first hit")
    parser.add_argument("--out", type=Path, default=Path("rediscovery.jsonl"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    {"search": rediscover, "rates": rates, "tables": tables}[options.what](options)


def rediscover(options: argparse.Namespace) -> None:
    level = theory(ForcefieldTheory(fmax=0.1, max_steps=150))
    print(f"theory {level.id}, generator {generator_of(options.generator).name}, seed {options.seed}")
    print("compound  crystals  attempts  relaxed  failed  first hit  hits  lowest - known  s a relaxation  found")
    found = 0
    compounds = options.compounds.split(",")
    for formula in compounds:
        found += _one(formula, level, options)
    print(f"\n{found} of {len(compounds)} found")


def _one(formula: str, level: Any, options: argparse.Namespace) -> bool:
    group, lattice, symbols, positions = KNOWN[formula]
    known = level.relax(Structure.from_spacegroup(group, lattice, symbols, positions).get_primitive_structure())
    floor = known.energy / len(known.structure)
    result = search(formula, SearchOptions(count=options.count, seed=options.seed), generator_of(options.generator))
    matcher = StructureMatcher()
    energies, hits, failed, first, seconds = [], 0, 0, None, []
    for number, crystal in enumerate(result.crystals, start=1):
        key = [formula, options.seed, crystal.generator, crystal.attempt, level.id]
        record = _done(options.out, key)
        if record is None:
            start = time.perf_counter()
            record = {"key": key, **_relaxed(level, crystal.structure, known.structure, matcher)}
            record["seconds"] = time.perf_counter() - start
            with options.out.open("a") as file:
                file.write(json.dumps(record) + "\n")
        seconds.append(record["seconds"])
        if record["energy"] is None:
            failed += 1
            continue
        energies.append(record["energy"] - floor)
        if record["same"] or energies[-1] <= SAME_ENERGY:
            hits += 1
            first = first or number
            if not options.all:
                break
    print(
        f"{formula:8s} {len(result.crystals):9d} {result.attempts:9d} {len(energies):8d} {failed:7d} "
        f"{first or '-':>10} {hits:5d} {min(energies, default=np.nan):11.4f} eV/at {np.mean(seconds):12.2f}    "
        f"{'yes' if hits else 'no'}",
        flush=True,
    )
    return hits > 0


def _relaxed(level: Any, structure: Structure, known: Structure, matcher: StructureMatcher) -> dict[str, Any]:
    """Energy, eV/atom (None for a failure), and whether it is the known crystal."""
    try:
        relaxation = level.relax(structure)
    except Exception as error:
        return {"energy": None, "same": False, "reason": str(error)}
    energy = relaxation.energy / len(relaxation.structure)
    return {"energy": energy, "same": bool(matcher.fit(relaxation.structure, known)), "steps": relaxation.steps}


def _done(path: Path, key: list[Any]) -> dict[str, Any] | None:
    if not path.exists():
        return None
    records = (json.loads(line) for line in path.read_text().splitlines() if line.endswith("}"))
    return next((record for record in records if record["key"] == key), None)


def rates(options: argparse.Namespace) -> None:
    """Crystals a second, everything included: drawing, soft spheres, near-duplicates."""
    print("crystals a second      embedded   rejected   PyXtal's from_random   AIRSS")
    for formula in options.compounds.split(","):
        search(formula, SearchOptions(count=5), generator_of("pyxtal"))  # tables first
        start = time.perf_counter()
        result = search(formula, SearchOptions(count=options.count, seed=options.seed), generator_of("pyxtal"))
        ours = len(result.crystals) / (time.perf_counter() - start)
        rejected = 1 - len(result.crystals) / result.attempts
        print(
            f"{formula:20s} {ours:10.1f} {rejected:10.0%} {_from_random(formula):16.1f}     {_airss(formula, options)}"
        )


def _from_random(formula: str, seconds: float = 10.0) -> float:
    """PyXtal's own way: it draws again until all atoms keep their separations."""
    from pyxtal import pyxtal
    from pyxtal.tolerance import Tol_matrix

    composition = Composition(formula)
    separations = Tol_matrix(*((a, b, d) for (a, b), d in minimum_separations(composition).items()))
    rng = np.random.default_rng(0)
    start, made = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        crystal = pyxtal()
        units = int(rng.integers(1, 5))
        amounts = [round(amount) * units for amount in composition.values()]
        species = [element.symbol for element in composition]
        try:
            crystal.from_random(
                3, int(rng.integers(2, 231)), species, amounts, conventional=False, tm=separations, random_state=rng,
                max_count=1,
            )  # fmt: skip
            made += bool(crystal.valid)
        except Exception:  # a group without places for these atoms
            continue
    return made / (time.perf_counter() - start)


def _airss(formula: str, options: argparse.Namespace) -> str:
    try:
        generator = generator_of("airss")
        start = time.perf_counter()
        result = search(formula, SearchOptions(count=options.count, operations=(2, 4)), generator)
        return f"{len(result.crystals) / (time.perf_counter() - start):.1f}"
    except SearchError as error:
        return f"no {PROGRAM} on the PATH" if "on the PATH" in str(error) else str(error)


def tables(_: argparse.Namespace) -> None:
    """Known crystals against the tabulated separations and volumes."""
    crystals = [s for s in prototypes().values() if len(s.composition) > 1]
    near, volumes = [], []
    for structure in crystals:
        symbols = [site.specie.symbol for site in structure]
        separations = minimum_separations(structure.composition)
        near.append(nearest_ratio(structure, separation_matrix(symbols, separations)))
        volumes.append(structure.volume / estimated_volume(structure.composition))
    near, volumes = np.array(near), np.array(volumes)
    print(f"{len(crystals)} compounds of the prototype library")
    print(f"separations kept by {np.mean(near >= 1):.1%}; those that do not: nearest pair at ", end="")
    print(", ".join(f"{x:.2f}" for x in np.sort(near[near < 1])), "of what is allowed")
    percent = (1, 5, 25, 50, 75, 95, 99)
    values = np.percentile(volumes[np.isfinite(volumes)], percent)
    print("volume / estimate: " + ", ".join(f"{p} %: {v:.2f}" for p, v in zip(percent, values, strict=True)))


if __name__ == "__main__":
    main()
