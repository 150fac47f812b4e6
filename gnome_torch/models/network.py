"""What every network is: an `nn.Module` with a shape, whose answers have a mean and a scale."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn


class NetworkConfig(Protocol):
    """A frozen dataclass of JSON content that fixes the shape of a network."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


class Network(nn.Module):
    """Energy per atom, eV/atom, (n_graphs,), of a batch of crystals or compositions.

    Attributes:
        config: the shape.
        scale: standard deviation of the training targets, eV/atom, ().
        shift: mean of the training targets, eV/atom, ().
    """

    config: NetworkConfig
    scale: Tensor
    shift: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        """Begin a network, of which a subclass makes the layers.

        Args:
            config: the shape.
        """
        super().__init__()
        self.config = config
        self.register_buffer("scale", torch.tensor(1.0))
        self.register_buffer("shift", torch.tensor(0.0))

    def standardise(self, mean: float, deviation: float) -> None:
        """Fix the mean and the standard deviation of the targets, eV/atom, that the output is measured in."""
        self.shift.fill_(mean)
        self.scale.fill_(deviation)
