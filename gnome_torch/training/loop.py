"""Train one network on a data set and save it."""

from __future__ import annotations

import json
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from gnome_torch import __version__
from gnome_torch.files import whole_directory
from gnome_torch.models.checkpoint import CONFIG_FILE, CheckpointError, load_metrics, load_model, write_model
from gnome_torch.models.network import NetworkConfig
from gnome_torch.training.config import TrainingConfig
from gnome_torch.training.dataset import CompositionSet, DataSetError, TrainingSet
from gnome_torch.training.epochs import EPOCHS_FILE, TENSORBOARD, Row, show_epoch, write_epochs
from gnome_torch.training.learner import Learner, Stepper, products_in
from gnome_torch.training.parallel import Workers
from gnome_torch.training.state import Progress, read_identity, read_state, write_state

Report = Callable[[int, int, Row | None], None]
"""Called after each step with the number of steps done and of all; after each epoch also with its line of the table."""


class TrainingStopped(Exception):
    """A signal has stopped a training; the same call goes on from its checkpoint.

    Attributes:
        signal: number of the signal.
        progress: epoch and step that are done.
    """

    def __init__(self, number: int, directory: Path, progress: str) -> None:
        """Say where to go on.

        Args:
            number: of the signal.
            directory: of the checkpoint.
            progress: epoch and step that are done.
        """
        self.progress = progress
        super().__init__(
            f"stopped by {signal.Signals(number).name}; what is done is in {directory}: the same command goes on"
        )
        self.signal = number


def train(
    dataset: TrainingSet | CompositionSet,
    model_config: NetworkConfig,
    training_config: TrainingConfig,
    directory: str | Path,
    progress: Report | None = None,
    checkpoint_minutes: float = 10.0,
    stop_signals: Sequence[int] = (),
    asked_to_stop: Callable[[], int] = lambda: 0,
) -> dict[str, Any]:
    """Train on the training part of the split and save the model of the last epoch; what was there is replaced.

    The same data, configurations and seed give the same weights on one machine with one number of threads, however
    often the training was stopped or killed in between: beside the directory lies `<name>.training` with the
    checkpoint, until the model is there. The test part is only measured: no choice is made by it.

    Under torchrun every process calls this; together they take the same steps as one process alone.

    Args:
        dataset: crystals or compositions, and energies.
        model_config: shape of the network, of the same kind.
        training_config: how.
        directory: the model's own directory; it gets the model's files, `epochs.csv` and TensorBoard's.
        progress: told of every step and every epoch.
        checkpoint_minutes: time between two checkpoints.
        stop_signals: signals that end the training after the step under way, with a checkpoint (main thread only).
        asked_to_stop: says which signal has come, where the caller watches for them itself; 0 for none.

    Returns:
        The metrics saved with the model; errors are mean absolute ones, eV/atom, None where the test part is empty.

    Raises:
        DataSetError: if no example is in the training part, or they are not of the network's kind.
        CheckpointError: the model to begin with cannot be read, or is of another shape.
        FloatingPointError: if the training diverges; nothing is saved then.
        TrainingStopped: one of the signals came.
    """
    training = _Training(dataset, model_config, training_config, Path(directory))
    with _received(stop_signals) as received, products_in(training_config.precision):
        attended = _Attended(progress, 60 * checkpoint_minutes, lambda: received() or asked_to_stop())
        while training.state.epoch <= training_config.epochs:
            training.run_epoch(attended)
    return training.save()


@dataclass(frozen=True)
class _Attended:
    """Who watches a training, and how often it is written down.

    Attributes:
        report: told of every step and every epoch.
        checkpoint_seconds: time between two checkpoints.
        signal: which signal asks to stop; 0 for none.
    """

    report: Report | None
    checkpoint_seconds: float
    signal: Callable[[], int]


