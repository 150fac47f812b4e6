"""Data sets of compositions, and a training on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pymatgen.core import Composition

from gnome_torch.models.checkpoint import load_model
from gnome_torch.models.composition import CompositionNetworkConfig
from gnome_torch.models.structure import StructureNetworkConfig
from gnome_torch.training.config import TrainingConfig
from gnome_torch.training.dataset import CompositionSet, DataSetError, TrainingSet
from gnome_torch.training.loop import mean_absolute_error, train

torch.set_num_threads(1)

METALS = ["Li", "Na", "K", "Mg", "Ca", "Sr", "Al", "Ti", "Zr", "Fe", "Cu", "Zn"]
ANIONS = ["O", "S", "F", "Cl", "N", "Br"]
SMALL = CompositionNetworkConfig(hidden=(32, 32))


def examples() -> tuple[list[str], np.ndarray]:
    """Binary and ternary compounds; an energy that is smooth in fractions and electronegativities, eV/atom."""
    formulas = [f"{m}{a}{x}{b}" for m in METALS for x in ANIONS for a, b in ((1, 1), (2, 1), (1, 2), (2, 3))]
    formulas += [f"{m}{n}{x}3" for m in METALS[:6] for n in METALS[6:] for x in ANIONS]
    energies = []
    for formula in formulas:
        fractions = Composition(formula).fractional_composition
        x = np.array([element.X for element in fractions])
        p = np.array(list(fractions.values()))
        mean = (x * p).sum()
        energies.append(float(-0.8 * (p * (x - mean) ** 2).sum()))
    return formulas, np.array(energies)


@pytest.fixture(scope="module")
def dataset() -> CompositionSet:
    return CompositionSet.build(*examples())


def test_round_trip_and_split(dataset: CompositionSet, tmp_path: Path) -> None:
    dataset.save(tmp_path / "set")
    loaded = CompositionSet.load(tmp_path / "set")
    assert loaded.data_hash == dataset.data_hash
    train_part, test_part = loaded.split()
    assert sorted([*train_part, *test_part]) == list(range(len(dataset)))
    assert not set(loaded.formulas[train_part]) & set(loaded.formulas[test_part])
    with pytest.raises(DataSetError, match="build it again"):
        TrainingSet.load(tmp_path / "set")  # crystals are another kind of file


def test_batches_hold_the_fractions(dataset: CompositionSet) -> None:
    chosen = np.array([5, 0, len(dataset) - 1])
    batch = dataset.batch(SMALL, chosen)
    for graph, index in enumerate(chosen):
        nodes = slice(int(batch.ptr[graph]), int(batch.ptr[graph + 1]))
        expected = Composition(dataset.name(index)).fractional_composition
        found = dict(zip(batch.numbers[nodes].tolist(), batch.fractions[nodes].tolist(), strict=True))
        assert found == pytest.approx({element.Z: fraction for element, fraction in expected.items()})
        own = (batch.edge_index[0] >= nodes.start) & (batch.edge_index[0] < nodes.stop)
        n = nodes.stop - nodes.start
        assert int(own.sum()) == n * (n - 1)


@pytest.mark.parametrize("edges", [False, True])
def test_learns_and_saves(dataset: CompositionSet, tmp_path: Path, edges: bool) -> None:
    config = CompositionNetworkConfig(hidden=(32, 32), edges=edges)
    training = TrainingConfig(epochs=30, batch_size=32, learning_rate=3e-3, volume_jitter=0.0)
    metrics = train(dataset, config, training, tmp_path / "model")
    assert metrics["test_mae"] < 0.25 * metrics["baseline_mae"]
    loaded = load_model(tmp_path / "model")
    assert loaded.config == config
    assert mean_absolute_error(loaded, dataset, dataset.split()[1]) == pytest.approx(metrics["test_mae"], rel=1e-5)
    again = train(dataset, config, training, tmp_path / "again")
    assert again["test_mae"] == metrics["test_mae"]


def test_the_wrong_network_is_refused(dataset: CompositionSet, tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="StructureNetwork cannot learn from a CompositionSet"):
        train(dataset, StructureNetworkConfig(hidden=(8, 8)), TrainingConfig(epochs=1), tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("formulas", "targets", "message"),
    [
        ([], [], "no composition to train on"),
        (["NaCl"], [1.0, 2.0], "1 compositions, 2 energies"),
        (["NaCl", "KCl"], [1.0, float("nan")], "not finite: KCl"),
        (["NaCl", "NaQq"], [1.0, 2.0], "composition NaQq: 'NaQq' is not a formula"),
        (["AmO2"], [1.0], "H to Pu"),
        ([""], [1.0], "is not a formula"),
    ],
)
def test_bad_data_are_named(formulas: list[str], targets: list[float], message: str) -> None:
    with pytest.raises(DataSetError, match=message):
        CompositionSet.build(formulas, targets)
