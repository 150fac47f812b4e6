"""Structural candidates a second, beside pymatgen's Substitutor on the same parents: python benchmarks/candidates.py.

Parents: the crystals of pymatgen's prototype library and, where it is there, the 3,787 perovskites of
../shared/data/perovskites_abx3_dft.csv (or --perovskites FILE). One process, one thread. Prints

- the quality of reference volumes, between perovskites and between rock salts;
- candidates a second and memory as the stream grows: unique, with id, formula, lineage, volume and contact, filtered by
  policy, distances, known compositions (--known FILE, by default the Materials Project's formulas of ../shared/data);
- the same into Parquet shards on disk;
- pymatgen: what its Substitutor predicts for a parent's ions, as structures by its SubstitutionTransformation, each
  formula once per parent (its own RemoveDuplicatesFilter compares every pair), on a sample of the parents.

Floor: a candidate of 8 sites is 8 bytes of species and some 60 bytes of numbers; writing, keying and comparing it a few
times is a few hundred bytes of traffic, well below a microsecond. What is spent is the interpreter's share per block of
rows and the SHA-256 and the text of each candidate's lineage.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
from pymatgen.core import Element, Structure  # noqa: E402

from gnome_torch.candidates.chemistry.policy import ElementPolicy  # noqa: E402
from gnome_torch.candidates.chemistry.volumes import bond_length_volume, elemental_volume_sum, reference_volume  # noqa: E402
from gnome_torch.candidates.parents import Parent, ParentError, parent_of  # noqa: E402
from gnome_torch.candidates.prototypes import prototypes  # noqa: E402
from gnome_torch.candidates.structural.generation import generate, plan, stream  # noqa: E402
from gnome_torch.candidates.structural.proposals import StructuralOptions, known_compositions, parent_ions  # noqa: E402
from gnome_torch.candidates.structural.selection import Request  # noqa: E402
from gnome_torch.candidates.structural.substitution import SubstitutionRules  # noqa: E402
from gnome_torch.data.files import read_crystals, read_formulas  # noqa: E402

DATA = Path(__file__).parents[2] / "shared" / "data"
# lattice constants of rock salts, angstrom (Landolt-Boernstein and textbook values)
ROCK_SALTS = {
    "Li F": 4.026, "Li Cl": 5.13, "Li Br": 5.50, "Na F": 4.62, "Na Cl": 5.64, "Na Br": 5.97, "Na I": 6.47, "K F": 5.34,
    "K Cl": 6.29, "K Br": 6.60, "Rb Cl": 6.58, "Mg O": 4.21, "Ca O": 4.81, "Sr O": 5.16, "Ba O": 5.52, "Mn O": 4.44,
    "Fe O": 4.33, "Ni O": 4.17, "Co O": 4.26, "Ti C": 4.33, "Ti N": 4.24, "Mg S": 5.20, "Ca S": 5.69, "Sr S": 6.02,
    "Ba S": 6.39, "Ca Se": 5.92, "Pb S": 5.94, "Pb Te": 6.46, "Ag Cl": 5.55, "Ag Br": 5.77, "Sc N": 4.50, "La N": 5.30,
    "Cd O": 4.70, "Zr C": 4.69, "Hf C": 4.64, "V N": 4.14, "Nb C": 4.47, "La Sb": 6.49, "Ce As": 6.08, "Y N": 4.88,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--perovskites", type=Path, default=DATA / "perovskites_abx3_dft.csv")
    parser.add_argument("--known", type=Path, default=DATA / "mp_formation_energy_train.csv")
    parser.add_argument("--threshold", type=float, default=0.001)
    parser.add_argument("--pymatgen-parents", type=int, default=40, help="parents for pymatgen's side")
    arguments = parser.parse_args()

    library = parents_of((key, structure) for key, structure in prototypes().items())
    perovskites: list[Parent] = []
    if arguments.perovskites.is_file():
        perovskites = parents_of((c.name, c.structure) for c in read_crystals(arguments.perovskites) if c.structure)
    else:
        print(f"no {arguments.perovskites}: without the perovskites")
    formulas: list[str] = []
    if arguments.known.is_file():
        formulas = read_formulas(arguments.known)
    else:
        print(f"no {arguments.known}: nothing is known")
    print(
        f"parents: {len(library)} of the library's {len(prototypes())} (2 to 20 atoms), {len(perovskites)} perovskites"
    )

    volumes(perovskites)
    options = StructuralOptions(
        ElementPolicy(frozenset(element.symbol for element in Element if element.Z <= 94)),
        SubstitutionRules(arguments.threshold),
        known=known_compositions(formulas),
    )
    crystals = library + perovskites
    ours = growth(crystals, options)
    shards(crystals, options)
    theirs = pymatgen_side(crystals, options, arguments.pymatgen_parents)
    if theirs:
        print(f"\nratio to pymatgen: {ours / theirs:,.0f}")


def parents_of(structures: object) -> list[Parent]:
    found = []
    for key, structure in structures:  # type: ignore[attr-defined]
        try:
            found.append(parent_of(key, structure, max_sites=20))
        except ParentError:
            continue
    return found


def volumes(perovskites: list[Parent]) -> None:
    """Error of reference volumes, from one known crystal to another of the same kind."""
    print("\nreference volumes: |predicted / true - 1| from one known crystal to another")
    print(f"{'':14s}{'pairs':>9s}{'bond lengths':>16s}{'tabulated':>16s}{'used':>16s}   median (90th percentile)")
    rng = np.random.default_rng(0)
    usual = [p for p in perovskites if len(np.unique(p.numbers[2:])) == 1]  # one anion: sites correspond
    pairs = [tuple(rng.choice(len(usual), 2, replace=False)) for _ in range(20_000)] if usual else []
    report("perovskites", [(usual[a], usual[b]) for a, b in pairs])
    salts = []
    for name, a in ROCK_SALTS.items():
        coords = [[0, 0, 0], [0.5, 0.5, 0.5]]
        structure = Structure(np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) * a / 2, name.split(), coords)
        salts.append(parent_of(name, structure))
    report("rock salts", [(a, b) for a in salts for b in salts if a is not b])


def report(name: str, pairs: list[tuple[Parent, Parent]]) -> None:
    if not pairs:
        return
    errors = []
    for old, new in pairs:
        counts, closest = np.ones(len(old)), old.closest[None]
        a, b = old.numbers[None], new.numbers[None]
        bonds = bond_length_volume(b, counts, closest, old.volume) / bond_length_volume(a, counts, closest, old.volume)
        tabulated = elemental_volume_sum(b, counts) / elemental_volume_sum(a, counts)
        used = reference_volume(a, b, counts, closest, old.volume) / old.volume
        errors.append([abs(ratio[0] * old.volume / new.volume - 1) for ratio in (bonds, tabulated, used)])
    median, tail = np.nanmedian(errors, axis=0), np.nanquantile(errors, 0.9, axis=0)
    cells = "".join(f"{f'{100 * m:.1f} % ({100 * t:.0f} %)':>16s}" for m, t in zip(median, tail, strict=True))
    print(f"{name:14s}{len(pairs):9,}{cells}")


def growth(crystals: list[Parent], options: StructuralOptions) -> float:
    """Candidates a second and memory as the stream goes on; the rate of the warm run."""
    start = time.perf_counter()
    work = plan(crystals, options)
    for item in work.parents:
        parent_ions(item, options)
    print(
        f"\npreparing (symmetry, structure types, oxidation states), once: {time.perf_counter() - start:.1f} s, "
        f"{len(work.types)} structure types, {len(work.units)} units"
    )
    print("warm stream, tables as they come:")
    print(f"{'candidates':>14s}{'seconds':>10s}{'a second':>12s}{'memory, MB':>13s}{'Arrow, MB':>12s}")
    next(stream(work))
    total, marks = 0, iter([10**4, 3 * 10**4, 10**5, 3 * 10**5, 10**6, 3 * 10**6, 10**9])
    mark, start = next(marks), time.perf_counter()

    def line() -> None:
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{total:14,}{seconds:10.1f}{total / seconds:12,.0f}{peak:13,.0f}{pa.total_allocated_bytes() / 1e6:12.0f}"
        )

    for table in stream(work):
        total += table.num_rows
        if total >= mark:
            line()
            while mark <= total:
                mark = next(marks)
    line()
    return total / (time.perf_counter() - start)


def shards(crystals: list[Parent], options: StructuralOptions) -> None:
    """The same into a directory: parts, merging, compressed shards."""
    with tempfile.TemporaryDirectory() as directory:
        start = time.perf_counter()
        summary = generate(crystals, Request(options), Path(directory) / "out")
        seconds = time.perf_counter() - start
        size = sum(path.stat().st_size for path in Path(directory).rglob("*.parquet"))
    print(
        f"into shards, preparation included: {summary['written']:,} in {seconds:.1f} s, "
        f"{summary['written'] / seconds:,.0f} a second, {size / summary['written']:.0f} bytes each"
    )
    print(f"what became of the proposals: { {k: summary[k] for k in ('proposed', 'refused', 'known', 'duplicates')} }")


def pymatgen_side(crystals: list[Parent], options: StructuralOptions, count: int) -> float:
    """Unique structures a second by pymatgen's own predictor and transformations, full substitutions only."""
    from pymatgen.core import Species
    from pymatgen.core.structure_prediction.substitutor import Substitutor
    from pymatgen.transformations.standard_transformations import SubstitutionTransformation

    substitutor = Substitutor(threshold=options.rules.threshold)
    work = plan(crystals, options)
    ionic = [p for p in work.parents if "0+" not in "".join(parent_ions(p, options).ions)]
    sample = [ionic[i] for i in np.random.default_rng(0).choice(len(ionic), min(count, len(ionic)), replace=False)]
    start, made = time.perf_counter(), 0
    for item in sample:
        ions = parent_ions(item, options).ions
        structure = item.parent.structure
        symbols = list(dict.fromkeys(structure[int(site)].specie.symbol for site in item.order))
        structure.add_oxidation_state_by_element(
            {symbol: Species.from_str(ion).oxi_state for symbol, ion in zip(symbols, ions, strict=True)}
        )
        seen = set()
        for prediction in substitutor.pred_from_list(list(ions)):
            change = {old: new for old, new in prediction["substitutions"].items() if old != new}
            if change:
                crystal = SubstitutionTransformation(change).apply_transformation(structure)
                seen.add(crystal.composition.reduced_formula)
        made += len(seen)
    seconds = time.perf_counter() - start
    print(
        f"\npymatgen (Substitutor and SubstitutionTransformation; stock rules, no SAPS, no filters), "
        f"{len(sample)} of the parents: {made:,} in {seconds:.1f} s, {made / seconds:,.0f} a second"
    )
    return made / seconds


if __name__ == "__main__":
    csv.field_size_limit(sys.maxsize)
    main()
