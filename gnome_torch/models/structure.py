"""GNoME's structure network: energy of a crystal from its elements and interatomic distances.

Follows the released definition (google-deepmind/materials_discovery, `model/crystal.py` and `model/gnn.py`), with the
paper's constants. One thing differs: the released read-out divides the *mean* over the edges by the number of atoms,
which makes the energy per atom depend on the choice of the cell; here every block uses the sum over the edges divided
by the mean coordination and by the number of atoms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from gnome_torch.graphs import CUTOFF, N_ELEMENTS
from gnome_torch.models.layers import Affine, MessagePassing, OneHot, Weights, fan_in_normal
from gnome_torch.models.network import Network

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True)
class StructureNetworkConfig:
    """Everything that fixes the shape of a structure network.

    Attributes:
        hidden: widths of the layers of every MLP; the last is also the width of nodes, edges and the global feature.
        n_message_passing: blocks, the read-out block included.
        n_gaussians: Gaussians that describe a distance.
        gaussian_width: w in exp(-(d - mu)^2 / w^2), angstrom.
        gaussian_start: centre of the first Gaussian, angstrom; the last is at the cutoff.
        cutoff: largest length of an edge, angstrom.
        mean_coordination: number of edges of an average atom; sums over edges are divided by it.
        n_elements: elements known, from hydrogen on.
    """

    hidden: tuple[int, ...] = (256, 256)
    n_message_passing: int = 3
    n_gaussians: int = 30
    gaussian_width: float = 0.5
    gaussian_start: float = 0.05
    cutoff: float = CUTOFF
    mean_coordination: float = 17.0
    n_elements: int = N_ELEMENTS

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if len(self.hidden) < 2 or min(self.hidden) < 1:
            raise ValueError(f"hidden={self.hidden}: an MLP needs at least two positive widths")
        for name in ("n_message_passing", "n_gaussians", "gaussian_width", "cutoff", "mean_coordination"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)}: must be positive")


class StructureNetwork(Network):
    """Energy of a crystal from its elements and interatomic distances; invariant to rotation and translation.

    Attributes:
        config: the shape.
        scale: standard deviation of the training targets, eV/atom, ().
        shift: mean of the training targets, eV/atom, ().
    """

    config: StructureNetworkConfig
    centres: Tensor

    def __init__(self, config: StructureNetworkConfig | None = None) -> None:
        """Make a network with random weights, from torch's generator.

        Args:
            config: the shape.
        """
        config = config or StructureNetworkConfig()
        super().__init__(config)
        width = config.hidden[-1]
        self.node_embedding = nn.Linear(config.n_elements, width)
        self.edge_embedding = nn.Linear(config.n_gaussians, width)
        # the global input is a single zero, as in the released code: only the bias acts
        self.global_embedding = nn.Linear(1, width)
        for embedding in (self.node_embedding, self.edge_embedding, self.global_embedding):
            fan_in_normal(embedding)
        last = config.n_message_passing - 1
        self.blocks = nn.ModuleList(
            MessagePassing(width, config.hidden, 1 if block == last else width, config.mean_coordination)
            for block in range(config.n_message_passing)
        )
        centres = torch.linspace(config.gaussian_start, config.cutoff, config.n_gaussians)
        self.register_buffer("centres", centres, persistent=False)  # (n_gaussians,) angstrom

    def forward(self, batch: Data) -> Tensor:
        """Energies of a batch of crystals.

        Args:
            batch: from `gnome_torch.graphs.batch_graphs`, or torch-geometric's own batch of `to_data`.

        Returns:
            Energy per atom, eV/atom, (n_graphs,). Times the number of atoms it is the energy of the cell.
        """
        weights = Weights.of(batch)
        nodes: Affine = OneHot(batch.numbers - 1, self.node_embedding.weight, self.node_embedding.bias)
        edges = Affine(self.gaussians(batch.distances), self.edge_embedding.weight, self.edge_embedding.bias)
        nothing = edges.x.new_zeros(weights.n_graphs, 1)
        globals_ = Affine(nothing, self.global_embedding.weight, self.global_embedding.bias)
        for block in self.blocks:
            nodes, edges, globals_ = block(nodes, edges, globals_, weights)
        return self.scale * globals_.value().squeeze(-1) + self.shift  # (n_graphs,)

    def gaussians(self, distances: Tensor) -> Tensor:
        """Distances, angstrom, (n_edges,) -> (n_edges, n_gaussians)."""
        return torch.exp(-(((distances[:, None] - self.centres) / self.config.gaussian_width) ** 2))
