"""Errors on real DFT data: python benchmarks/accuracy.py [composition|structure].

Needs ../shared/data (or --data DIR); says so and stops if it is not there.

composition: 59,509 formulas of the Materials Project to learn from, 12,752 to be measured on (Bartel et al. 2020, split
of Wang et al. 2021). Published on this set, test MAE in eV/atom: Roost 0.0547, CrabNet 0.0593, ElemNet 0.0706, random
forest 0.0997. Members are kept in --out: a killed run goes on, and more members can be added.

structure: 3,787 relaxed ABX3 perovskites (Castelli et al. 2012), energies in eV per five-atom cell; five folds by a
hash of the formula, so that no composition is on both sides. Beside ours a network of the class of CGCNN (Xie and
Grossman 2018: torch-geometric's CGConv, 64 features, three layers, batch norm, 12 nearest neighbours within 8 A, 41
Gaussians) trained in the same run for the same epochs.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))
warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from pymatgen.core import Structure  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch_geometric.data import Batch, Data  # noqa: E402
from torch_geometric.nn import CGConv, global_mean_pool  # noqa: E402

from gnome_torch.data.tables import read_examples  # noqa: E402
from gnome_torch.graphs import crystal_graph  # noqa: E402
from gnome_torch.models.composition import CompositionNetworkConfig  # noqa: E402
from gnome_torch.models.ensemble import Ensemble  # noqa: E402
from gnome_torch.models.structure import StructureNetworkConfig  # noqa: E402
from gnome_torch.training.calibration import calibrate, member_energies  # noqa: E402
from gnome_torch.training.config import TrainingConfig  # noqa: E402
from gnome_torch.training.dataset import CompositionSet, TrainingSet  # noqa: E402
from gnome_torch.training.loop import is_trained, mean_absolute_error, train  # noqa: E402

DATA = Path(__file__).parents[2] / "shared" / "data"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=["composition", "structure", "all"], default="all")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, help="where the members of the composition ensemble are kept")
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=100, help="of a composition network")
    parser.add_argument("--edges", action="store_true", help="composition networks with edges")
    parser.add_argument("--structure-epochs", type=int, default=60)
    parser.add_argument("--folds", type=int, default=5, help="of the five folds, how many")
    parser.add_argument("--precision", default="bfloat16", help="of products in training: float32, tf32, bfloat16")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    where = "GPU" if options.device.startswith("cuda") else f"{torch.get_num_threads()} CPU threads"
    print(f"{where}, products in {options.precision}")
    with tempfile.TemporaryDirectory() as folder:
        if options.part != "structure":
            composition(options, options.out or Path(folder) / "composition")
        if options.part != "composition":
            structure(options, Path(folder))


def composition(options: argparse.Namespace, out: Path) -> None:
    """An ensemble on the Materials Project's formulas."""
    sets = [formulas(options.data / f"mp_formation_energy_{part}.csv") for part in ("train", "val")]
    learnt, measured = sets
    config = CompositionNetworkConfig(edges=options.edges)
    everything = np.arange(len(measured))
    print(f"\ncomposition: {len(learnt):,} formulas to learn from, {len(measured):,} to be measured on")
    print(f"{'member':>8}{'seconds':>10}{'learnt':>10}{'MAE eV/atom':>14}{'ensemble so far':>18}")
    directories = []
    for member in range(options.members):
        training = TrainingConfig(
            epochs=options.epochs,
            batch_size=512,
            learning_rate=3e-3,
            warm_up=0.05,
            seed=member,
            volume_jitter=0.0,
            hold_out=False,
            precision=options.precision,
            device=options.device,
        )
        directories.append(out / f"member-{member}")
        if not is_trained(directories[-1], learnt, config, training):
            train(learnt, config, training, directories[-1])
        ensemble = Ensemble.load(directories).to(options.device)
        energies = member_energies(ensemble, measured, everything, 4096)
        errors = np.abs(energies - measured.targets)
        median = np.abs(np.median(energies, axis=0) - measured.targets).mean()
        with (directories[-1] / "epochs.csv").open(newline="") as file:
            last = list(csv.DictReader(file))[-1]
        print(
            f"{member:8}{float(last['seconds']):10.0f}{float(last['train_mae']):10.4f}"
            f"{errors[-1].mean():14.4f}{median:18.4f}",
            flush=True,
        )
    if options.members > 1:
        found = calibrate(energies, measured.targets)
        print("\n   range  error (eV/atom), a fifth of the formulas each, from small to large inter-quartile range")
        for part in found.bins:
            print(f"{part.iqr:8.4f}{part.mae:7.4f}")
        print(f"{found.within:.0%} of the errors below half the range; rank correlation {found.rank_correlation:.2f}")


