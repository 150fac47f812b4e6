"""Data sets, the split, and a training that learns and can be repeated."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from gnome_torch.graphs import batch_graphs, crystal_graph
from gnome_torch.models.checkpoint import load_metrics, load_model
from gnome_torch.models.ensemble import Ensemble
from gnome_torch.models.structure import StructureNetworkConfig
from gnome_torch.training.dataset import DataSetError, TrainingSet, in_test_part
from gnome_torch.training.loop import TrainingConfig, mean_absolute_error, train

torch.set_num_threads(1)

METALS = ["Li", "Na", "K", "Rb", "Mg", "Ca", "Sr", "Ba", "Al", "Ti", "Zr", "Fe"]
ANIONS = ["O", "S", "Se", "F", "Cl", "Br", "N"]
SMALL = StructureNetworkConfig(hidden=(24, 24))


def crystals() -> tuple[list[Structure], np.ndarray]:
    """Rock salts and caesium chlorides; an energy that is smooth in the elements and in the volume, eV/atom."""
    structures, energies = [], []
    for i, metal in enumerate(METALS):
        for j, anion in enumerate(ANIONS):
            length = 2.4 + 0.09 * (i % 4) + 0.05 * j
            angle, centre = (60, 1.41 * length) if (i + j) % 2 else (90, 1.15 * length)
            crystal = Structure(
                Lattice.from_parameters(centre, centre, centre, angle, angle, angle),
                [metal, anion],
                [[0, 0, 0], [0.5, 0.5, 0.5]],
            )
            structures.append(crystal)
            gap = crystal[1].specie.X - crystal[0].specie.X
            energies.append(-0.4 * gap**2 - 3.0 / length + (0.1 if angle == 60 else 0.0))
    return structures, np.array(energies)


@pytest.fixture(scope="module")
def dataset() -> TrainingSet:
    structures, energies = crystals()
    return TrainingSet.build(structures, energies, [f"crystal-{i}" for i in range(len(structures))])


def test_split_is_the_published_rule(dataset: TrainingSet) -> None:
    train_part, test_part = dataset.split()
    assert sorted([*train_part, *test_part]) == list(range(len(dataset)))
    for part, low, high in ((test_part, 0, 15), (train_part, 15, 100)):
        for i in part:
            number = int(hashlib.md5(dataset.formulas[i].encode()).hexdigest(), 16) % 100
            assert low <= number < high
    assert 0 < len(test_part) < len(train_part)


def test_data_set_round_trip_without_pickle(dataset: TrainingSet, tmp_path: Path) -> None:
    path = tmp_path / "made" / "set.npz"
    dataset.save(path)
    dataset.save(path)
    assert [item.name for item in path.parent.iterdir()] == ["set.npz"]
    loaded = TrainingSet.load(path)
    assert loaded.data_hash == dataset.data_hash
    assert list(loaded.ids) == list(dataset.ids)
    with np.load(path, allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)


def test_data_hash_sees_every_change(dataset: TrainingSet) -> None:
    structures, energies = crystals()
    ids = [str(name) for name in dataset.ids]
    assert TrainingSet.build(structures, energies, ids).data_hash == dataset.data_hash
    assert TrainingSet.build(structures, energies + 1e-9, ids).data_hash != dataset.data_hash
    assert TrainingSet.build(structures, energies, [*ids[:-1], "x"]).data_hash != dataset.data_hash
    structures[3].scale_lattice(structures[3].volume * 1.0001)
    assert TrainingSet.build(structures, energies, ids).data_hash != dataset.data_hash


def test_bad_files_are_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"PK\x03\x04 not a zip")
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, targets=np.array([{"a": 1}], dtype=object))
    other = tmp_path / "other.npz"
    np.savez(other, format_version=np.array(99))
    for path in (tmp_path / "missing.npz", broken, pickled, other):
        with pytest.raises(DataSetError, match="build") as caught:
            TrainingSet.load(path)
        assert str(path) in str(caught.value)


def test_bad_data_are_named() -> None:
    structures, energies = crystals()
    structures, energies = structures[:4], energies[:4].copy()
    with pytest.raises(DataSetError, match="no crystal"):
        TrainingSet.build([], [], [])
    with pytest.raises(DataSetError, match="4 crystals, 3 energies and 4 ids"):
        TrainingSet.build(structures, energies[:3], list("abcd"))
    energies[1], energies[3] = np.nan, -np.inf
    with pytest.raises(DataSetError, match=r"not finite: b, d; leave"):
        TrainingSet.build(structures, energies, list("abcd"))
    structures[2] = Structure(Lattice.cubic(4), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    with pytest.raises(DataSetError, match=r"crystal c: .*disordered"):
        TrainingSet.build(structures, [0.0] * 4, list("abcd"))


def test_batches_are_those_of_the_crystals(dataset: TrainingSet) -> None:
    structures, _ = crystals()
    chosen, volumes = np.array([5, 0, 41]), np.array([0.8, 1.0, 1.2])
    scaled = []
    for i, volume in zip(chosen, volumes, strict=True):
        crystal = structures[i].copy()
        crystal.scale_lattice(crystal.volume * volume)
        scaled.append(crystal)
    for batch, expected in (
        (dataset.batch(chosen), [structures[i] for i in chosen]),
        (dataset.batch(chosen, volume_scales=volumes), scaled),
    ):
        direct = batch_graphs([crystal_graph(crystal) for crystal in expected])
        for key in ("numbers", "batch", "ptr"):
            assert torch.equal(batch[key], direct[key]), key
        assert batch.edge_index.shape == direct.edge_index.shape
        torch.testing.assert_close(batch.distances.sort().values, direct.distances.sort().values)
    with pytest.raises(ValueError, match="build it with that cutoff"):
        dataset.batch(chosen, volume_scales=np.array([0.5, 1.0, 1.0]))


def test_learns_and_saves(dataset: TrainingSet, tmp_path: Path) -> None:
    seen = []
    config = TrainingConfig(epochs=60, batch_size=16, learning_rate=3e-3, volume_jitter=0.0)
    metrics = train(
        dataset, SMALL, config, tmp_path / "model", lambda epoch, row: seen.append((epoch, row["train_mae"]))
    )
    assert metrics["test_mae"] < 0.5 * metrics["baseline_mae"]
    assert metrics["train_mae"] < metrics["test_mae"]
    assert metrics["data_hash"] == dataset.data_hash
    assert metrics["n_train"] + metrics["n_test"] == len(dataset)
    assert load_metrics(tmp_path / "model") == metrics

    with open(tmp_path / "model" / "epochs.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [epoch for epoch, _ in seen] == list(range(1, 61))
    assert float(rows[0]["learning_rate"]) == 3e-3
    assert 0 < float(rows[-1]["learning_rate"]) < 1e-4
    assert float(rows[-1]["test_mae"]) == metrics["test_mae"]

    model = load_model(tmp_path / "model")
    train_part, test_part = dataset.split()
    assert mean_absolute_error(model, dataset, test_part) == pytest.approx(metrics["test_mae"], abs=1e-6)
    assert float(model.shift) == pytest.approx(dataset.targets[train_part].mean())
    assert float(model.scale) == pytest.approx(dataset.targets[train_part].std())
    assert len(Ensemble.load([tmp_path / "model"])) == 1


def test_deterministic_for_a_seed(dataset: TrainingSet, tmp_path: Path) -> None:
    def weights(name: str, seed: int) -> bytes:
        torch.rand(3)  # the state of torch's own generator does not matter
        config = TrainingConfig(epochs=2, batch_size=16, seed=seed, volume_jitter=0.2)
        train(dataset, SMALL, config, tmp_path / name)
        return (tmp_path / name / "weights.safetensors").read_bytes()

    state = torch.random.get_rng_state()
    torch.manual_seed(8)
    expected = torch.rand(1)
    torch.random.set_rng_state(state)
    first = weights("a", 1)
    assert weights("b", 1) == first
    assert weights("a", 1) == first  # over an older model
    assert weights("c", 2) != first
    torch.manual_seed(8)
    train(dataset, SMALL, TrainingConfig(epochs=1), tmp_path / "d")
    assert torch.equal(torch.rand(1), expected)  # nor is it touched


def test_volume_jitter_answers_at_a_wrong_volume(dataset: TrainingSet, tmp_path: Path) -> None:
    train_part, _ = dataset.split()
    error, spread = {}, {}
    for jitter in (0.0, 0.2):
        config = TrainingConfig(epochs=30, batch_size=16, learning_rate=3e-3, volume_jitter=jitter)
        train(dataset, SMALL, config, tmp_path / "model")
        model = load_model(tmp_path / "model")
        with torch.no_grad():
            answers = [
                model(dataset.batch(train_part, volume_scales=np.full(len(train_part), volume))).numpy()
                for volume in (0.8, 1.2)
            ]
        error[jitter] = np.abs(answers - dataset.targets[train_part]).mean()
        spread[jitter] = np.abs(answers[0] - answers[1]).mean()
    assert error[0.2] < error[0.0]
    assert spread[0.2] < 0.8 * spread[0.0]  # 0.57, 0.73, 0.56 for seeds 0, 1, 2


def test_tiny_data_sets(tmp_path: Path) -> None:
    structures, energies = crystals()
    formulas = [structure.composition.reduced_formula for structure in structures]
    tested = next(i for i, formula in enumerate(formulas) if in_test_part(formula))
    trained = next(i for i, formula in enumerate(formulas) if not in_test_part(formula))
    one = TrainingSet.build([structures[trained]], energies[[trained]], ["one"])
    metrics = train(one, SMALL, TrainingConfig(epochs=2), tmp_path / "model")
    assert metrics["test_mae"] is None
    assert metrics["baseline_mae"] is None
    assert (metrics["n_train"], metrics["n_test"]) == (1, 0)
    assert np.isfinite(metrics["train_mae"])
    other = TrainingSet.build([structures[tested]], energies[[tested]], ["two"])
    with pytest.raises(DataSetError, match="test part"):
        train(other, SMALL, TrainingConfig(epochs=2), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_divergence_saves_nothing(dataset: TrainingSet, tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match="learning_rate"):
        train(dataset, SMALL, TrainingConfig(epochs=30, learning_rate=1e30), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_config_refuses_nonsense() -> None:
    for arguments in ({"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0.0}, {"volume_jitter": 1.0}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            TrainingConfig(**arguments)
