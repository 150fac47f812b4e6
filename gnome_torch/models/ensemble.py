"""Several networks of one shape, evaluated together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gnome_torch.models.checkpoint import CheckpointError, load_model

if TYPE_CHECKING:
    from torch_geometric.data import Data


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

    def forward(self, batch: Data) -> Tensor:
        """Energy per atom by each member, eV/atom, (n_members, n_graphs)."""
        return torch.stack([member(batch) for member in self.members])