class _Training:
    """A training from its last checkpoint, or from its beginning, to a saved model."""

    def __init__(
        self,
        dataset: TrainingSet | CompositionSet,
        model_config: NetworkConfig,
        config: TrainingConfig,
        directory: Path,
    ) -> None:
        self.dataset, self.config, self.directory = dataset, config, directory
        self.train_part, self.test_part = _parts(dataset, config)
        self.learner = Learner.new(dataset, dataset.targets[self.train_part], model_config, config)
        self.workers = Workers.of_this_process()
        self.run = _run_directory(directory)
        self.identity = _identity(dataset, model_config, config)
        self.state = self._resumed()
        # after the weights are those to go on from: the processes are given the first one's
        self.stepper = Stepper(dataset, self.learner, config, self.workers)
        self.steps_per_epoch = -(-len(self.train_part) // config.batch_size)
        self.n_steps = config.epochs * self.steps_per_epoch
        self.checkpointed = time.perf_counter()
        self.began = self.checkpointed - self.state.seconds  # as if it had never been interrupted

    def _resumed(self) -> Progress:
        """Where the training stands; what another one has left in its place is thrown away."""
        self.run.mkdir(parents=True, exist_ok=True)
        state = read_state(self.run, self.identity, self.learner)
        if state is not None:
            return state
        self.workers.wait()  # until all have looked
        if self.workers.first:
            shutil.rmtree(self.run)
            self.run.mkdir()
        return Progress(epoch=1, step=0, total=0.0, seconds=0.0, rows=[])

    @property
    def seconds(self) -> float:
        """Time spent, earlier runs included."""
        return time.perf_counter() - self.began

    def run_epoch(self, attended: _Attended) -> None:
        """Take the steps that are left of the epoch under way, and measure what has been learnt.

        Raises:
            FloatingPointError: the training diverges.
            TrainingStopped: a signal came.
        """
        state = self.state
        order = np.random.default_rng([self.config.seed, state.epoch]).permutation(self.train_part)
        self.learner.model.train()
        while state.step < self.steps_per_epoch:
            self._step(order)
            if attended.report:
                attended.report(self._steps_done(), self.n_steps, None)
            stop = self.workers.largest(attended.signal())
            if stop or time.perf_counter() - self.checkpointed > attended.checkpoint_seconds:
                self._checkpoint()
            if stop:
                raise TrainingStopped(stop, self.run, f"epoch {state.epoch}, step {state.step}")
        row = self._end_epoch()
        if attended.report:
            attended.report(self._steps_done(), self.n_steps, row)

    def _steps_done(self) -> int:
        return (self.state.epoch - 1) * self.steps_per_epoch + self.state.step

    def _step(self, order: np.ndarray) -> None:
        """Learn from the next batch of an epoch's order, (n_train,)."""
        state, config, number = self.state, self.config, self._steps_done()
        chosen = order[state.step * config.batch_size : (state.step + 1) * config.batch_size]
        state.total += self.stepper.step(chosen, number, config.rate(number, self.n_steps))
        state.step += 1
        if not np.isfinite(state.total):  # the same in all processes
            if self.workers.first:
                shutil.rmtree(self.run)
            raise FloatingPointError(
                f"training diverged in epoch {state.epoch}: lower learning_rate={config.learning_rate}"
            )

    def _checkpoint(self) -> None:
        self.checkpointed = time.perf_counter()
        self.state.seconds = self.seconds
        if self.workers.first:
            write_state(self.run, self.identity, self.state, self.learner)

    def _end_epoch(self) -> Row:
        """Write down the epoch that is done, and turn to the next; returns its line."""
        state, config = self.state, self.config
        row = {
            "epoch": state.epoch,
            "learning_rate": config.rate((state.epoch - 1) * self.steps_per_epoch, self.n_steps),
            "train_mae": state.total / len(self.train_part),
            "test_mae": self._error(self.learner.answering, self.test_part),
            "seconds": round(self.seconds, 3),
        }
        state.rows.append(row)
        state.epoch, state.step, state.total = state.epoch + 1, 0, 0.0
        if self.workers.first:
            write_epochs(self.run / EPOCHS_FILE, state.rows)
            show_epoch(self.run / TENSORBOARD, row)
        return row

    def _error(self, network: nn.Module, part: np.ndarray) -> float | None:
        return mean_absolute_error(network, self.dataset, part, self.config.batch_size, self.learner.model.config)

    def save(self) -> dict[str, Any]:
        """Save the model in the place of what was there, remove the checkpoint; returns the metrics."""
        model = self.learner.settle()
        metrics = self._metrics()
        if self.workers.first:
            with whole_directory(self.directory) as folder:
                write_model(folder, model, metrics)
                write_epochs(folder / EPOCHS_FILE, self.state.rows)
                if (self.run / TENSORBOARD).exists():
                    shutil.copytree(self.run / TENSORBOARD, folder / TENSORBOARD)
            shutil.rmtree(self.run)
        self.workers.wait()
        return metrics

    def _metrics(self) -> dict[str, Any]:
        targets, tested = self.dataset.targets[self.train_part], self.dataset.targets[self.test_part]
        mean = float(targets.mean())
        return {
            "train_mae": self._error(self.learner.model, self.train_part),
            "test_mae": self.state.rows[-1]["test_mae"],
            "baseline_mae": _mean_deviation(tested, mean),
            "n_train": len(targets),
            "n_test": len(tested),
            "target_mean": mean,
            "target_deviation": float(targets.std()),
            "seconds": self.seconds,
            "data_hash": self.dataset.data_hash,
            "seed": self.config.seed,
            "training": asdict(self.config),
            "code_version": __version__,
        }


def _parts(dataset: TrainingSet | CompositionSet, config: TrainingConfig) -> tuple[np.ndarray, np.ndarray]:
    """Indices of what is learnt from, (n_train,), and of what is only measured, (n_test,).

    Raises:
        DataSetError: there is nothing to learn from.
    """
    train_part, test_part = dataset.split() if config.hold_out else (np.arange(len(dataset)), np.zeros(0, dtype=int))
    if len(train_part) == 0:
        raise DataSetError(
            f"all {len(dataset)} examples fall into the test part, which their formulas decide: add other formulas"
        )
    return train_part, test_part


def _identity(
    dataset: TrainingSet | CompositionSet, model_config: NetworkConfig, config: TrainingConfig
) -> dict[str, object]:
    """What must be the same for a training to go on."""
    return {"data": dataset.data_hash, "model": asdict(model_config), "training": config.without_machine()}


def _run_directory(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}.training")


def would_replace(
    directory: str | Path,
    dataset: TrainingSet | CompositionSet,
    model_config: NetworkConfig,
    training_config: TrainingConfig,
) -> Path | None:
    """What of other data or settings `train` would throw away: a network, or a training that was stopped."""
    directory = Path(directory)
    if (directory / CONFIG_FILE).exists() and not is_trained(directory, dataset, model_config, training_config):
        return directory
    begun = read_identity(_run_directory(directory))
    identity = json.loads(json.dumps(_identity(dataset, model_config, training_config)))
    return _run_directory(directory) if begun is not None and begun != identity else None


def is_trained(
    directory: str | Path,
    dataset: TrainingSet | CompositionSet,
    model_config: NetworkConfig,
    training_config: TrainingConfig,
) -> bool:
    """Whether a directory holds the network that `train` would make of this: same data, shape and settings."""
    try:
        metrics, model = load_metrics(directory), load_model(directory)
        made = TrainingConfig(**metrics.get("training", {}))  # settings that came later had their default
    except (CheckpointError, TypeError, ValueError):
        return False
    same = made.without_machine() == training_config.without_machine()
    return metrics.get("data_hash") == dataset.data_hash and model.config == model_config and same


@torch.no_grad()
def mean_absolute_error(
    model: nn.Module,
    dataset: TrainingSet | CompositionSet,
    indices: np.ndarray,
    batch_size: int = 256,
    config: NetworkConfig | None = None,
) -> float | None:
    """Mean absolute error over some examples of a data set at their own volumes, eV/atom; None if there are none.

    Args:
        model: a network on any device; it is left in evaluation mode.
        dataset: examples of its kind.
        indices: which, (n,).
        batch_size: examples in one batch.
        config: of the network; None for `model.config`.
    """
    if len(indices) == 0:
        return None
    model.eval()
    device = next(model.parameters()).device
    total = 0.0
    for first in range(0, len(indices), batch_size):
        chosen = indices[first : first + batch_size]
        batch = dataset.batch(config or model.config, chosen, device=device)
        predicted = model(batch).double().cpu().numpy()  # (batch_size,)
        total += float(np.abs(predicted - dataset.targets[chosen]).sum())
    return total / len(indices)


@contextmanager
def _received(signals: Sequence[int]) -> Iterator[Callable[[], int]]:
    """A function that says which of the signals has come since, 0 for none; they do nothing else meanwhile."""
    last = 0

    def note(number: int, frame: object) -> None:
        nonlocal last
        last = number

    if threading.current_thread() is not threading.main_thread():
        signals = ()  # only the main thread may set handlers
    earlier = {number: signal.signal(number, note) for number in signals}
    try:
        yield lambda: last
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _mean_deviation(values: np.ndarray, centre: float) -> float | None:
    """Mean distance from `centre`; None of no values."""
    return float(np.abs(values - centre).mean()) if len(values) else None
