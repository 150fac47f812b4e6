"""The hull beside pymatgen's, on the same entries in one run: python benchmarks/hull.py.

Entries: the Materials Project's formation energies in ../shared/data (--entries FILE, columns formula and target);
elements are at 0. Queries: compositions of the entries' elements, half of them in chemical systems that have no entry.
Prints

- build, memory and queries a second of ours for 10 k, 30 k, 60 k entries, one core; a query gives the energy of the
  hull with and without the composition's own entries, phases and amounts;
- pymatgen's PatchedPhaseDiagram on --pymatgen entries (its build grows faster than their number: 1,135 s for 85 k), and
  ours on the same;
- the largest difference to pymatgen's PhaseDiagram of each query's own chemical system, from all entries, on a sample;
- the same programs one by one in scipy's HiGHS: why ours are solved on stacked arrays.

Floor: a program reads its phases once per pivot, some 10 pivots x 100 phases x 4 elements x 8 bytes = 32 kB, a few
microseconds; finding the phases is 2^d look-ups for d elements.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import sys
import time
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
from pymatgen.analysis.phase_diagram import PatchedPhaseDiagram, PDEntry, PhaseDiagram  # noqa: E402
from pymatgen.core import Composition, Element  # noqa: E402
from scipy.optimize import linprog  # noqa: E402

from gnome_torch.stability.hull import Hull  # noqa: E402

ENTRIES = Path(__file__).parents[2] / "shared" / "data" / "mp_formation_energy_train.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=Path, default=ENTRIES)
    parser.add_argument("--pymatgen", type=int, default=10_000, help="entries for PatchedPhaseDiagram; 0: leave it out")
    parser.add_argument("--queries", type=int, default=20_000)
    parser.add_argument("--sample", type=int, default=60, help="queries compared with pymatgen")
    options = parser.parse_args()
    if not options.entries.exists():
        sys.exit(f"{options.entries} is not there: give --entries FILE with columns formula and target")
    with options.entries.open(newline="") as file:
        rows = [(row["formula"], float(row["target"])) for row in csv.DictReader(file)]
    order = np.random.default_rng(0).permutation(len(rows))
    rows = [rows[i] for i in order]
    queries = asked(rows, options.queries)

    print(f"{'entries':>10}{'build s':>10}{'memory GB':>12}{'queries/s':>12}")
    for count in (10_000, 30_000, len(rows)):
        start = time.perf_counter()
        hull = Hull.of_formation_energies(*zip(*rows[:count], strict=True))
        built = time.perf_counter() - start
        known = [formula for formula in queries if symbols(formula) <= hull.elements]
        start = time.perf_counter()
        hull.decompositions(known)
        rate = len(known) / (time.perf_counter() - start)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{count:10,}{built:10.2f}{memory:12.2f}{rate:12,.0f}", flush=True)

    compare(rows, hull, queries[: options.sample])
    if options.pymatgen:
        patched(rows[: options.pymatgen], queries)


def symbols(formula: str) -> set[str]:
    return {element.symbol for element in Composition(formula)}


def asked(rows: list[tuple[str, float]], count: int) -> list[str]:
    """Compositions, every other one in a system without entries; of two to six elements."""
    rng = np.random.default_rng(1)
    systems = {frozenset(symbols(formula)) for formula, _ in rows}
    elements = sorted(frozenset().union(*systems), key=lambda symbol: Element(symbol).Z)
    listed = sorted(systems, key=sorted)
    found: list[str] = []
    while len(found) < count:
        if len(found) % 2:
            system = frozenset(rng.choice(elements, rng.integers(2, 7), replace=False).tolist())
            if system in systems:
                continue
        else:
            system = listed[rng.integers(len(listed))]
        amounts = rng.integers(1, 9, len(system))
        found.append("".join(f"{symbol}{n}" for symbol, n in zip(sorted(system), amounts.tolist(), strict=True)))
    return found


def compare(rows: list[tuple[str, float]], hull: Hull, queries: list[str]) -> None:
    """Ours from all entries beside pymatgen's PhaseDiagram of each query's system, and beside HiGHS alone."""
    found = hull.decompositions(queries)
    parsed = [(Composition(formula), energy) for formula, energy in rows]
    sets = [frozenset(e.symbol for e in composition) for composition, _ in parsed]
    differences, spent, programs = [], 0.0, 0.0
    for row, formula in enumerate(queries):
        composition, system = Composition(formula), symbols(formula)
        entries = [PDEntry(c, e * c.num_atoms) for (c, e), s in zip(parsed, sets, strict=True) if s <= system]
        entries += [PDEntry(Composition(symbol), 0.0) for symbol in system]
        start = time.perf_counter()
        expected = PhaseDiagram(entries).get_hull_energy_per_atom(composition)
        spent += time.perf_counter() - start
        differences.append(abs(expected - found.energy[row]))
        if len(system) > 1:
            others = [e for e in entries if e.composition.fractional_composition != composition.fractional_composition]
            differences.append(
                abs(PhaseDiagram(others).get_hull_energy_per_atom(composition) - found.energy_without[row])
            )
        names = sorted(system)
        matrix = np.array([[e.composition.get_atomic_fraction(name) for e in entries] for name in names])
        costs, aim = [e.energy_per_atom for e in entries], [composition.get_atomic_fraction(name) for name in names]
        start = time.perf_counter()
        linprog(costs, A_eq=matrix, b_eq=aim, method="highs")
        programs += time.perf_counter() - start
    n = len(queries)
    print(
        f"\n{n} queries, largest difference to PhaseDiagram of the query's own system: {max(differences):.1e} eV/atom"
    )
    print(f"PhaseDiagram of a system: {n / spent:.0f} a second; scipy's HiGHS, one by one: {n / programs:.0f} a second")
    if max(differences) > 1e-6:
        sys.exit("the engines differ by more than 1e-6 eV/atom")


def patched(rows: list[tuple[str, float]], queries: list[str]) -> None:
    """Both engines on the same few entries."""
    elements = sorted(frozenset().union(*(symbols(formula) for formula, _ in rows)))
    entries = [PDEntry(Composition(f), e * Composition(f).num_atoms) for f, e in rows]
    entries += [PDEntry(Composition(symbol), 0.0) for symbol in elements]
    start = time.perf_counter()
    diagram = PatchedPhaseDiagram(entries)
    theirs = time.perf_counter() - start
    start = time.perf_counter()
    hull = Hull.of_formation_energies(*zip(*rows, strict=True))
    ours = time.perf_counter() - start
    own = [entry for entry in diagram.stable_entries if len(entry.composition) > 1][:20]
    start = time.perf_counter()
    expected = [diagram.get_phase_separation_energy(entry) for entry in own]
    per_query = (time.perf_counter() - start) / len(own)
    formulas = [entry.composition.reduced_formula for entry in own]
    start = time.perf_counter()
    found = hull.decompositions(formulas)
    ours_per_query = (time.perf_counter() - start) / len(own)
    separation = np.array([entry.energy_per_atom for entry in own]) - found.energy_without
    difference = np.abs(separation - np.array(expected)).max()
    print(f"\n{len(rows):,} entries{'build s':>20}{'ms a phase-separation energy':>32}")
    print(f"{'PatchedPhaseDiagram':22}{theirs:16.1f}{1e3 * per_query:32.2f}")
    print(f"{'ours':22}{ours:16.2f}{1e3 * ours_per_query:32.2f}")
    print(f"largest difference {difference:.1e} eV/atom")


if __name__ == "__main__":
    main()
