"""Which labels composition networks learn best from, in a closed world: python benchmarks/labels.py.

The alloys of benchmarks/worlds, where every crystal that substitution proposes is relaxed with ASE's EMT. Of a hundred
compositions ten random crystals are relaxed too, as a campaign's random search would (kept beside the world; half an
hour of one busy core without; the networks take as long). The true energy of such a composition is the lowest of all
its crystals.

For each seed the searched compositions are divided: some teach with the lowest of their ten runs, the others are
tested on. Beside the ten-run labels stand, of compositions that were not searched,

    single     the energy of one crystal, drawn by chance
    chosen     of the crystal that a structure network would choose, which errs by 30 meV/atom
    first      the lowest of three crystals, as a campaign's first data have it
    true       the lowest of all crystals

Prints, as means over the seeds with their deviation, how far the labels lie above the truth, and error and bias of the
ensemble's median on the compositions tested on, all in meV/atom.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from tempfile import TemporaryDirectory

os.environ.setdefault("OMP_NUM_THREADS", "1")
warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from pymatgen.core import Composition  # noqa: E402

from gnome_torch.candidates.random_search.options import SearchError, SearchOptions  # noqa: E402
from gnome_torch.candidates.random_search.search import generator_of, search  # noqa: E402
from gnome_torch.models.composition import CompositionNetworkConfig  # noqa: E402
from gnome_torch.models.ensemble import Ensemble  # noqa: E402
from gnome_torch.stability.plausibility import implausible  # noqa: E402
from gnome_torch.training.calibration import member_energies  # noqa: E402
from gnome_torch.training.config import TrainingConfig  # noqa: E402
from gnome_torch.training.dataset import CompositionSet  # noqa: E402
from gnome_torch.training.loop import train  # noqa: E402
from workflows.relax import theory  # noqa: E402
from workflows.relax.potentials import EmtTheory  # noqa: E402

WORLD = Path(__file__).parent / "worlds" / "alloys"
RUNS = 10
NETWORK_ERROR = 0.03
"""eV/atom, of the structure network that chooses among the crystals of a composition."""

Energies = dict[str, list[float]]
"""Of each composition, reduced formula, the formation energies of its crystals, eV/atom."""


@dataclass(frozen=True)
class Sizes:
    """How many compositions there are of each kind.

    Attributes:
        searched: with ten runs; some of them are tested on.
        tested: of them.
        others: that single crystals or first data are known of.
    """

    searched: int
    tested: int
    others: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--searched", type=int, default=100)
    parser.add_argument("--tested", type=int, default=40)
    parser.add_argument("--others", type=int, default=200)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--runs", type=Path, default=WORLD / "random.jsonl", help="where the random runs are kept")
    options = parser.parse_args()
    sizes = Sizes(options.searched, options.tested, options.others)
    references, substituted = world()
    several = sorted(formula for formula, energies in substituted.items() if len(energies) >= 3)
    order = np.random.default_rng(0).permutation(several).tolist()
    began = time.perf_counter()
    runs = random_runs(order[: sizes.searched], references, options.runs)
    print(
        f"{sum(map(len, runs.values()))} random runs of {len(runs)} compositions: {time.perf_counter() - began:.0f} s"
    )
    books = Books(substituted, runs, order[sizes.searched :])
    results: dict[str, list[tuple[float, float, float, float]]] = defaultdict(list)
    for seed in range(options.seeds):
        tested, arms = drawn(books, sizes, np.random.default_rng(seed))
        for name, labels in arms.items():
            predicted = learnt(labels, sorted(tested), options.members, options.epochs, seed)
            wrong = predicted - np.array([tested[formula] for formula in sorted(tested)])
            above = fmean(energy - books.truth(formula) for formula, energy in labels.items())
            results[name].append((len(labels), above, float(abs(wrong).mean()), float(wrong.mean())))
        print(f"seed {seed} done", flush=True)
    print(table(results))


# ---- what is known


def world() -> tuple[dict[str, float], Energies]:
    """Energy of each element's lowest crystal, eV/atom; formation energies of what substitution proposes."""
    rows = pq.read_table(WORLD / "results.parquet", columns=["formula", "energy"]).to_pylist()
    elements: dict[str, float] = {}
    for row in rows:
        composition = Composition(row["formula"])
        if composition.is_element:
            symbol = composition.elements[0].symbol
            elements[symbol] = min(row["energy"], elements.get(symbol, np.inf))
    found: Energies = defaultdict(list)
    for row in rows:
        if not Composition(row["formula"]).is_element:
            found[row["formula"]].append(row["energy"] - of_elements(row["formula"], elements))
    return elements, dict(found)


def of_elements(formula: str, elements: dict[str, float]) -> float:
    """Energy of the elements of a composition, eV/atom."""
    fractions = Composition(formula).fractional_composition.get_el_amt_dict()
    return sum(fraction * elements[symbol] for symbol, fraction in fractions.items())


