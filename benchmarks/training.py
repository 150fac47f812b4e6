"""Training speed and the scaling law: python benchmarks/training.py [speed|scaling] [--plot FILE.png]

speed: the time of a step and of an epoch with our formulation and the plain one (concatenations, every layer on every
edge, a node for each atom; `plain.py`), in one run on the same batches: the 3,787 perovskites of ../shared/data if they
are there, the crystals of pymatgen's prototype library otherwise. Also what each option of the precision costs and
gains, and the time that building, saving and loading the data set takes.

scaling: error on held-out data against the number of examples learnt from, 1/16 to all of them, with the fitted power
(error = a * n^-b): composition networks on the Materials Project's formulas, structure networks on the perovskites.

Floor: a step is three times the operations of an evaluation (`screening.py` counts them), and on a CPU as many bytes.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))
warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from plain import PlainNetwork, products_per_second  # noqa: E402
from pymatgen.core import Structure  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402
from torch_geometric.data import Batch  # noqa: E402

from gnome_torch.candidates.prototypes import prototypes  # noqa: E402
from gnome_torch.data.tables import read_examples  # noqa: E402
from gnome_torch.graphs import batch_graphs, crystal_graph  # noqa: E402
from gnome_torch.models.checkpoint import load_model  # noqa: E402
from gnome_torch.models.composition import CompositionNetworkConfig  # noqa: E402
from gnome_torch.models.structure import StructureNetwork, StructureNetworkConfig  # noqa: E402
from gnome_torch.training.dataset import CompositionSet, TrainingSet  # noqa: E402
from gnome_torch.training.loop import TrainingConfig, mean_absolute_error, train  # noqa: E402

DATA = Path(__file__).parents[2] / "shared" / "data"
PEROVSKITES = DATA / "perovskites_abx3_dft.csv"
FORMULAS = DATA / "mp_formation_energy_train.csv"
BATCH = 64
SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=["speed", "scaling", "all"], default="all")
    parser.add_argument("--epochs", type=int, default=20, help="of the scaling law's trainings")
    parser.add_argument("--plot", type=Path, default=Path("scaling.png"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    if options.part != "scaling":
        speed(options.device)
    if options.part != "speed":
        scaling(options.epochs, options.device, options.plot)


def crystals() -> tuple[list[Structure], np.ndarray, str]:
    """Crystals, energies in eV/atom, and where they are from."""
    if PEROVSKITES.exists():
        examples = read_examples(PEROVSKITES, "heat_all", per_cell=True)
        return list(examples.structures or []), np.array(examples.targets), f"perovskites of {PEROVSKITES}"
    print(f"{PEROVSKITES} is not there: crystals of the prototype library with made-up energies")
    known = [c for c in prototypes().values() if len(c) <= 16 and max(c.atomic_numbers) <= 94]
    return known, np.random.default_rng(0).normal(size=len(known)), "crystals of pymatgen's prototype library"


def speed(device: str) -> None:
    structures, energies, source = crystals()
    start = time.perf_counter()
    dataset = TrainingSet.build(structures, energies, [str(i) for i in range(len(structures))])
    built = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        dataset.save(Path(folder) / "set")
        size = sum(path.stat().st_size for path in (Path(folder) / "set").iterdir())
        start = time.perf_counter()
        TrainingSet.load(Path(folder) / "set")
        loaded = time.perf_counter() - start
    n = len(dataset)
    print(f"{n:,} {source}")
    print(f"data set: built in {built:.1f} s, {size / n:,.0f} bytes each, loaded in {1e3 * loaded:.1f} ms")

    peak = products_per_second(device)
    rng = np.random.default_rng(0)
    batches = [rng.integers(n, size=BATCH) for _ in range(12)]
    config = StructureNetworkConfig()

    def plain_batch(chosen: np.ndarray) -> Batch:
        return batch_graphs([crystal_graph(structures[i]) for i in chosen]).to(device)

    def our_batch(chosen: np.ndarray) -> Batch:
        return dataset.batch(config, chosen, device=device)

    prepared = {id(chosen): plain_batch(chosen) for chosen in batches}  # the plain side keeps its graphs in memory
    torch.manual_seed(0)
    network = StructureNetwork(config).to(device)
    runs: list[tuple[str, Any, Callable[[np.ndarray], Batch], str]] = [
        ("plain", PlainNetwork(network), lambda chosen: prepared[id(chosen)], "float32"),
        ("ours", network, our_batch, "float32"),
        ("ours, bfloat16", network, our_batch, "bfloat16"),
    ]
    if device != "cpu":
        runs += [("ours, tf32", network, our_batch, "tf32")]
        runs += [("ours, bfloat16, compiled", torch.compile(network, dynamic=True), our_batch, "bfloat16")]
    print(f"\na step of {BATCH} crystals; a product of matrices (float32): {peak / 1e9:,.0f} GFLOP/s")
    print(f"{'':28}{'ms':>8}{'GFLOP':>8}{'GFLOP/s':>10}{'of product':>12}{'epoch, s':>10}{'epoch of 60,000, s':>20}")
    times = {}
    for name, model, batch_of, precision in runs:
        seconds, flop = step(model, network, batch_of, energies, batches, precision, device)
        times[name] = seconds
        epoch = seconds * n / BATCH
        print(
            f"{name:28}{1e3 * seconds:8.0f}{flop / 1e9:8.1f}{flop / seconds / 1e9:10.0f}{flop / seconds / peak:12.0%}"
            f"{epoch:10.1f}{seconds * 60_000 / BATCH:20.0f}"
        )
    print(f"ratio plain to ours {times['plain'] / times['ours']:.1f}")


def step(
    model: Any,
    network: StructureNetwork,
    batch_of: Callable[[np.ndarray], Batch],
    energies: np.ndarray,
    batches: list[np.ndarray],
    precision: str,
    device: str,
) -> tuple[float, int]:
    """Seconds of a step, the median over batches, and its floating-point operations."""
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    optimizer = torch.optim.Adam(network.parameters(), lr=0.0)
    targets = torch.tensor(energies, dtype=torch.float32, device=device)

    def one(chosen: np.ndarray) -> None:
        batch = batch_of(chosen)
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bfloat16"):
            predicted = model(batch)
        loss = (predicted - targets[torch.from_numpy(chosen).to(device)]).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        float(loss.detach())  # waits for the device

    seconds = []
    for number, chosen in enumerate(batches):
        start = time.perf_counter()
        one(chosen)
        if number >= 2:
            seconds.append(time.perf_counter() - start)
    with FlopCounterMode(display=False) as counter:
        one(batches[0])
    return float(np.median(seconds)), counter.get_total_flops()


def scaling(epochs: int, device: str, plot: Path) -> None:
    """Error against the size of the training set."""
    curves = {}
    if FORMULAS.exists():
        examples = read_examples(FORMULAS, "target")
        formulas = [composition.formula for composition in examples.compositions]
        dataset: Any = CompositionSet.build(formulas, examples.targets or [], examples.ids)
        how = TrainingConfig(
            epochs=epochs, batch_size=512, learning_rate=3e-3, warm_up=0.05, volume_jitter=0.0, device=device
        )
        curves["composition, Materials Project"] = curve(dataset, CompositionNetworkConfig(), how)
    if PEROVSKITES.exists():
        structures, energies, _ = crystals()
        dataset = TrainingSet.build(structures, energies, [str(i) for i in range(len(structures))])
        how = TrainingConfig(epochs=2 * epochs, batch_size=64, learning_rate=1e-3, volume_jitter=0.0, device=device)
        curves["structure, perovskites"] = curve(dataset, StructureNetworkConfig(), how)
    if not curves:
        print(f"no scaling law: {DATA} is not there")
        return
    draw(curves, plot)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GB; plot: {plot}")


def curve(dataset: Any, config: Any, how: TrainingConfig) -> list[tuple[int, float]]:
    """Examples learnt from, and error on the held-out part, eV/atom."""
    learnt, tested = dataset.split()
    learnt = np.random.default_rng(0).permutation(learnt)
    print(f"\n{type(config).__name__}: {how.epochs} epochs, {len(tested):,} held out")
    print(f"{'learnt from':>12}{'MAE eV/atom':>14}{'seconds':>10}")
    points = []
    with tempfile.TemporaryDirectory() as folder:
        for share in SHARES:
            part = dataset.take(learnt[: int(share * len(learnt))])
            # the same batch size in fewer steps would not be trained to the end: small sets get smaller batches
            batch_size = max(16, int(how.batch_size * share**0.5))
            start = time.perf_counter()
            settings = {"batch_size": batch_size, "hold_out": False}
            train(part, config, TrainingConfig(**{**vars(how), **settings}), Path(folder) / "model")
            model = load_model(Path(folder) / "model").to(how.device)
            error = mean_absolute_error(model, dataset, tested, 1024) or np.nan
            points.append((len(part), error))
            print(f"{len(part):12,}{error:14.4f}{time.perf_counter() - start:10.0f}", flush=True)
    slope, _ = power(points)
    print(f"error falls as n^{slope:.2f}")
    return points


def power(points: list[tuple[int, float]]) -> tuple[float, float]:
    """Slope and intercept of log error against log n."""
    slope, intercept = np.polyfit(*np.log(np.array(points)).T, 1)
    return float(slope), float(intercept)


def draw(curves: dict[str, list[tuple[int, float]]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4.5))
    for number, (name, points) in enumerate(curves.items()):
        slope, intercept = power(points)
        n, errors = np.array(points).T
        axes.loglog(n, 1e3 * errors, "o", color=f"C{number}", label=f"{name}: $n^{{{slope:.2f}}}$")
        axes.loglog(n, 1e3 * np.exp(intercept) * n**slope, "-", color=f"C{number}", linewidth=1)
    axes.set_xlabel("examples learnt from")
    axes.set_ylabel("mean absolute error on held-out data (meV/atom)")
    axes.grid(True, which="both", alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
