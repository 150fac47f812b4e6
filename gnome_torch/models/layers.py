"""What the networks are made of: MLPs of several inputs, sums over neighbours, and one block of message passing."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch_geometric.data import Data


class BetaSwish(nn.Module):
    """x * sigmoid(beta * x) with one learned beta for each feature."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.ones(features))  # (features,)

    def forward(self, x: Tensor) -> Tensor:
        """The function of every feature, of the shape of `x`."""
        if torch.is_grad_enabled():
            return x * torch.sigmoid(self.beta * x)
        return (self.beta * x).sigmoid_().mul_(x)  # the same in less memory


@dataclass(frozen=True)
class Affine:
    """Rows of features whose last linear layer is not multiplied out: x @ weight.T + amount * bias.

    The last layer of an MLP is linear, sums over edges and means over atoms are linear, and so is what the next MLP
    does first. So the layers meet as one small product of weights, and the layer itself is never applied to a row: the
    same numbers with less than half of the operations.

    Attributes:
        x: (rows, inner), or one row for all.
        weight: (width, inner).
        bias: (width,).
        amount: how often the bias counts, (rows, 1); None for once.
    """

    x: Tensor
    weight: Tensor
    bias: Tensor
    amount: Tensor | None = None

    def through(self, weight: Tensor) -> Tensor:
        """The product of the rows with a weight (out, width): (rows, out)."""
        bias = weight @ self.bias
        if self.amount is None:
            return functional.linear(self.x, weight @ self.weight, bias)
        return functional.linear(self.x, weight @ self.weight).add_(self.amount * bias)

    def value(self) -> Tensor:
        """The rows themselves, (rows, width).

        In the precision of the weights also under autocast: energies are sums of larger terms of both signs.
        """
        with torch.autocast(self.x.device.type, enabled=False):
            rows = functional.linear(self.x.to(self.weight.dtype), self.weight)
            return rows + (self.bias if self.amount is None else self.amount * self.bias)


@dataclass(frozen=True)
class OneHot(Affine):
    """Embedded elements: x holds the row of each node's element (rows,), amount what its one-hot is multiplied with."""

    def through(self, weight: Tensor) -> Tensor:
        """One product for each element that there is, not for each node."""
        rows = (weight @ self.weight).t().index_select(0, self.x)
        return (rows if self.amount is None else self.amount * rows) + weight @ self.bias


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

    def project(self, rows: Affine, which: int) -> Tensor:
        """Product of input number `which` with its part of the first weight, (rows, widths[0])."""
        start = sum(self.inputs[:which])
        return rows.through(self.first.weight[:, start : start + self.inputs[which]])

    def finish(self, projected: Tensor) -> Affine:
        """The output, from the sum of all projections and the first bias.

        Args:
            projected: (rows, widths[0]).

        Returns:
            Rows of widths[-1] features.
        """
        x = self.activations[0](projected)
        for activation, layer in zip(self.activations[1:], self.layers[:-1], strict=True):
            x = activation(layer(x))
        last: Any = self.layers[-1]
        return Affine(x, last.weight, last.bias)