def random_runs(formulas: list[str], elements: dict[str, float], kept: Path) -> Energies:
    """Formation energies of `RUNS` random crystals of each composition; those that failed are left out."""
    done = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    found: Energies = {record["formula"]: record["energies"] for record in done if record["formula"] in formulas}
    level, generator = theory(EmtTheory(fmax=0.05, max_steps=200)), generator_of("pyxtal")
    asked = SearchOptions(count=RUNS, formula_units=(1, 2), max_sites=8)
    with kept.open("a") as file:
        for formula in formulas:
            if formula in found:
                continue
            try:
                crystals = [crystal.structure for crystal in search(formula, asked, generator).crystals]
            except SearchError:
                crystals = []
            relaxed = [level.relax(crystal) for crystal in crystals]
            energies = [r.energy / len(r.structure) for r in relaxed if implausible(r) is None]
            found[formula] = [energy - of_elements(formula, elements) for energy in energies]
            file.write(
                json.dumps({"formula": formula, "energies": [round(energy, 6) for energy in found[formula]]}) + "\n"
            )
            file.flush()
    return {formula: found[formula] for formula in formulas if found[formula]}


@dataclass(frozen=True)
class Books:
    """All crystals that there are.

    Attributes:
        substituted: what substitution proposes.
        runs: random crystals of the compositions that were searched.
        others: compositions that were not, with three crystals at least.
    """

    substituted: Energies
    runs: Energies
    others: list[str]

    def truth(self, formula: str) -> float:
        """Lowest formation energy of a composition, eV/atom."""
        return min(self.substituted[formula] + self.runs.get(formula, []))


# ---- what is learnt


def drawn(books: Books, sizes: Sizes, rng: np.random.Generator) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """The compositions tested on, with the truth, and the labels of each way to choose them, eV/atom."""
    searched = rng.permutation(sorted(books.runs)).tolist()
    tested = {formula: books.truth(formula) for formula in searched[: sizes.tested]}
    ten = {formula: min(books.runs[formula]) for formula in searched[sizes.tested :]}
    others = {formula: books.substituted[formula] for formula in rng.permutation(books.others)[: sizes.others].tolist()}

    def chosen(energies: list[float]) -> float:
        return energies[int(np.argmin(energies + rng.normal(0, NETWORK_ERROR, len(energies))))]

    single = {formula: float(rng.choice(energies)) for formula, energies in others.items()}
    by_network = {formula: chosen(energies) for formula, energies in others.items()}
    first = {formula: min(rng.choice(energies, 3, replace=False).tolist()) for formula, energies in others.items()}
    true = {formula: min(energies) for formula, energies in others.items()}
    kinds = {"single": single, "chosen": by_network, "first": first, "true": true}
    few = list(others)[: len(ten)]
    return tested, {
        "ten runs": ten,
        **{f"{name}, as many": {formula: labels[formula] for formula in few} for name, labels in kinds.items()},
        **{f"ten runs and {name}": ten | labels for name, labels in kinds.items()},
    }


def learnt(labels: dict[str, float], asked: list[str], members: int, epochs: int, seed: int) -> np.ndarray:
    """What an ensemble that has learnt some labels, and the elements, says of compositions, eV/atom, (n,)."""
    symbols = sorted({element.symbol for formula in labels for element in Composition(formula)})
    formulas = [*symbols, *sorted(labels)]
    dataset = CompositionSet.build(formulas, [0.0] * len(symbols) + [labels[formula] for formula in sorted(labels)])
    shape = CompositionNetworkConfig(hidden=(64, 64))
    with TemporaryDirectory() as directory:
        paths = [Path(directory) / f"{member}" for member in range(members)]
        for member, path in enumerate(paths):
            config = TrainingConfig(
                epochs, 16, 3e-3, seed=100 * seed + member, volume_jitter=0.0, warm_up=0.05, hold_out=False
            )
            train(dataset, shape, config, path)
        ensemble = Ensemble.load(paths)
    questions = CompositionSet.build(asked, [0.0] * len(asked))
    return np.median(member_energies(ensemble, questions, np.arange(len(asked))), axis=0)


def table(results: dict[str, list[tuple[float, float, float, float]]]) -> str:
    """The means over the seeds, as Markdown."""
    lines = ["| labels | how many | above the truth | error | bias |", "|---|---|---|---|---|"]
    for name, rows in results.items():
        number, *columns = zip(*rows, strict=True)
        cells = [
            f"{1000 * fmean(values):.1f}" + (f" ± {1000 * stdev(values):.1f}" if len(values) > 1 else "")
            for values in columns
        ]
        lines.append(f"| {name} | {fmean(number):.0f} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
