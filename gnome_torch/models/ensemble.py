"""Several networks of one shape, evaluated together."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from gnome_torch.models.checkpoint import CheckpointError, load_model

if TYPE_CHECKING:
    import numpy as np
    from torch_geometric.data import Batch, Data

_Stacked = tuple[dict[str, Tensor], dict[str, Tensor]]
"""Parameters and buffers of all members, each (n_members, ...)."""


class Ensemble(nn.Module):
    """Members trained from different seeds; their spread is the uncertainty of a prediction."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        """Join networks, which are put into evaluation mode.

        Args:
            members: at least one, all of one class and configuration.
        """
        super().__init__()
        if not members:
            raise ValueError("an ensemble needs at least one member")
        for member in members[1:]:
            if type(member) is not type(members[0]) or member.config != members[0].config:
                raise ValueError(f"members of different shapes: {members[0].config} and {member.config}")
        self.members = nn.ModuleList(members)
        self._stacked: tuple[nn.Module, _Stacked] | None = None
        self.prepared: dict[Hashable, Callable[[Batch], np.ndarray]] = {}  # how it is evaluated, kept by `inference`
        self.batch_edges: dict[Hashable, int] = {}  # what has turned out to fit into a GPU's memory
        self.eval()

    @classmethod
    def load(cls, directories: Iterable[str | Path]) -> Ensemble:
        """Read saved members.

        Args:
            directories: one for each member.

        Raises:
            CheckpointError: if one cannot be read, none is given, or they differ in shape.
        """
        paths = [Path(directory) for directory in directories]
        if not paths:
            raise CheckpointError("no model directory given: an ensemble needs at least one")
        try:
            return cls([load_model(path) for path in paths])
        except ValueError as error:
            raise CheckpointError(f"{paths[0].parent}: {error}; train all members with one configuration") from error

    @property
    def config(self) -> Any:
        """Configuration that all members share."""
        return self.members[0].config

    def __len__(self) -> int:
        return len(self.members)

    def fingerprint(self) -> str:
        """First 24 hex digits of the SHA-256 of configuration and weights of all members."""
        digest = hashlib.sha256(repr(self.config).encode())
        for member in self.members:
            for name, value in member.state_dict().items():
                digest.update(name.encode())
                digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:24]

    def stack(self, stacked: bool) -> None:
        """Evaluate all members at once, as one network with one more dimension, or (False) one after the other.

        One at once keeps a GPU busy with large products; a CPU is faster on one after the other, whose rows stay in its
        caches. Stacked weights are copies: stack again after the members have changed or moved.
        """
        if not stacked or len(self) == 1:
            self._stacked = None
            return
        skeleton = copy.deepcopy(self.members[0]).to("meta")
        self._stacked = skeleton, stack_module_state(list(self.members))

    def forward(self, batch: Data) -> Tensor:
        """Energy per atom by each member, eV/atom, (n_members, n_graphs)."""
        if self._stacked is None:
            return torch.stack([member(batch) for member in self.members])
        skeleton, (parameters, buffers) = self._stacked

        def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
            return functional_call(skeleton, (parameters, buffers), (batch,))

        return vmap(one)(parameters, buffers)