@dataclass(frozen=True)
class Weights:
    """What stands for what in a batch, made once for all blocks.

    A node stands for one or more equivalent atoms, an edge for one or more equivalent pairs of them
    (`CrystalGraph.reduced`).

    Attributes:
        senders: node an edge leaves, (n_edges,).
        receivers: node an edge reaches, (n_edges,).
        graph: graph of each node, (n_nodes,).
        n_graphs: graphs in the batch.
        pairs: pairs of atoms that an edge stands for, (n_edges, 1); None if one each.
        per_atom: one over the number of atoms of each node, (n_nodes, 1); None if one each.
        share: part of its graph's atoms that each node stands for, (n_nodes, 1).
        sent: edges that an atom of each node sends, (n_nodes, 1).
        received: edges that it receives, (n_nodes, 1).
    """

    senders: Tensor
    receivers: Tensor
    graph: Tensor
    n_graphs: int
    pairs: Tensor | None
    per_atom: Tensor | None
    share: Tensor
    sent: Tensor
    received: Tensor

    @classmethod
    def of(cls, batch: Data) -> Weights:
        """Those of a batch; without `atoms` and `pairs` each node is an atom."""
        senders, receivers = batch.edge_index  # (n_edges,), (n_edges,)
        n_nodes, n_graphs = len(batch.batch), len(batch.ptr) - 1
        atoms, pairs = batch.get("atoms"), batch.get("pairs")
        ones = torch.ones(n_nodes, 1, device=senders.device)
        some = ones if atoms is None else atoms[:, None].to(ones.dtype)  # (n_nodes, 1)
        many = torch.ones(len(senders), 1, device=senders.device) if pairs is None else pairs[:, None].to(ones.dtype)
        total = ones.new_zeros(n_graphs, 1).index_add(0, batch.batch, some)  # (n_graphs, 1)
        nothing = ones.new_zeros(n_nodes, 1)
        return cls(
            senders,
            receivers,
            batch.batch,
            n_graphs,
            None if pairs is None else many,
            None if atoms is None else 1.0 / some,
            some / total.index_select(0, batch.batch),
            nothing.index_add(0, senders, many) / some,
            nothing.index_add(0, receivers, many) / some,
        )

    def sums(self, edges: Affine, divisor: float) -> tuple[Affine, Affine]:
        """Sums of the edges that an atom of each node sends, and of those it receives, both over a divisor."""
        # under autocast too, sums are made in the precision of the weights
        x = edges.x.to(self.share.dtype) if self.pairs is None else edges.x * self.pairs
        zeros = x.new_zeros(len(self.graph), x.shape[1])
        sent, received = (zeros.index_add(0, ends, x) / divisor for ends in (self.senders, self.receivers))
        if self.per_atom is not None:
            sent, received = sent * self.per_atom, received * self.per_atom
        return (
            Affine(sent, edges.weight, edges.bias, self.sent / divisor),
            Affine(received, edges.weight, edges.bias, self.received / divisor),
        )

    def mean(self, nodes: Affine) -> Affine:
        """Mean over the atoms of each graph."""
        amount = None if nodes.amount is None else self._mean(nodes.amount)
        return Affine(self._mean(nodes.x), nodes.weight, nodes.bias, amount)

    def _mean(self, rows: Tensor) -> Tensor:
        weighted = rows * self.share
        return weighted.new_zeros(self.n_graphs, rows.shape[1]).index_add(0, self.graph, weighted)


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
        self, nodes: Affine, edges: Affine, globals_: Affine, weights: Weights
    ) -> tuple[Affine, Affine, Affine]:
        """Update every feature once.

        Args:
            nodes: n_nodes rows of width features.
            edges: n_edges rows.
            globals_: n_graphs rows.
            weights: of the batch.

        Returns:
            New nodes (hidden[-1] features), edges (hidden[-1]) and globals (n_global).
        """
        mlp = self.edge_mlp
        # the two ends of an edge are in one graph: the global term rides on the sender's
        at_graph = mlp.project(globals_, 3) + mlp.first.bias  # (n_graphs, hidden[0])
        at_sender = mlp.project(nodes, 1) + at_graph.index_select(0, weights.graph)  # (n_nodes, hidden[0])
        at_receiver = mlp.project(nodes, 2)  # (n_nodes, hidden[0])
        ends = at_sender.index_select(0, weights.senders).add_(at_receiver.index_select(0, weights.receivers))
        edges = mlp.finish(ends.add_(mlp.project(edges, 0)))

        sent, received = weights.sums(edges, self.mean_coordination)
        mlp = self.node_mlp
        at_graph = mlp.project(globals_, 3) + mlp.first.bias
        nodes = mlp.finish(
            mlp.project(nodes, 0)
            + mlp.project(sent, 1)
            + mlp.project(received, 2)
            + at_graph.index_select(0, weights.graph)
        )

        # every edge is sent by one atom: their sum over a crystal is the sum of `sent` over its atoms
        mlp = self.global_mlp
        globals_ = mlp.finish(
            mlp.project(weights.mean(nodes), 0)
            + mlp.project(weights.mean(sent), 1)
            + mlp.project(globals_, 2)
            + mlp.first.bias
        )
        return nodes, edges, globals_


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
