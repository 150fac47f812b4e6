"""GNoME's structure network: energy of a crystal from its elements and interatomic distances.

Follows the released definition (google-deepmind/materials_discovery, `model/crystal.py` and `model/gnn.py`), with the
paper's constants. One thing differs: the released read-out divides the *mean* over the edges by the number of atoms,
which makes the energy per atom depend on the choice of the cell; here every block uses the sum over the edges divided
by the mean coordination and by the number of atoms.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from gnome_torch.graphs import CUTOFF, N_ELEMENTS

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


class BetaSwish(nn.Module):
    """x * sigmoid(beta * x) with one learned beta for each feature."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.ones(features))  # (features,)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.beta * x)


class ConcatenatedMLP(nn.Module):
    """MLP of several inputs side by side, which never makes the concatenation.

    The first layer is linear in each input, so each is multiplied by its part of the weight at its own length (one row
    per atom, say) and only the products are gathered: the same numbers with far fewer operations.
    """

    def __init__(self, inputs: tuple[int, ...], widths: tuple[int, ...]) -> None:
        """Make the layers.

        Args:
            inputs: features of each input.
            widths: features after each layer; every layer but the last is followed by the activation.
        """
        super().__init__()
        self.inputs = inputs
        self.first = nn.Linear(sum(inputs), widths[0])
        self.activations = nn.ModuleList(BetaSwish(width) for width in widths[:-1])
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        _orthogonal(self.first)
        for layer in self.layers[:-1]:
            _orthogonal(layer)
        fan_in_normal(self.layers[-1])

    def project(self, x: Tensor, which: int) -> Tensor:
        """Product of input number `which` with its part of the first weight, (rows, widths[0])."""
        start = sum(self.inputs[:which])
        return functional.linear(x, self.first.weight[:, start : start + self.inputs[which]])

    def finish(self, projected: Tensor) -> Tensor:
        """The output, from the sum of all projections.

        Args:
            projected: (rows, widths[0]).

        Returns:
            (rows, widths[-1]).
        """
        x = projected + self.first.bias
        for activation, layer in zip(self.activations, self.layers, strict=True):
            x = layer(activation(x))
        return x


