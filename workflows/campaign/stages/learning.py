"""The networks of a round: what they learn from, the training of each, and what the ensemble is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from gnome_torch.devices import best_device, one_thread_unless_told
from workflows.campaign.campaign import Campaign
from workflows.campaign.pipelines import Pipeline
from workflows.ground.continuation import Stopped, StopRequested, never

if TYPE_CHECKING:
    import numpy as np

    from gnome_torch.training.dataset import CompositionSet, TrainingSet


def training_set(campaign: Campaign, pipeline: Pipeline, number: int) -> TrainingSet | CompositionSet:
    """What the networks of a round learn from; the first who asks writes it down, the others read it."""
    path = pipeline.data_path(campaign, number)
    if path.exists():
        return pipeline.load_data(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = pipeline.build_data(campaign, number)
    dataset.save(path)
    return dataset


def train_member(
    campaign: Campaign, pipeline: Pipeline, number: int, member: int, stopped: Stopped = never
) -> dict[str, Any]:
    """Train one network on everything known; one that is there already, of the same data and settings, stays.

    A training that was killed goes on from its last checkpoint.

    Args:
        campaign: whose.
        pipeline: whose networks.
        number: round whose candidates it will judge.
        member: its number, from 0.
        stopped: looked at after each step.

    Returns:
        Errors on the training and test parts, eV/atom, and how long it took, seconds.

    Raises:
        StopRequested: a signal has asked to stop; what was done is kept.
    """
    from gnome_torch.models.checkpoint import load_metrics
    from gnome_torch.training.loop import TrainingStopped, is_trained, train

    one_thread_unless_told()
    directory = pipeline.member_directory(campaign, number, member)
    dataset = training_set(campaign, pipeline, number)
    config = pipeline.network_config(campaign.settings)
    training = pipeline.training_config(campaign, number, member, best_device())
    if is_trained(directory, dataset, config, training):
        metrics = load_metrics(directory)
    else:
        try:
            metrics = train(dataset, config, training, directory, asked_to_stop=stopped)
        except TrainingStopped as stop:
            raise StopRequested(stop.progress) from stop
    return {key: metrics[key] for key in ("train_mae", "test_mae", "seconds")}


def evaluate_ensemble(campaign: Campaign, pipeline: Pipeline, number: int) -> dict[str, Any]:
    """Write the ensemble of a round, with its error on the test part of the data.

    The ensemble before it is measured on the same crystals. Their compositions were in no training set (the split goes
    by a hash of the formula), so the two errors show what the new data were worth.
    """
    one_thread_unless_told()
    models, name = campaign.store.models, campaign.name
    dataset = training_set(campaign, pipeline, number)
    members = range(pipeline.members(campaign.settings))
    directories = [str(pipeline.member_directory(campaign, number, member)) for member in members]
    before = models.get(pipeline.model_id(name, number - 1))
    tested = relaxed_test_part(dataset)
    errors = test_errors(dataset, tested, directories)
    fields = {
        "campaign": name,
        "round": number,
        "kind": pipeline.network.value,
        "theory": campaign.theory_id,
        "directories": directories,
        "data_hash": dataset.data_hash,
        "n_train": len(dataset.split()[0]),
        "n_test": len(tested),
        "test_mae": errors.get("mae"),
        "test_mae_before": test_errors(dataset, tested, before["directories"]).get("mae") if before else None,
        "calibration": errors,
    }
    models.add(pipeline.model_id(name, number), **fields)
    return {key: fields[key] for key in ("test_mae", "test_mae_before", "n_train", "n_test")}


def test_errors(
    dataset: TrainingSet | CompositionSet, tested: np.ndarray, directories: Sequence[str]
) -> dict[str, Any]:
    """Errors of an ensemble on examples of a data set (eV/atom), and what its spread is worth; empty for no example.

    Args:
        dataset: with the examples.
        tested: their indices, (n,).
        directories: of the members.
    """
    from gnome_torch.models.ensemble import Ensemble
    from gnome_torch.training.calibration import calibrate, member_energies

    if len(tested) == 0:
        return {}
    energies = member_energies(Ensemble.load(directories), dataset, tested)
    targets = dataset.targets[tested]
    if len(energies) == 1:
        return {"n": len(targets), "mae": float(abs(energies[0] - targets).mean())}
    return asdict(calibrate(energies, targets))


def relaxed_test_part(dataset: TrainingSet | CompositionSet) -> np.ndarray:
    """Indices of the test part, (n,), the starts of the relaxations left out."""
    _, test = dataset.split()
    return test[[b":" not in dataset.ids[index] for index in test]]
