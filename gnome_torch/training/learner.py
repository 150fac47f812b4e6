"""A network that learns, and one step of it, whatever the device, the precision and the number of processes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from gnome_torch.models.checkpoint import CheckpointError, load_model, new_network
from gnome_torch.models.network import Network, NetworkConfig
from gnome_torch.training.config import OPTIMIZERS, TrainingConfig
from gnome_torch.training.dataset import CompositionSet, DataSetError, TrainingSet
from gnome_torch.training.parallel import Workers


@dataclass(frozen=True)
class Learner:
    """What a step changes.

    Attributes:
        model: the network.
        optimizer: of its weights.
        average: of the weights over the steps, if one is kept.
    """

    model: Network
    optimizer: torch.optim.Optimizer
    average: AveragedModel | None

    @classmethod
    def new(
        cls, dataset: TrainingSet | CompositionSet, targets: np.ndarray, shape: NetworkConfig, config: TrainingConfig
    ) -> Learner:
        """A network before its first step, on the device.

        Args:
            dataset: what it is to learn from.
            targets: energies of the training part, eV/atom, (n,); their mean and deviation become the network's.
            shape: of the network.
            config: how it is trained.

        Raises:
            DataSetError: the examples are not of the network's kind.
            CheckpointError: the model to begin with cannot be read, or is of another shape.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            model = new_network(shape)
        if type(model).__name__ != dataset.network:
            raise DataSetError(f"a {type(model).__name__} cannot learn from a {type(dataset).__name__}")
        if config.begin_with is None:
            deviation = float(targets.std())
            model.standardise(float(targets.mean()), deviation if deviation > 0 else 1.0)
        else:
            _begin_with(model, config.begin_with)
        model.to(config.device)
        optimizer = OPTIMIZERS[config.optimizer](model.parameters(), lr=0.0, weight_decay=config.weight_decay)
        decay = config.averaging
        return cls(model, optimizer, AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay)) if decay else None)

    @property
    def answering(self) -> nn.Module:
        """What is measured, and saved in the end: the average where one is kept."""
        return self.model if self.average is None else self.average

    def settle(self) -> Network:
        """The network with the weights that are saved; no step may follow."""
        if self.average is not None:
            self.model.load_state_dict(self.average.module.state_dict())
        return self.model


def _begin_with(model: Network, directory: str | Path) -> None:
    """Give a network the weights and the scale of a saved one.

    Raises:
        CheckpointError: it cannot be read, or is of another shape.
    """
    saved = load_model(directory)
    if type(saved) is not type(model) or saved.config != model.config:
        raise CheckpointError(f"{directory}: {saved.config} cannot begin a training of {model.config}")
    model.load_state_dict(saved.state_dict())


class Stepper:
    """Steps of the optimizer."""

    def __init__(
        self,
        dataset: TrainingSet | CompositionSet,
        learner: Learner,
        config: TrainingConfig,
        workers: Workers,
    ) -> None:
        """Make a network ready to learn, whose weights must be those of the first step already.

        Args:
            dataset: what it learns from.
            learner: what learns.
            config: how.
            workers: the processes that take part.
        """
        self.dataset, self.learner, self.config, self.workers = dataset, learner, config, workers
        self.network: Any = workers.wrap(learner.model)
        if config.compiled:
            self.network = torch.compile(self.network, dynamic=True)
        self.targets = torch.from_numpy(dataset.targets.astype(np.float32)).to(config.device)  # (n,) eV/atom
        self.pieces = 1

    def step(self, chosen: np.ndarray, number: int, rate: float) -> float:
        """Learn from a batch; returns the sum of its absolute errors, eV/atom. In pieces where memory is short.

        Args:
            chosen: examples of the batch, (batch_size,).
            number: of the step, from 0; the volumes follow from it.
            rate: of learning.
        """
        optimizer, average = self.learner.optimizer, self.learner.average
        for group in optimizer.param_groups:
            group["lr"] = rate
        volumes = self._volumes(len(chosen), number)
        while True:
            try:
                optimizer.zero_grad()
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
        optimizer.step()
        if average is not None:
            average.update_parameters(self.learner.model)
        return self.workers.sum(total)

    def _volumes(self, count: int, number: int) -> np.ndarray | None:
        """Factors of the volumes of a step's examples, (count,); None for their own volumes."""
        jitter = self.config.volume_jitter
        if not jitter:
            return None
        return np.random.default_rng([self.config.seed, 0, number]).uniform(1 - jitter, 1 + jitter, count)

    def _backward(self, chosen: np.ndarray, volumes: np.ndarray | None, batch_size: int) -> float:
        """Add the gradient of this process's share of the mean absolute error; returns the sum of errors, eV/atom."""
        device = torch.device(self.config.device)
        mine, weight = self.workers.share(len(chosen))
        part, model = chosen[mine], self.learner.model
        batch = self.dataset.batch(model.config, part, None if volumes is None else volumes[mine], device)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
            energies = self.network(batch)
        # the mean absolute error is the error reported, and wrong labels weigh less in it than in a square
        error = weight * (energies - self.targets[torch.from_numpy(part).to(device)]).abs().sum()
        # gradients are averaged over the processes, so each counts for their number
        (self.workers.count * error / (batch_size * model.scale)).backward()
        return float(error.detach())


@contextmanager
def products_in(precision: str) -> Iterator[None]:
    """TF32 for products in float32, where the GPU has it."""
    earlier = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(earlier)
