"""The structure network as it is written down: the reference that the benchmarks compare with, and nothing else.

Every concatenation is made, every layer is applied to every edge, every atom is a node of its own. The weights are
those of `gnome_torch.models.structure.StructureNetwork`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from pymatgen.core import Structure
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Batch

from gnome_torch.graphs import CUTOFF, CrystalGraph, batch_graphs, crystal_graph
from gnome_torch.models.layers import ConcatenatedMLP
from gnome_torch.models.structure import StructureNetwork


class PlainNetwork(nn.Module):
    """The same energies as a structure network, from the same parameters, the long way."""

    def __init__(self, network: StructureNetwork) -> None:
        super().__init__()
        self.network: Any = network

    def forward(self, batch: Batch) -> Tensor:
        """Energy per atom, eV/atom, (n_graphs,), of a batch whose nodes are single atoms."""
        net, config = self.network, self.network.config
        senders, receivers = batch.edge_index
        graph, n_graphs = batch.batch, len(batch.ptr) - 1
        atoms = batch.ptr.diff().to(torch.float32)[:, None]  # (n_graphs, 1)
        one_hot = functional.one_hot(batch.numbers - 1, config.n_elements).to(torch.float32)
        v, e = net.node_embedding(one_hot), net.edge_embedding(net.gaussians(batch.distances))
        u = net.global_embedding(v.new_zeros(n_graphs, 1))
        for block in net.blocks:
            e = _mlp(block.edge_mlp, e, v[senders], v[receivers], u[graph[senders]])
            zeros = v.new_zeros(len(v), e.shape[1])
            sent = zeros.index_add(0, senders, e) / config.mean_coordination
            received = zeros.index_add(0, receivers, e) / config.mean_coordination
            v = _mlp(block.node_mlp, v, sent, received, u[graph])
            means = [u.new_zeros(n_graphs, x.shape[1]).index_add(0, graph, x) / atoms for x in (v, sent)]
            u = _mlp(block.global_mlp, *means, u)
        return net.scale * u.squeeze(-1) + net.shift


def _mlp(mlp: ConcatenatedMLP, *inputs: Tensor) -> Tensor:
    x = mlp.first(torch.cat(inputs, dim=-1))
    for activation, layer in zip(mlp.activations, mlp.layers, strict=True):
        x = layer(activation(x))
    return x


@torch.no_grad()
def predict_plainly(
    members: Sequence[PlainNetwork],
    crystals: Sequence[Structure],
    volume_scales: np.ndarray,
    batch_edges: int = 32_768,
    device: str = "cpu",
) -> np.ndarray:
    """Energies of crystals at several volumes, (n_members, n, n_volumes), eV/atom: a graph for each."""
    waiting: list[CrystalGraph] = []
    size = 0
    parts: list[np.ndarray] = []

    def evaluate() -> None:
        batch = batch_graphs(waiting).to(device)
        parts.append(np.stack([member(batch).double().cpu().numpy() for member in members]))

    smallest = float(np.cbrt(volume_scales.min()))
    for crystal in crystals:
        graph = crystal_graph(crystal, CUTOFF / smallest)
        for scale in volume_scales:
            waiting.append(graph.scaled(float(np.cbrt(scale))))
            size += waiting[-1].n_edges
            if size >= batch_edges:
                evaluate()
                waiting, size = [], 0
    if waiting:
        evaluate()
    return np.concatenate(parts, axis=1).reshape(len(members), len(crystals), len(volume_scales))


def products_per_second(device: str = "cpu", dtype: torch.dtype = torch.float32, rows: int = 16_384) -> float:
    """Floating-point operations a second of a product (rows, 256) x (256, 256), as the networks make them."""
    import time

    a, b = torch.randn(rows, 256, device=device, dtype=dtype), torch.randn(256, 256, device=device, dtype=dtype)

    def wait() -> None:
        if device.startswith("cuda"):
            torch.cuda.synchronize()

    for _ in range(5):
        a @ b
    wait()
    start, n = time.perf_counter(), 0
    while time.perf_counter() - start < 1.0:
        for _ in range(20):
            a @ b
        wait()
        n += 20
    return 2.0 * n * rows * 256 * 256 / (time.perf_counter() - start)