class MessagePassing(nn.Module):
    """One block: edges, then nodes, then the global feature, each from the new values of those before it."""

    def __init__(self, width: int, hidden: tuple[int, ...], n_global: int, mean_coordination: float) -> None:
        """Make the three MLPs.

        Args:
            width: features of each node, edge and global input.
            hidden: widths of the MLPs.
            n_global: features of the global output.
            mean_coordination: what sums over edges are divided by.
        """
        super().__init__()
        self.mean_coordination = mean_coordination
        self.edge_mlp = ConcatenatedMLP((width,) * 4, hidden)
        self.node_mlp = ConcatenatedMLP((width, hidden[-1], hidden[-1], width), hidden)
        self.global_mlp = ConcatenatedMLP((hidden[-1], hidden[-1], width), (*hidden[:-1], n_global))

    def forward(
        self, nodes: Tensor, edges: Tensor, globals_: Tensor, senders: Tensor, receivers: Tensor, graph: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Update every feature once.

        Args:
            nodes: (n_atoms, width).
            edges: (n_edges, width).
            globals_: (n_graphs, width).
            senders: atom an edge leaves, (n_edges,).
            receivers: atom an edge reaches, (n_edges,).
            graph: graph of each atom, (n_atoms,).

        Returns:
            New nodes (n_atoms, hidden[-1]), edges (n_edges, hidden[-1]) and globals (n_graphs, n_global).
        """
        mlp = self.edge_mlp
        # the two ends of an edge are in one graph: the global term rides on the sender's
        at_sender = mlp.project(nodes, 1) + mlp.project(globals_, 3).index_select(0, graph)  # (n_atoms, hidden[0])
        at_receiver = mlp.project(nodes, 2)  # (n_atoms, hidden[0])
        edges = mlp.finish(
            mlp.project(edges, 0) + at_sender.index_select(0, senders) + at_receiver.index_select(0, receivers)
        )  # (n_edges, hidden[-1])

        sums = nodes.new_zeros(len(nodes), edges.shape[1])
        sent = sums.index_add(0, senders, edges) / self.mean_coordination  # (n_atoms, hidden[-1])
        received = sums.index_add(0, receivers, edges) / self.mean_coordination  # (n_atoms, hidden[-1])
        mlp = self.node_mlp
        nodes = mlp.finish(
            mlp.project(nodes, 0)
            + mlp.project(sent, 1)
            + mlp.project(received, 2)
            + mlp.project(globals_, 3).index_select(0, graph)
        )  # (n_atoms, hidden[-1])

        # every edge is sent by one atom: their sum over a crystal is the sum of `sent` over its atoms
        mlp = self.global_mlp
        n_graphs = len(globals_)
        globals_ = mlp.finish(
            mlp.project(mean_over_nodes(nodes, graph, n_graphs), 0)
            + mlp.project(mean_over_nodes(sent, graph, n_graphs), 1)
            + mlp.project(globals_, 2)
        )  # (n_graphs, n_global)
        return nodes, edges, globals_


class StructureNetwork(nn.Module):
    """Energy of a crystal from its elements and interatomic distances; invariant to rotation and translation.

    Attributes:
        config: the shape.
        scale: standard deviation of the training targets, eV/atom, ().
        shift: mean of the training targets, eV/atom, ().
    """

    scale: Tensor
    shift: Tensor
    centres: Tensor

    def __init__(self, config: StructureNetworkConfig | None = None) -> None:
        """Make a network with random weights, from torch's generator.

        Args:
            config: the shape.
        """
        super().__init__()
        self.config = config = config or StructureNetworkConfig()
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
        self.register_buffer("scale", torch.tensor(1.0))
        self.register_buffer("shift", torch.tensor(0.0))

    def standardise(self, mean: float, deviation: float) -> None:
        """Fix the mean and the standard deviation of the targets, eV/atom, that the output is measured in."""
        self.shift.fill_(mean)
        self.scale.fill_(deviation)

    def forward(self, batch: Data) -> Tensor:
        """Energies of a batch of crystals.

        Args:
            batch: from `gnome_torch.graphs.batch_graphs`, or torch-geometric's own batch of `to_data`.

        Returns:
            Energy per atom, eV/atom, (n_graphs,). Times the number of atoms it is the energy of the cell.
        """
        senders, receivers = batch.edge_index  # (n_edges,), (n_edges,)
        nodes = functional.embedding(batch.numbers - 1, self.node_embedding.weight.t())  # one-hot times weight
        nodes = nodes + self.node_embedding.bias  # (n_atoms, width)
        edges = self.edge_embedding(self.gaussians(batch.distances))  # (n_edges, width)
        globals_ = self.global_embedding(nodes.new_zeros(len(batch.ptr) - 1, 1))  # (n_graphs, width)
        for block in self.blocks:
            nodes, edges, globals_ = block(nodes, edges, globals_, senders, receivers, batch.batch)
        return self.scale * globals_.squeeze(-1) + self.shift  # (n_graphs,)

    def gaussians(self, distances: Tensor) -> Tensor:
        """Distances, angstrom, (n_edges,) -> (n_edges, n_gaussians)."""
        return torch.exp(-(((distances[:, None] - self.centres) / self.config.gaussian_width) ** 2))


def mean_over_nodes(values: Tensor, graph: Tensor, n_graphs: int) -> Tensor:
    """(n_nodes, features), graph of each node (n_nodes,) -> (n_graphs, features)."""
    counts = values.new_zeros(n_graphs).index_add(0, graph, values.new_ones(len(graph)))  # (n_graphs,)
    return values.new_zeros(n_graphs, values.shape[1]).index_add(0, graph, values) / counts[:, None]


def _orthogonal(layer: nn.Module) -> None:
    """Orthogonal weights of gain sqrt(2.75), no bias: the released code's layers before an activation."""
    if isinstance(layer, nn.Linear):
        nn.init.orthogonal_(layer.weight, gain=math.sqrt(2.75))
        nn.init.zeros_(layer.bias)


def fan_in_normal(layer: nn.Module) -> None:
    """Weights normal with variance 1 / inputs, no bias: the released code's last layers and embeddings."""
    if isinstance(layer, nn.Linear):
        nn.init.normal_(layer.weight, std=1.0 / math.sqrt(layer.in_features))
        nn.init.zeros_(layer.bias)