def formulas(path: Path) -> CompositionSet:
    if not path.exists():
        sys.exit(f"{path} is not there: give --data DIR with mp_formation_energy_{{train,val}}.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return CompositionSet.build([row["formula"] for row in rows], [float(row["target"]) for row in rows])


def structure(options: argparse.Namespace, folder: Path) -> None:
    """Five-fold on the perovskites, beside a CGCNN-class network."""
    path = options.data / "perovskites_abx3_dft.csv"
    if not path.exists():
        sys.exit(f"{path} is not there: give --data DIR with it")
    examples = read_examples(path, "heat_all", per_cell=True)
    crystals, energies = list(examples.structures or []), np.array(examples.targets)
    dataset = TrainingSet.build(crystals, energies, examples.ids)
    graphs = [cgcnn_graph(crystal) for crystal in crystals]
    fold = np.array([int(hashlib.md5(formula).hexdigest(), 16) % 5 for formula in dataset.formulas.tolist()])
    scale = 5  # atoms in a cell: errors in eV per cell, as the data are
    epochs = options.structure_epochs
    print(f"\nstructure: {len(dataset):,} perovskites, five folds, {epochs} epochs; MAE in eV per cell")
    print(f"{'fold':>8}{'ours':>10}{'seconds':>10}{'CGCNN-class':>14}{'seconds':>10}{'mean as guess':>16}")
    rows = []
    for number in range(options.folds):
        learnt, tested = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        config = TrainingConfig(
            epochs=epochs,
            batch_size=64,
            learning_rate=1e-3,
            volume_jitter=0.0,
            hold_out=False,
            precision=options.precision,
            device=options.device,
        )
        start = time.perf_counter()
        train(dataset.take(learnt), StructureNetworkConfig(), config, folder / f"fold-{number}")
        middle = time.perf_counter()
        model = Ensemble.load([folder / f"fold-{number}"]).members[0].to(options.device)
        ours = mean_absolute_error(model, dataset, tested)
        baseline = cgcnn(graphs, energies, learnt, tested, epochs, options.device)
        guess = np.abs(energies[tested] - energies[learnt].mean()).mean()
        end = time.perf_counter()
        rows.append((ours * scale, middle - start, baseline * scale, end - middle, guess * scale))
        show(number, *rows[-1])
    show("mean", *np.mean(rows, axis=0))


def show(name: object, ours: float, seconds: float, baseline: float, its_seconds: float, guess: float) -> None:
    print(f"{name!s:>8}{ours:10.4f}{seconds:10.0f}{baseline:14.4f}{its_seconds:10.0f}{guess:16.4f}", flush=True)


class CGCNN(nn.Module):
    """Crystal graph convolutions, as Xie and Grossman (2018) put them together; torch-geometric's layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(95, 64)
        self.layers = nn.ModuleList(CGConv(64, dim=41, batch_norm=True) for _ in range(3))
        self.readout = nn.Sequential(nn.Softplus(), nn.Linear(64, 128), nn.Softplus(), nn.Linear(128, 1))

    def forward(self, batch: Batch) -> Tensor:
        """Standardised energy per atom, (n_graphs,)."""
        centres = torch.linspace(0.0, 8.0, 41, device=batch.distances.device)
        expanded = torch.exp(-(((batch.distances[:, None] - centres) / 0.2) ** 2))
        x = self.embedding(batch.numbers)
        for layer in self.layers:
            x = nn.functional.softplus(layer(x, batch.edge_index, expanded))
        return self.readout(global_mean_pool(x, batch.batch)).squeeze(-1)


def cgcnn_graph(crystal: Structure) -> Data:
    """The 12 nearest neighbours of each atom within 8 A."""
    graph = crystal_graph(crystal, 8.0)
    order = np.lexsort((graph.distances, graph.senders))
    senders = graph.senders[order]
    rank = np.arange(len(order)) - np.searchsorted(senders, senders)
    kept = order[rank < 12]
    return Data(
        numbers=torch.tensor(graph.numbers),
        edge_index=torch.tensor(np.stack([graph.receivers[kept], graph.senders[kept]])),
        distances=torch.tensor(graph.distances[kept], dtype=torch.float32),
        num_nodes=graph.n_nodes,
    )


def cgcnn(
    graphs: list[Data], energies: np.ndarray, learnt: np.ndarray, tested: np.ndarray, epochs: int, device: str
) -> float:
    """Mean absolute error of the baseline, eV/atom: Adam, learning rate 0.005 decaying linearly, batches of 64."""
    torch.manual_seed(0)
    network = CGCNN().to(device)
    mean, deviation = energies[learnt].mean(), energies[learnt].std()
    targets = torch.tensor((energies - mean) / deviation, dtype=torch.float32, device=device)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    steps = epochs * -(-len(learnt) // 64)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    rng = np.random.default_rng(0)
    for _ in range(epochs):
        network.train()
        order = rng.permutation(learnt)
        for first in range(0, len(order), 64):
            chosen = order[first : first + 64]
            batch = Batch.from_data_list([graphs[i] for i in chosen]).to(device)
            loss = (network(batch) - targets[chosen]).abs().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    network.eval()
    with torch.no_grad():
        parts = [
            network(Batch.from_data_list([graphs[i] for i in tested[first : first + 256]]).to(device)).cpu().numpy()
            for first in range(0, len(tested), 256)
        ]
    return float(np.abs(np.concatenate(parts) * deviation + mean - energies[tested]).mean())


if __name__ == "__main__":
    main()
