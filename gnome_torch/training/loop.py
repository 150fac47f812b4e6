"""Train one network on a data set and save it."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.tensorboard import SummaryWriter

from gnome_torch import __version__
from gnome_torch.files import whole_directory, whole_file
from gnome_torch.models.checkpoint import (
    CONFIG_FILE,
    CheckpointError,
    NetworkConfig,
    load_metrics,
    load_model,
    new_network,
    write_model,
)
from gnome_torch.training.dataset import CompositionSet, DataSetError, TrainingSet
from gnome_torch.training.parallel import Workers
from gnome_torch.training.state import Progress, read_identity, read_state, write_state

EPOCHS_FILE = "epochs.csv"
TENSORBOARD = "tensorboard"
COLUMNS = ["epoch", "learning_rate", "train_mae", "test_mae", "seconds"]
OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
PRECISIONS = ("float32", "tf32", "bfloat16")

Report = Callable[[int, int, Mapping[str, float | None] | None], None]
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


@dataclass(frozen=True)
class TrainingConfig:
    """How to train. The defaults are the paper's, for a large data set; the volume jitter is ours.

    Attributes:
        epochs: passes over the training part.
        batch_size: examples in one step, over all processes.
        learning_rate: at the first step; it decays linearly to 0 over all steps.
        seed: of the weights and of the order of the examples.
        volume_jitter: crystals are shown at volumes drawn evenly from 1 - this to 1 + this times their own, with the
            energy they have at their own: the network then answers for a crystal before its relaxation. Without it a
            network has never seen a wrong volume, and the lowest of its answers at 20 volumes is far too low. 0 where
            the data set itself holds crystals at other volumes with the energies they have there.
        optimizer: "adam" or "adamw".
        weight_decay: of AdamW.
        warm_up: share of all steps over which the learning rate first rises linearly from 0.
        averaging: decay per step of an exponential average of the weights, which is then what is saved; 0: none.
        precision: of products of matrices: "float32", "tf32" (GPU only) or "bfloat16"; weights, sums and energies stay
            in float32.
        compiled: compile the network before the first step.
        hold_out: keep the test part of the split out of the training, and measure on it; False: learn from everything.
        device: where to train, as torch names it.
        begin_with: directory of a saved model of the same shape, whose weights and scale it begins with; None: random
            weights, and the mean and deviation of the data.
    """

    epochs: int = 1000
    batch_size: int = 256
    learning_rate: float = 5.55e-4
    seed: int = 0
    volume_jitter: float = 0.2
    optimizer: str = "adam"
    weight_decay: float = 0.0
    warm_up: float = 0.0
    averaging: float = 0.0
    precision: str = "float32"
    compiled: bool = False
    hold_out: bool = True
    device: str = "cpu"
    begin_with: str | None = None

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or not self.learning_rate > 0:
            raise ValueError(f"epochs, batch_size and learning_rate must be positive: {self}")
        if not 0 <= self.volume_jitter < 1:
            raise ValueError(f"volume_jitter={self.volume_jitter}: must be from 0 to below 1")
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer={self.optimizer!r}: one of {', '.join(OPTIMIZERS)}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision={self.precision!r}: one of {', '.join(PRECISIONS)}")
        if self.weight_decay < 0 or (self.weight_decay and self.optimizer == "adam"):
            raise ValueError(f"weight_decay={self.weight_decay}: not negative, and with optimizer='adamw'")
        if not 0 <= self.averaging < 1 or not 0 <= self.warm_up < 1:
            raise ValueError(f"averaging={self.averaging}, warm_up={self.warm_up}: must be from 0 to below 1")

    def rate(self, step: int, n_steps: int) -> float:
        """Learning rate of a step, from 0, of n_steps."""
        rising = min(1.0, (step + 1) / (self.warm_up * n_steps)) if self.warm_up else 1.0
        return self.learning_rate * rising * (1 - step / n_steps)

    def without_machine(self) -> dict[str, Any]:
        """What matters for the result: all but the device."""
        return {name: value for name, value in asdict(self).items() if name != "device"}


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
    config, directory = training_config, Path(directory)
    train_part, test_part = dataset.split() if config.hold_out else (np.arange(len(dataset)), np.zeros(0, dtype=int))
    if len(train_part) == 0:
        raise DataSetError(
            f"all {len(dataset)} examples fall into the test part, which their formulas decide: add other formulas"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model: Any = new_network(model_config)
    if type(model).__name__ != dataset.network:
        raise DataSetError(f"a {type(model).__name__} cannot learn from a {type(dataset).__name__}")
    mean, deviation = float(dataset.targets[train_part].mean()), float(dataset.targets[train_part].std())
    if config.begin_with is None:
        model.standardise(mean, deviation if deviation > 0 else 1.0)
    else:
        begin_with(model, config.begin_with)
    model.to(config.device)
    optimizer = OPTIMIZERS[config.optimizer](model.parameters(), lr=0.0, weight_decay=config.weight_decay)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.averaging)) if config.averaging else None
    workers = Workers.of_this_process()

    identity = _identity(dataset, model_config, config)
    run = _run_directory(directory)
    run.mkdir(parents=True, exist_ok=True)
    state = read_state(run, identity, model, optimizer, average)
    if state is None:
        workers.wait()  # until all have looked
        if workers.first:
            shutil.rmtree(run)
            run.mkdir()
        state = Progress(epoch=1, step=0, total=0.0, seconds=0.0, rows=[])
    stepper = _Stepper(dataset, model_config, config, model, optimizer, average, workers)
    steps_per_epoch = -(-len(train_part) // config.batch_size)
    n_steps = config.epochs * steps_per_epoch
    start = saved = time.perf_counter()
    before = state.seconds

    def save() -> None:
        nonlocal saved
        saved = time.perf_counter()
        state.seconds = before + saved - start
        if workers.first:
            write_state(run, identity, state, model, optimizer, average)

    with _received(stop_signals) as received, _products_in(config.precision):
        while state.epoch <= config.epochs:
            order = np.random.default_rng([config.seed, state.epoch]).permutation(train_part)
            model.train()
            while state.step < steps_per_epoch:
                step = (state.epoch - 1) * steps_per_epoch + state.step
                chosen = order[state.step * config.batch_size : (state.step + 1) * config.batch_size]
                state.total += stepper.step(chosen, step, config.rate(step, n_steps))
                state.step += 1
                if not np.isfinite(state.total):  # the same in all processes
                    if workers.first:
                        shutil.rmtree(run)
                    raise FloatingPointError(
                        f"training diverged in epoch {state.epoch}: lower learning_rate={config.learning_rate}"
                    )
                if progress:
                    progress(step + 1, n_steps, None)
                stop = workers.largest(received() or asked_to_stop())
                if stop or time.perf_counter() - saved > 60 * checkpoint_minutes:
                    save()
                if stop:
                    raise TrainingStopped(stop, run, f"epoch {state.epoch}, step {state.step}")
            row = {
                "epoch": state.epoch,
                "learning_rate": config.rate((state.epoch - 1) * steps_per_epoch, n_steps),
                "train_mae": state.total / len(order),
                "test_mae": mean_absolute_error(average or model, dataset, test_part, config.batch_size, model_config),
                "seconds": round(before + time.perf_counter() - start, 3),
            }
            state.rows.append(row)
            state.epoch, state.step, state.total = state.epoch + 1, 0, 0.0
            if workers.first:
                _write_table(run / EPOCHS_FILE, state.rows)
                _write_tensorboard(run / TENSORBOARD, row)
            if progress:
                progress((state.epoch - 1) * steps_per_epoch, n_steps, row)
    if average is not None:
        model.load_state_dict(average.module.state_dict())
    metrics = {
        "train_mae": mean_absolute_error(model, dataset, train_part, config.batch_size),
        "test_mae": state.rows[-1]["test_mae"],
        "baseline_mae": _mean_deviation(dataset.targets[test_part], mean),
        "n_train": len(train_part),
        "n_test": len(test_part),
        "target_mean": mean,
        "target_deviation": deviation,
        "seconds": before + time.perf_counter() - start,
        "data_hash": dataset.data_hash,
        "seed": config.seed,
        "training": asdict(config),
        "code_version": __version__,
    }
    if workers.first:
        with whole_directory(directory) as folder:
            write_model(folder, model, metrics)
            _write_table(folder / EPOCHS_FILE, state.rows)
            if (run / TENSORBOARD).exists():
                shutil.copytree(run / TENSORBOARD, folder / TENSORBOARD)
        shutil.rmtree(run)
    workers.wait()
    return metrics


class _Stepper:
    """One step of the optimizer, whatever the device, the precision and the number of processes."""

    def __init__(
        self,
        dataset: TrainingSet | CompositionSet,
        model_config: NetworkConfig,
        config: TrainingConfig,
        model: Any,
        optimizer: torch.optim.Optimizer,
        average: AveragedModel | None,
        workers: Workers,
    ) -> None:
        self.dataset, self.model_config, self.config = dataset, model_config, config
        self.model, self.optimizer, self.average, self.workers = model, optimizer, average, workers
        self.network: Any = workers.wrap(model)
        if config.compiled:
            self.network = torch.compile(self.network, dynamic=True)
        self.targets = torch.from_numpy(dataset.targets.astype(np.float32)).to(config.device)  # (n,) eV/atom
        self.pieces = 1

    def step(self, chosen: np.ndarray, number: int, rate: float) -> float:
        """Learn from a batch; returns the sum of its absolute errors, eV/atom. In pieces where memory is short."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        volumes = None
        if self.config.volume_jitter:
            jitter = self.config.volume_jitter
            rng = np.random.default_rng([self.config.seed, 0, number])
            volumes = rng.uniform(1 - jitter, 1 + jitter, len(chosen))
        while True:
            try:
                self.optimizer.zero_grad()
                total = sum(
                    self._backward(chosen[piece], None if volumes is None else volumes[piece], len(chosen))
                    for piece in np.array_split(np.arange(len(chosen)), min(self.pieces, len(chosen)))
                )
                break
            except torch.OutOfMemoryError:
                if self.pieces >= len(chosen) or self.workers.count > 1:
                    raise
            # outside of the handler, whose traceback holds the tensors that are in the way
            self.pieces *= 2
            torch.cuda.empty_cache()
            warnings.warn(f"the GPU's memory is full: batches go in {self.pieces} pieces from now on", stacklevel=2)
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        return self.workers.sum(total)

    def _backward(self, chosen: np.ndarray, volumes: np.ndarray | None, batch_size: int) -> float:
        """Add the gradient of this process's share of the mean absolute error; returns the sum of errors, eV/atom."""
        device = torch.device(self.config.device)
        mine, weight = self.workers.share(len(chosen))
        part = chosen[mine]
        batch = self.dataset.batch(self.model_config, part, None if volumes is None else volumes[mine], device)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
            energies = self.network(batch)
        # the mean absolute error is the error reported, and wrong labels weigh less in it than in a square
        error = weight * (energies - self.targets[torch.from_numpy(part).to(device)]).abs().sum()
        # gradients are averaged over the processes, so each counts for their number
        (self.workers.count * error / (batch_size * self.model.scale)).backward()
        return float(error.detach())


