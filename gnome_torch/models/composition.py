"""GNoME's composition network: energy of a compound from its formula alone.

One node for each element, its one-hot multiplied by the element's fraction. The paper joins every pair of nodes with an
edge; the released code (google-deepmind/materials_discovery) drops the edges. Both are here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from gnome_torch.graphs import N_ELEMENTS
from gnome_torch.models.layers import Affine, ConcatenatedMLP, MessagePassing, OneHot, Weights, fan_in_normal
from gnome_torch.models.network import Network

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True)
class CompositionNetworkConfig:
    """Everything that fixes the shape of a composition network.

    Attributes:
        hidden: widths of the layers of every MLP; the last is also the width of nodes and of the global feature.
        n_message_passing: blocks, the read-out block included.
        edges: join every pair of elements, as the paper has it; False: the released code.
        mean_coordination: with edges, what sums over them are divided by: the other elements of an average compound.
        n_elements: elements known, from hydrogen on.
    """

    hidden: tuple[int, ...] = (256, 256)
    n_message_passing: int = 3
    edges: bool = False
    mean_coordination: float = 2.0
    n_elements: int = N_ELEMENTS

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if len(self.hidden) < 2 or min(self.hidden) < 1:
            raise ValueError(f"hidden={self.hidden}: an MLP needs at least two positive widths")
        for name in ("n_message_passing", "mean_coordination"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)}: must be positive")


class NodePassing(nn.Module):
    """One block without edges: nodes, then the global feature from their mean."""

    def __init__(self, width: int, hidden: tuple[int, ...], n_global: int) -> None:
        """Make the two MLPs.

        Args:
            width: features of each node and of the global input.
            hidden: widths of the MLPs.
            n_global: features of the global output.
        """
        super().__init__()
        self.node_mlp = ConcatenatedMLP((width, width), hidden)
        self.global_mlp = ConcatenatedMLP((hidden[-1], width), (*hidden[:-1], n_global))

    def forward(self, nodes: Affine, globals_: Affine, weights: Weights) -> tuple[Affine, Affine]:
        """Update every feature once.

        Args:
            nodes: n_nodes rows of width features.
            globals_: n_graphs rows.
            weights: of the batch.

        Returns:
            New nodes (hidden[-1] features) and globals (n_global).
        """
        mlp = self.node_mlp
        at_graph = mlp.project(globals_, 1) + mlp.first.bias  # (n_graphs, hidden[0])
        nodes = mlp.finish(mlp.project(nodes, 0) + at_graph.index_select(0, weights.graph))
        mlp = self.global_mlp
        return nodes, mlp.finish(mlp.project(weights.mean(nodes), 0) + mlp.project(globals_, 1) + mlp.first.bias)


class CompositionNetwork(Network):
    """Energy per atom of a compound from the fractions of its elements.

    Attributes:
        config: the shape.
        scale: standard deviation of the training targets, eV/atom, ().
        shift: mean of the training targets, eV/atom, ().
    """

    config: CompositionNetworkConfig

    def __init__(self, config: CompositionNetworkConfig | None = None) -> None:
        """Make a network with random weights, from torch's generator.

        Args:
            config: the shape.
        """
        config = config or CompositionNetworkConfig()
        super().__init__(config)
        width, last = config.hidden[-1], config.n_message_passing - 1
        self.node_embedding = nn.Linear(config.n_elements, width)
        # a single zero, as in the structure network: only the bias acts
        self.global_embedding = nn.Linear(1, width)
        embeddings = [self.node_embedding, self.global_embedding]
        if config.edges:
            self.edge_embedding = nn.Linear(1, width)
            embeddings.append(self.edge_embedding)
        for embedding in embeddings:
            fan_in_normal(embedding)
        outputs = [1 if block == last else width for block in range(config.n_message_passing)]
        self.blocks = nn.ModuleList(
            MessagePassing(width, config.hidden, n, config.mean_coordination)
            if config.edges
            else NodePassing(width, config.hidden, n)
            for n in outputs
        )

    def forward(self, batch: Data) -> Tensor:
        """Energies of a batch of compositions.

        Args:
            batch: from `gnome_torch.graphs.batch_compositions`.

        Returns:
            Energy per atom, eV/atom, (n_graphs,).
        """
        weights = Weights.of(batch)
        nodes: Affine = OneHot(
            batch.numbers - 1, self.node_embedding.weight, self.node_embedding.bias, batch.fractions[:, None]
        )
        nothing = batch.fractions.new_zeros(weights.n_graphs, 1)
        globals_ = Affine(nothing, self.global_embedding.weight, self.global_embedding.bias)
        if self.config.edges:
            # one row for all of them: nothing tells the edges apart before the first block
            edges = Affine(nothing[:1], self.edge_embedding.weight, self.edge_embedding.bias)
            for block in self.blocks:
                nodes, edges, globals_ = block(nodes, edges, globals_, weights)
        else:
            for block in self.blocks:
                nodes, globals_ = block(nodes, globals_, weights)
        return self.scale * globals_.value().squeeze(-1) + self.shift  # (n_graphs,)
