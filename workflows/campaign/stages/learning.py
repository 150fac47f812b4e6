"""The networks of a round: what they learn from, the training of each, and what the ensemble is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gnome_torch.baseline import Baseline, trust_in
from gnome_torch.devices import best_device, one_thread_unless_told
from gnome_torch.stability.formulas import fractions_of
from workflows.campaign.baseline import baseline_of, judgements_of, known_energies
from workflows.campaign.campaign import Campaign
from workflows.campaign.pipelines import STRUCTURAL, Pipeline
from workflows.ground.continuation import Stopped, StopRequested, never
from workflows.store.base import Document

if TYPE_CHECKING:
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
    baseline = _tested_baseline(campaign, number, dataset, directories) if _has_baseline(campaign, pipeline) else None
    errors = test_errors(dataset, tested, directories, baseline)
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
        "test_mae_before": _mae_before(campaign, dataset, tested, baseline, before) if before else None,
        "calibration": errors,
        "baseline": _about(campaign, dataset, tested, baseline) if baseline else None,
    }
    models.add(pipeline.model_id(name, number), **fields)
    return {key: fields[key] for key in ("test_mae", "test_mae_before", "n_train", "n_test")}


def _has_baseline(campaign: Campaign, pipeline: Pipeline) -> bool:
    return pipeline is STRUCTURAL and campaign.settings.baseline is not None


def _tested_baseline(
    campaign: Campaign, number: int, dataset: TrainingSet | CompositionSet, directories: Sequence[str]
) -> Baseline:
    """The baseline of a round, with how far the ensemble's correction is to be trusted.

    That is asked of all crystals of the test part, those from which relaxations began too: candidates are such.
    """
    from gnome_torch.models.ensemble import Ensemble
    from gnome_torch.training.calibration import member_energies

    _, test = dataset.split()
    corrections = np.median(member_energies(Ensemble.load(directories), dataset, test), axis=0)
    return replace(baseline_of(campaign, number), trust=trust_in(corrections, dataset.targets[test]))


def _about(
    campaign: Campaign, dataset: TrainingSet | CompositionSet, tested: np.ndarray, baseline: Baseline
) -> dict[str, Any]:
    """A baseline as the model's document has it, with its own error on the tested crystals, eV/atom."""
    alone = float(np.abs(dataset.targets[tested]).mean()) if len(tested) else None
    return {**baseline.document(), "theory": campaign.baseline_theory.id, "test_mae": alone}


def _mae_before(
    campaign: Campaign,
    dataset: TrainingSet | CompositionSet,
    tested: np.ndarray,
    baseline: Baseline | None,
    before: Document,
) -> float | None:
    """Error of the ensemble of the round before, with its own baseline, on the same crystals, eV/atom."""
    earlier = Baseline.from_document(before["baseline"]) if before.get("baseline") else None
    if baseline is not None and earlier is not None:
        own = known_energies(judgements_of(campaign), [dataset.name(index) for index in tested.tolist()])
        fractions = fractions_of(formula.decode() for formula in dataset.formulas[tested].tolist())
        now, then = (one.formation_energies(own, fractions) for one in (baseline, earlier))
        targets = dataset.targets.copy()
        targets[tested] += now - then  # what that baseline left to its networks
        dataset = replace(dataset, targets=targets)
    return test_errors(dataset, tested, before["directories"], earlier).get("mae")


def test_errors(
    dataset: TrainingSet | CompositionSet, tested: np.ndarray, directories: Sequence[str], baseline: Baseline | None
) -> dict[str, Any]:
    """Errors of an ensemble on examples of a data set (eV/atom), and what its spread is worth; empty for no example.

    Args:
        dataset: with the examples.
        tested: their indices, (n,).
        directories: of the members.
        baseline: which they correct, as far as they are trusted; None where they judge alone.
    """
    from gnome_torch.models.ensemble import Ensemble
    from gnome_torch.training.calibration import calibrate, member_energies

    if len(tested) == 0:
        return {}
    energies = member_energies(Ensemble.load(directories), dataset, tested) * (baseline.trust if baseline else 1.0)
    targets = dataset.targets[tested]
    if len(energies) == 1:
        return {"n": len(targets), "mae": float(abs(energies[0] - targets).mean())}
    return asdict(calibrate(energies, targets))


def relaxed_test_part(dataset: TrainingSet | CompositionSet) -> np.ndarray:
    """Indices of the test part, (n,), the starts of the relaxations left out."""
    _, test = dataset.split()
    return test[[b":" not in dataset.ids[index] for index in test]]