def begin_with(model: Any, directory: str | Path) -> None:
    """Give a network the weights and the scale of a saved one.

    Raises:
        CheckpointError: it cannot be read, or is of another shape.
    """
    saved: Any = load_model(directory)
    if type(saved) is not type(model) or saved.config != model.config:
        raise CheckpointError(f"{directory}: {saved.config} cannot begin a training of {model.config}")
    model.load_state_dict(saved.state_dict())


def _identity(
    dataset: TrainingSet | CompositionSet, model_config: NetworkConfig, config: TrainingConfig
) -> dict[str, Any]:
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
    model: Any,
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


@contextmanager
def _products_in(precision: str) -> Iterator[None]:
    """TF32 for products in float32, where the GPU has it."""
    earlier = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(earlier)


def _write_table(path: Path, rows: Sequence[Mapping[str, float | None]]) -> None:
    with whole_file(path) as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)


def _write_tensorboard(directory: Path, row: Mapping[str, float | None]) -> None:
    """One line; of an epoch that is run again after a kill, TensorBoard shows the last."""
    with SummaryWriter(str(directory), purge_step=int(row["epoch"] or 0)) as writer:
        for name in ("train_mae", "test_mae", "learning_rate"):
            value = row[name]
            if value is not None:
                writer.add_scalar(name, value, int(row["epoch"] or 0))


def _mean_deviation(values: np.ndarray, centre: float) -> float | None:
    """Mean distance from `centre`; None of no values."""
    return float(np.abs(values - centre).mean()) if len(values) else None
