"""Train one network on a data set and save it."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gnome_torch.models.checkpoint import (
    CheckpointError,
    NetworkConfig,
    load_metrics,
    load_model,
    new_network,
    replacing_directory,
    write_model,
)
from gnome_torch.training.dataset import CompositionSet, DataSetError, TrainingSet

EPOCHS_FILE = "epochs.csv"


@dataclass(frozen=True)
class TrainingConfig:
    """How to train. The defaults are the paper's, for a large data set; the volume jitter is ours.

    Attributes:
        epochs: passes over the training part.
        batch_size: crystals in one step.
        learning_rate: Adam's at the first step; it decays linearly to 0 over all steps.
        seed: of the weights and of the order of the crystals.
        volume_jitter: crystals are shown at volumes drawn evenly from 1 - this to 1 + this times their own, with the
            energy they have at their own: the network then answers for a crystal before its relaxation. Without it a
            network has never seen a wrong volume, and the lowest of its answers at 20 volumes is far too low. 0 where
            the data set itself holds crystals at other volumes with the energies they have there.
        device: where to train, as torch names it.
    """

    epochs: int = 1000
    batch_size: int = 256
    learning_rate: float = 5.55e-4
    seed: int = 0
    volume_jitter: float = 0.2
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or not self.learning_rate > 0:
            raise ValueError(f"epochs, batch_size and learning_rate must be positive: {self}")
        if not 0 <= self.volume_jitter < 1:
            raise ValueError(f"volume_jitter={self.volume_jitter}: must be from 0 to below 1")


def train(
    dataset: TrainingSet | CompositionSet,
    model_config: NetworkConfig,
    training_config: TrainingConfig,
    directory: str | Path,
    progress: Callable[[int, Mapping[str, float | None]], None] | None = None,
) -> dict[str, Any]:
    """Train on the training part of the split and save the model of the last epoch; what was there is replaced.

    The same data, configurations and seed give the same weights on one machine with one number of threads. The test
    part is only measured: no choice is made by it.

    Args:
        dataset: crystals or compositions, and energies.
        model_config: shape of the network, of the same kind.
        training_config: how.
        directory: the model's own directory; it gets the model's files and `epochs.csv`.
        progress: called after each epoch with its number, from 1, and its line of `epochs.csv`.

    Returns:
        The metrics saved with the model; errors are mean absolute ones, eV/atom, None where the test part is empty.

    Raises:
        DataSetError: if no example is in the training part, or they are not of the network's kind.
        FloatingPointError: if the training diverges; nothing is saved then.
    """
    start = time.perf_counter()
    config, device = training_config, training_config.device
    train_part, test_part = dataset.split()
    if len(train_part) == 0:
        raise DataSetError(
            f"all {len(dataset)} examples fall into the test part, which their formulas decide: add other formulas"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model: Any = new_network(model_config)
    if type(model).__name__ != dataset.network:
        raise DataSetError(f"a {type(model).__name__} cannot learn from a {type(dataset).__name__}")
    targets = torch.from_numpy(dataset.targets.astype(np.float32)).to(device)  # (n_crystals,) eV/atom
    mean, deviation = float(dataset.targets[train_part].mean()), float(dataset.targets[train_part].std())

    model.standardise(mean, deviation if deviation > 0 else 1.0)
    model.to(device)
    n_steps = config.epochs * -(-len(train_part) // config.batch_size)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=n_steps)
    generator = np.random.default_rng(config.seed)

    with replacing_directory(directory) as folder:
        with open(folder / EPOCHS_FILE, "w", newline="") as file:
            table = csv.DictWriter(file, ["epoch", "learning_rate", "train_mae", "test_mae", "seconds"])
            table.writeheader()
            for epoch in range(1, config.epochs + 1):
                learning_rate = float(schedule.get_last_lr()[0])
                order = generator.permutation(train_part)
                total = 0.0
                model.train()
                for first in range(0, len(order), config.batch_size):
                    chosen = order[first : first + config.batch_size]
                    volumes = None
                    if config.volume_jitter:
                        volumes = generator.uniform(1 - config.volume_jitter, 1 + config.volume_jitter, len(chosen))
                    batch = dataset.batch_for(model_config, chosen, volumes).to(device)
                    # the mean absolute error is the error reported, and wrong labels weigh less in it than in a square
                    error = (model(batch) - targets[chosen]).abs().mean()
                    optimizer.zero_grad()
                    (error / model.scale).backward()
                    optimizer.step()
                    schedule.step()
                    total += float(error.detach()) * len(chosen)
                if not np.isfinite(total):
                    raise FloatingPointError(
                        f"training diverged in epoch {epoch}: lower learning_rate={config.learning_rate}"
                    )
                row = {
                    "epoch": epoch,
                    "learning_rate": learning_rate,
                    "train_mae": total / len(order),
                    "test_mae": mean_absolute_error(model, dataset, test_part, config.batch_size),
                    "seconds": round(time.perf_counter() - start, 3),
                }
                table.writerow(row)
                file.flush()
                if progress:
                    progress(epoch, row)
        metrics = {
            "train_mae": mean_absolute_error(model, dataset, train_part, config.batch_size),
            "test_mae": row["test_mae"],
            "baseline_mae": _mean_deviation(dataset.targets[test_part], mean),
            "n_train": len(train_part),
            "n_test": len(test_part),
            "target_mean": mean,
            "target_deviation": deviation,
            "seconds": time.perf_counter() - start,
            "data_hash": dataset.data_hash,
            "seed": config.seed,
            "training": asdict(config),
        }
        write_model(folder, model, metrics)
    return metrics


def is_trained(
    directory: str | Path,
    dataset: TrainingSet | CompositionSet,
    model_config: NetworkConfig,
    training_config: TrainingConfig,
) -> bool:
    """Whether a directory holds the network that `train` would make of this: same data, shape and settings."""
    try:
        metrics, model = load_metrics(directory), load_model(directory)
    except CheckpointError:
        return False
    wanted = asdict(training_config) | {"device": None}
    made = dict(metrics.get("training", {})) | {"device": None}  # where it was trained does not matter
    return metrics.get("data_hash") == dataset.data_hash and model.config == model_config and made == wanted


@torch.no_grad()
def mean_absolute_error(
    model: Any, dataset: TrainingSet | CompositionSet, indices: np.ndarray, batch_size: int = 256
) -> float | None:
    """Mean absolute error over some crystals of a data set at their own volumes, eV/atom; None if there are none.

    Args:
        model: a network on any device; it is left in evaluation mode.
        dataset: examples of its kind.
        indices: which, (n,).
        batch_size: examples in one batch.
    """
    if len(indices) == 0:
        return None
    model.eval()
    total = 0.0
    for first in range(0, len(indices), batch_size):
        chosen = indices[first : first + batch_size]
        batch = dataset.batch_for(model.config, chosen).to(str(model.scale.device))
        predicted = model(batch).double().cpu().numpy()  # (batch_size,)
        total += float(np.abs(predicted - dataset.targets[chosen]).sum())
    return total / len(indices)


def _mean_deviation(values: np.ndarray, centre: float) -> float | None:
    """Mean distance from `centre`; None of no values."""
    return float(np.abs(values - centre).mean()) if len(values) else None
