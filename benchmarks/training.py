"""Graphs, training speed and the scaling law: python benchmarks/training.py [graphs|speed|memory|scaling].

graphs: crystals a second through three neighbour searches, vesin (ours), matscipy and pymatgen, on the same crystals;
all must find the same pairs. And how many nodes and edges are left when equivalent atoms are joined.

speed: the time of a step and of an epoch with our formulation and the plain one (concatenations, every layer on every
edge, a node for each atom; `plain.py`), in one run on the same batches: the 3,787 perovskites of ../shared/data if they
are there, the crystals of pymatgen's prototype library otherwise. Also what each option of the precision costs and
gains, and the time that building, saving and loading the data set takes.

memory: peak memory of building, saving, loading and training a step on 100,000 crystals (--crystals).

scaling: error on held-out data against the number of examples learnt from, 1/16 to all of them, with the fitted power
(error = a * n^-b): composition networks on the Materials Project's formulas, structure networks on the perovskites. The
picture goes to --plot FILE.png.

Floor: a step is three times the operations of an evaluation (`screening.py` counts them), and on a CPU as many bytes.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))
warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from matscipy.neighbours import neighbour_list  # noqa: E402
from plain import PlainNetwork, products_per_second  # noqa: E402
from pymatgen.core import Structure  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402
from torch_geometric.data import Batch  # noqa: E402
from vesin import NeighborList  # noqa: E402

from gnome_torch.candidates.prototypes import prototypes  # noqa: E402
from gnome_torch.data.tables import read_examples  # noqa: E402
from gnome_torch.graphs import CUTOFF, CUTOFF_TOLERANCE, N_ELEMENTS, batch_graphs, crystal_graph  # noqa: E402
from gnome_torch.models.checkpoint import load_model  # noqa: E402
from gnome_torch.models.composition import CompositionNetworkConfig  # noqa: E402
from gnome_torch.models.structure import StructureNetwork, StructureNetworkConfig  # noqa: E402
from gnome_torch.training.config import TrainingConfig  # noqa: E402
from gnome_torch.training.dataset import CompositionSet, TrainingSet  # noqa: E402
from gnome_torch.training.loop import mean_absolute_error, train  # noqa: E402

DATA = Path(__file__).parents[2] / "shared" / "data"
PEROVSKITES = DATA / "perovskites_abx3_dft.csv"
FORMULAS = DATA / "mp_formation_energy_train.csv"
BATCH = 256
SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=["graphs", "speed", "memory", "scaling", "all"], default="all")
    parser.add_argument("--crystals", type=int, default=100_000, help="for memory")
    parser.add_argument("--epochs", type=int, default=20, help="of the scaling law's trainings")
    parser.add_argument("--plot", type=Path, default=Path("scaling.png"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    parts: dict[str, Callable[[], None]] = {
        "memory": lambda: memory(options.crystals),  # first: the peak is that of the whole process
        "graphs": graphs,
        "speed": lambda: speed(options.device),
        "scaling": lambda: scaling(options.epochs, options.device, options.plot),
    }
    for name, part in parts.items():
        if options.part in (name, "all"):
            part()


def crystals() -> tuple[list[Structure], np.ndarray, str]:
    """Crystals, energies in eV/atom, and where they are from."""
    if PEROVSKITES.exists():
        examples = read_examples(PEROVSKITES, "heat_all", per_cell=True)
        return list(examples.structures or []), np.array(examples.targets), f"perovskites of {PEROVSKITES}"
    print(f"{PEROVSKITES} is not there: crystals of the prototype library with made-up energies")
    known = [c for c in prototypes().values() if len(c) <= 16 and max(c.atomic_numbers) <= 94]
    return known, np.random.default_rng(0).normal(size=len(known)), "crystals of pymatgen's prototype library"


def graphs() -> None:
    """Neighbour searches side by side."""
    structures, _, source = crystals()
    structures = [*structures[:1000], *(c for c in prototypes().values() if len(c) <= 40)]

    def vesin(crystal: Structure) -> np.ndarray:
        found = NeighborList(cutoff=CUTOFF + CUTOFF_TOLERANCE, full_list=True, n_threads=1)
        return np.stack(found.compute(crystal.cart_coords, crystal.lattice.matrix, True, "ijd"))

    def matscipy(crystal: Structure) -> np.ndarray:
        cell, pbc = crystal.lattice.matrix, np.array([True] * 3)
        reach = CUTOFF + CUTOFF_TOLERANCE
        return np.stack(neighbour_list("ijd", cutoff=reach, positions=crystal.cart_coords, cell=cell, pbc=pbc))

    def pymatgen(crystal: Structure) -> np.ndarray:
        centres, neighbours, _, distances = crystal.get_neighbor_list(CUTOFF)
        return np.stack([centres, neighbours, distances])

    print(f"\n{len(structures):,} crystals ({source}, and prototypes of up to 40 atoms), cutoff {CUTOFF} A")
    print(f"{'neighbour search':20}{'crystals/s':>12}{'edges':>12}")
    reference = None
    for search in (vesin, matscipy, pymatgen):
        start = time.perf_counter()
        found = [search(crystal) for crystal in structures]
        seconds = time.perf_counter() - start
        print(f"{search.__name__:20}{len(structures) / seconds:12,.0f}{sum(pairs.shape[1] for pairs in found):12,}")
        ordered = [pairs[:, np.lexsort((pairs[2].round(6), pairs[1], pairs[0]))] for pairs in found]
        reference = reference or ordered
        if not all(
            a.shape == b.shape and np.allclose(a, b, atol=1e-5) for a, b in zip(ordered, reference, strict=True)
        ):
            raise SystemExit(f"{search.__name__} finds other pairs than vesin")
    start = time.perf_counter()
    plain = [crystal_graph(c) for c in structures if max(c.atomic_numbers) <= N_ELEMENTS]
    middle = time.perf_counter()
    joined = [graph.reduced() for graph in plain]
    end = time.perf_counter()
    rates = len(plain) / (middle - start), len(plain) / (end - middle)
    print(f"graphs: {rates[0]:,.0f} a second; equivalent atoms joined: {rates[1]:,.0f} a second")
    for name, number in (("nodes", "n_nodes"), ("edges", "n_edges")):
        before, after = (sum(getattr(graph, number) for graph in some) for some in (plain, joined))
        print(f"{name}: {before:,} -> {after:,} (a {before / after:.1f}th)")


def memory(count: int) -> None:
    """A large data set: the crystals again and again, each a little strained."""
    structures, energies, source = crystals()
    before = peak_memory()

    def strained() -> Iterator[Structure]:
        for number in range(count):
            crystal = structures[number % len(structures)].copy()
            crystal.scale_lattice(crystal.volume * (1 + 1e-6 * (number // len(structures))))
            yield crystal

    start = time.perf_counter()
    repeated = np.resize(energies, count)
    dataset = TrainingSet.build(strained(), repeated, [str(i) for i in range(count)])
    built = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        dataset.save(Path(folder) / "set")
        size = sum(path.stat().st_size for path in (Path(folder) / "set").iterdir())
        start = time.perf_counter()
        loaded = TrainingSet.load(Path(folder) / "set")
        loading = time.perf_counter() - start
        loaded.batch(StructureNetworkConfig(), np.arange(0, count, max(1, count // 256)))
        print(f"\n{count:,} crystals ({source})")
        print(f"built in {built:.0f} s, {size / 2**20:,.0f} MiB on disk, loaded in {1e3 * loading:.0f} ms")
    print(f"peak memory {peak_memory():.1f} GB ({before:.1f} GB before)")


def peak_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


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
    batches = [rng.integers(n, size=BATCH) for _ in range(8)]
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
    print(f"peak memory {peak_memory():.1f} GB; plot: {plot}")


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
    axes.legend(loc="upper left")
    figure.tight_layout()
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
