"""Candidates a second through an ensemble of 10 networks, ours beside the plain formulation.

    python benchmarks/screening.py                  at the reference volume, as campaigns do
    python benchmarks/screening.py --volumes 20     at GNoME's 20 volumes

Candidates: what `gnome generate structural` proposes (full and partial substitution) from the crystals of 8 to 12 atoms
of pymatgen's prototype library; a random sample, in shards on disk as in a campaign. Networks of the released size,
(256, 256), trained for a few epochs on the perovskites of ../shared/data if they are there (only the cascade's recall
depends on that), with random weights otherwise. Prints

- candidates a second, achieved FLOP/s beside a plain product of matrices, and operations per candidate, for the plain
  formulation (concatenations, every layer on every edge, a graph for each candidate and volume; `plain.py`) and ours;
- the largest difference of the two in energy: must be below 1e-4 eV/atom;
- how ours grows with the number of candidates, and what a cascade saves and loses.

Floor, per graph of N atoms and E edges, multiply-adds: the plain formulation has E * (30 * 256 + 3 * 5 * 256^2) on
edges and N * 3 * 5 * 256^2 on nodes. Folding the layers together leaves E * (30 * 256 + 2 * 256^2) and N * 12 * 256^2,
and joining equivalent atoms makes E and N several times smaller in symmetric crystals. Memory traffic is some 20 rows
of 1 kB per edge and block, about as long as its products on two cores.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))
warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import torch  # noqa: E402
from plain import PlainNetwork, predict_plainly, products_per_second  # noqa: E402
from pymatgen.core import Composition, Structure  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from gnome_torch.candidates.chemistry.policy import ElementPolicy  # noqa: E402
from gnome_torch.candidates.parents import ParentError, parent_of  # noqa: E402
from gnome_torch.candidates.prototypes import prototypes  # noqa: E402
from gnome_torch.candidates.structural.generation import generate  # noqa: E402
from gnome_torch.candidates.structural.proposals import StructuralOptions, known_compositions  # noqa: E402
from gnome_torch.candidates.structural.selection import Request, Selection  # noqa: E402
from gnome_torch.candidates.structural.substitution import SubstitutionRules  # noqa: E402
from gnome_torch.candidates.tables.shards import read_parents, read_shards  # noqa: E402
from gnome_torch.data.tables import read_examples  # noqa: E402
from gnome_torch.inference import Evaluation, predict  # noqa: E402
from gnome_torch.models.ensemble import Ensemble  # noqa: E402
from gnome_torch.models.structure import StructureNetwork, StructureNetworkConfig  # noqa: E402
from gnome_torch.records import Decorations, Predictions  # noqa: E402
from gnome_torch.screening import Cascade, Criteria, Predict, Predictor, by_parent, screen  # noqa: E402
from gnome_torch.training.config import TrainingConfig  # noqa: E402
from gnome_torch.training.dataset import TrainingSet  # noqa: E402
from gnome_torch.training.loop import train  # noqa: E402
from workflows.campaign.stages.predictors import volume_scales  # noqa: E402

PEROVSKITES = Path(__file__).parents[2] / "shared" / "data" / "perovskites_abx3_dft.csv"
ELEMENTS = "Li Na K Rb Mg Ca Sr Ba Al Ga In Si Ge Sn Ti Zr V Nb Mn Fe Co Ni Cu Zn Y La O S Se N P F Cl Br I C B"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--volumes", type=int, default=1, help="tried for each candidate")
    parser.add_argument("--candidates", type=int, default=1000, help="for ours")
    parser.add_argument("--plain", type=int, default=24, help="of them for the plain formulation")
    parser.add_argument("--epochs", type=int, default=3, help="of the members' training")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    device = options.device
    where = torch.cuda.get_device_name() if device.startswith("cuda") else f"{torch.get_num_threads()} CPU threads"
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        candidates = proposed(directory / "candidates", options.candidates)
        scales = volume_scales(options.volumes)
        ensemble = trained(directory, options.members, options.epochs, scales)
        peak = products_per_second(device)
        print(f"{where}; a product of matrices (float32): {peak / 1e9:,.0f} GFLOP/s")
        compare(candidates, ensemble, scales, options.plain, device, peak)
        growth(candidates, ensemble, scales, directory, device)
        cascade(candidates, ensemble, scales, directory, device)


def proposed(directory: Path, count: int) -> Path:
    """Shards of candidates of 8 to 12 atoms."""
    crystals = []
    for key, structure in prototypes().items():
        if 8 <= len(structure) <= 12:
            try:
                crystals.append(parent_of(key, structure, 12))
            except ParentError:
                continue
    policy = ElementPolicy(elements=frozenset(ELEMENTS.split()))
    options = StructuralOptions(policy=policy, rules=SubstitutionRules(0.001), known=known_compositions([]))
    start = time.perf_counter()
    summary = generate(crystals, Request(options, Selection(count, "random", 0)), directory)
    print(f"{summary['written']:,} candidates of {len(crystals)} parents in {time.perf_counter() - start:.0f} s")
    return directory


def trained(directory: Path, members: int, epochs: int, scales: np.ndarray) -> Ensemble:
    """Members of the released size that know something, where there is something to learn from."""
    if not PEROVSKITES.exists() or epochs == 0:
        why = "--epochs 0" if epochs == 0 else f"no {PEROVSKITES}"
        print(f"random weights ({why}): the cascade's recall below means nothing")
        torch.manual_seed(0)
        return Ensemble([StructureNetwork(StructureNetworkConfig()) for _ in range(members)])
    start = time.perf_counter()
    examples = read_examples(PEROVSKITES, "heat_all", per_cell=True)
    dataset = TrainingSet.build(examples.structures or [], examples.targets or [], examples.ids)
    for member in range(members):
        jitter = float(scales.max() - 1)  # wrong volumes are known to networks that are asked about them
        config = TrainingConfig(epochs=epochs, batch_size=64, seed=member, volume_jitter=jitter, hold_out=False)
        train(dataset, StructureNetworkConfig(), config, directory / f"member-{member}")
    print(f"{members} members trained on {len(dataset):,} perovskites in {time.perf_counter() - start:.0f} s")
    return Ensemble.load([directory / f"member-{member}" for member in range(members)])


def compare(candidates: Path, ensemble: Ensemble, scales: np.ndarray, count: int, device: str, peak: float) -> None:
    """Both formulations on the same candidates."""
    crystals = read_parents(candidates)
    rows = list(read_shards(candidates))
    step = max(1, len(rows) // count)
    sample = [candidate.structure(crystals[candidate.parent_id]) for candidate in rows[::step]][:count]
    decorated = [
        Decorations(crystals[c.parent_id], np.array([s.atomic_numbers]), np.array([c.volume]))
        for c, s in zip(rows[::step], sample, strict=False)
    ][:count]
    plain = [PlainNetwork(member).to(device).eval() for member in ensemble.members]
    n = len(sample)

    def plainly() -> np.ndarray:
        return np.median(predict_plainly(plain, sample, scales, device=device).min(axis=2), axis=0)

    def ours(evaluation: Evaluation) -> np.ndarray:
        return predict(ensemble, decorated, scales, evaluation).energy

    exact = Evaluation(device, bfloat16=False, compiled=False)
    runs = {"plain": plainly, "ours": lambda: ours(exact)}
    if not device.startswith("cpu"):
        runs["ours, bfloat16, compiled"] = lambda: ours(Evaluation(device))
    atoms = np.mean([len(structure) for structure in sample])
    print(f"\n{n} candidates of {atoms:.1f} atoms, {len(ensemble)} members, volumes tried: {len(scales)}")
    print(f"{'':28}{'candidates/s':>14}{'GFLOP each':>12}{'GFLOP/s':>10}{'of product':>12}{'difference eV/atom':>20}")
    reference = None
    for name, run in runs.items():
        with FlopCounterMode(display=False) as counter:
            energies = run()
        seconds = min(timed(run) for _ in range(2 if name == "plain" else 4))
        flop = counter.get_total_flops()
        reference = energies if reference is None else reference
        difference = float(np.abs(energies - reference).max())
        rate = flop / seconds
        print(
            f"{name:28}{n / seconds:14.2f}{flop / n / 1e9:12.1f}{rate / 1e9:10.0f}{rate / peak:12.0%}{difference:20.1e}"
        )
        if name == "plain":
            slow = seconds
        elif name == "ours":
            print(f"ratio {slow / seconds:.1f}")
            if difference > 1e-4:
                sys.exit("the two formulations differ by more than 1e-4 eV/atom")


def timed(run: object) -> float:
    start = time.perf_counter()
    run()  # type: ignore[operator]
    return time.perf_counter() - start


def growth(candidates: Path, ensemble: Ensemble, scales: np.ndarray, directory: Path, device: str) -> None:
    """The whole engine, from shards to decisions."""
    total = sum(1 for _ in read_shards(candidates))
    print(f"\n{'from shards to decisions':28}{'candidates/s':>14}")
    crystals = read_parents(candidates)
    for count in (total // 16, total // 4, total):
        done = limited(ensemble, scales, crystals, count, device)
        start = time.perf_counter()
        predictor = Predictor(done, {"count": count})
        screen(candidates, directory / f"screening-{count}", predictor, zero_hull, Criteria(threshold=0.0))
        print(f"{count:28,}{count / (time.perf_counter() - start):14.2f}")


def limited(ensemble: Ensemble, scales: np.ndarray, crystals: dict[str, Structure], count: int, device: str) -> Predict:
    """A prediction that stops after `count` candidates and calls the rest hopeless."""
    left = count

    def predict_table(table: pa.Table) -> Predictions:
        nonlocal left
        mine = min(left, table.num_rows)
        left -= mine
        rest = np.full(table.num_rows - mine, 9.0)
        if mine == 0:
            return Predictions(rest, rest, rest)
        run = by_parent(crystals, lambda some: predict(ensemble, some, scales, Evaluation(device)))
        found = run(table.slice(0, mine))
        parts = (found.energy, found.iqr, found.volume_scale)
        return Predictions(*(np.concatenate([part, rest]) for part in parts))

    return predict_table


def zero_hull(formulas: Sequence[str]) -> np.ndarray:
    """The elements are the hull."""
    return np.zeros(len([Composition(formula) for formula in formulas]))


def cascade(candidates: Path, ensemble: Ensemble, scales: np.ndarray, directory: Path, device: str) -> None:
    """What a first look of one member saves, at five volumes at most, and what it loses of the best 5 %."""
    crystals = read_parents(candidates)
    evaluation = Evaluation(device)
    full = by_parent(crystals, lambda some: predict(ensemble, some, scales, evaluation))
    one, few = Ensemble([ensemble.members[0]]), volume_scales(min(5, len(scales)))
    first_look = by_parent(crystals, lambda some: predict(one, some, few, evaluation))

    kept: dict[str, float] = {}

    def everything(table: pa.Table) -> Predictions:
        found = full(table)
        kept.update(zip(table["id"].to_pylist(), found.energy.tolist(), strict=True))
        return found

    start = time.perf_counter()
    screen(candidates, directory / "all", Predictor(everything, {}), zero_hull)
    whole = time.perf_counter() - start
    threshold = float(np.quantile(list(kept.values()), 0.05))
    good = {key for key, energy in kept.items() if energy <= threshold}
    print(f"\n{'cascade: margin eV/atom':28}{'saves':>14}{'in full':>12}{'recall':>10}{'its own estimate':>18}")
    for margin in (0.05, 0.1, 0.2):
        predicted: set[str] = set()

        def noted(table: pa.Table, predicted: set[str] = predicted) -> Predictions:
            predicted.update(table["id"].to_pylist())
            return full(table)

        start = time.perf_counter()
        predictor = Predictor(noted, {"margin": margin}, Cascade(first_look, margin, 0.02))
        result = screen(candidates, directory / f"cascade-{margin}", predictor, zero_hull, Criteria(threshold))
        seconds = time.perf_counter() - start
        estimate = "-" if result.recall is None else f"{result.recall:.2f}"
        share, recall = result.full / result.candidates, len(good & predicted) / len(good)
        print(f"{margin:28.2f}{whole / seconds:13.1f}x{share:12.0%}{recall:10.3f}{estimate:>18}")


if __name__ == "__main__":
    main()
