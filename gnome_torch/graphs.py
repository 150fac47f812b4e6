"""Crystals and compositions as graphs: which atoms are neighbours, at which distance, and batches of such graphs.

A graph is built once (`crystal_graph`), at the largest cutoff that will be needed; other volumes need no new search
(`CrystalGraph.scaled`), and equivalent atoms are joined (`CrystalGraph.reduced`, `quotient`), which changes no energy.

torch is imported only by the functions that make tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Composition, Element, Structure
from vesin import NeighborList

if TYPE_CHECKING:
    from torch import Tensor
    from torch_geometric.data import Batch, Data

CUTOFF = 4.0
"""Largest distance between neighbours that the networks see, angstrom."""

CUTOFF_TOLERANCE = 1e-8
"""Atoms this much beyond the cutoff are still neighbours (pymatgen's rule), angstrom: a shell of equal distances that
lies on the cutoff is then kept as a whole, whatever the rounding."""

SAME_DISTANCE = 1e-4
"""Distances that differ by less, or by a chain of such steps, are one when equivalent atoms are joined, angstrom."""

N_ELEMENTS = 94
"""Elements the networks know: hydrogen to plutonium."""


@dataclass(frozen=True, eq=False)
class CrystalGraph:
    """Directed graph of one crystal: every pair of neighbours twice, periodic images and an atom's own included.

    A node is an atom, or (`reduced`) several atoms that no network can tell apart. The arrays are read-only, because
    graphs share them.

    Attributes:
        numbers: atomic number of each node, (n_nodes,).
        senders: node each edge leaves, (n_edges,); edges are sorted by sender, receiver, distance.
        receivers: node each edge reaches, (n_edges,).
        distances: length of each edge, angstrom, (n_edges,).
        atoms: atoms of the cell that each node stands for, (n_nodes,).
        pairs: directed pairs of neighbours that each edge stands for, (n_edges,).
        volume: volume of the cell, cubic angstrom.
        cutoff: distance up to which every pair is present, angstrom.
    """

    numbers: np.ndarray
    senders: np.ndarray
    receivers: np.ndarray
    distances: np.ndarray
    atoms: np.ndarray
    pairs: np.ndarray
    volume: float
    cutoff: float

    def __post_init__(self) -> None:
        for array in (self.numbers, self.senders, self.receivers, self.distances, self.atoms, self.pairs):
            array.flags.writeable = False
        if len(self.numbers) == 0:
            raise ValueError("a crystal without atoms has no graph")
        if self.numbers.min() < 1 or self.numbers.max() > N_ELEMENTS:
            unknown = sorted({int(z) for z in self.numbers if not 1 <= z <= N_ELEMENTS})
            raise ValueError(
                f"atomic numbers {unknown}: the networks know 1 to {N_ELEMENTS} (H to Pu); leave this crystal out"
            )

    @property
    def n_nodes(self) -> int:
        """Nodes: atoms, or classes of equivalent ones."""
        return len(self.numbers)

    @property
    def n_atoms(self) -> int:
        """Atoms of the cell."""
        return int(self.atoms.sum())

    @property
    def n_edges(self) -> int:
        """Edges, each direction counted."""
        return len(self.distances)

    def scaled(self, linear_scale: float, cutoff: float = CUTOFF) -> CrystalGraph:
        """The same crystal with every length multiplied, cut at `cutoff`.

        Args:
            linear_scale: factor of lengths: the cube root of the factor of volumes.
            cutoff: largest length of an edge after scaling, angstrom.

        Raises:
            ValueError: if this graph was built at too small a cutoff for it to be complete afterwards.
        """
        if not 0 < linear_scale < float("inf"):
            raise ValueError(f"a length cannot be scaled by {linear_scale}")
        if self.cutoff * linear_scale < cutoff - CUTOFF_TOLERANCE:
            raise ValueError(
                f"a graph built at {self.cutoff:.4f} A and scaled by {linear_scale:.4f} is not complete to "
                f"{cutoff:.4f} A: build it at {cutoff / linear_scale:.4f} A or more"
            )
        distances = self.distances * linear_scale
        kept = distances <= cutoff + CUTOFF_TOLERANCE
        return CrystalGraph(
            self.numbers,
            self.senders[kept],
            self.receivers[kept],
            distances[kept],
            self.atoms,
            self.pairs[kept],
            self.volume * linear_scale**3,
            cutoff,
        )

    def reduced(self) -> CrystalGraph:
        """The same crystal with its equivalent atoms joined; every network gives the same energy, in less time.

        Two atoms are joined if they have the same element and as many neighbours of each kind at each distance, kind
        meaning joined again: the coarsest equitable partition (colour refinement), at least as coarse as the orbits of
        the space group. A network sees a crystal through its edges alone, so joined atoms get the same features in
        every block, and one edge with its number stands for all alike. A supercell becomes its primitive cell.
        """
        return quotient(self, self.numbers)[0]


def quotient(graph: CrystalGraph, labels: np.ndarray) -> tuple[CrystalGraph, np.ndarray]:
    """Join the equivalent atoms of a crystal for all ways to put elements on its sites that follow `labels`.

    Args:
        graph: a crystal whose nodes are atoms.
        labels: a label for each site, (n_atoms,): sites of one label will hold one element.

    Returns:
        The joined graph (with the elements that `graph` has on each node's first site), and the first site of each
        node, (n_nodes,).

    Raises:
        ValueError: nodes of the graph stand for several atoms.
    """
    if graph.n_nodes < graph.n_atoms:
        raise ValueError("atoms of this graph are joined already: start from one whose nodes are atoms")
    shells = _shells(graph.distances)
    kinds = _equivalent(labels, graph.senders, graph.receivers, shells)
    _, sites, atoms = np.unique(kinds, return_index=True, return_counts=True)
    n_shells = int(shells.max(initial=0)) + 1
    code = (kinds[graph.senders] * len(sites) + kinds[graph.receivers]) * n_shells + shells
    _, first, edge, pairs = np.unique(code, return_index=True, return_inverse=True, return_counts=True)
    joined = CrystalGraph(
        graph.numbers[sites],
        kinds[graph.senders[first]],
        kinds[graph.receivers[first]],
        np.bincount(edge, graph.distances, len(first)) / np.maximum(pairs, 1),
        atoms.astype(np.int64),
        pairs.astype(np.int64),
        graph.volume,
        graph.cutoff,
    )
    return joined, sites


def _shells(distances: np.ndarray) -> np.ndarray:
    """Number of the shell of each distance, (n_edges,): a shell ends where no other distance is within tolerance."""
    order = np.argsort(distances, kind="stable")
    steps = np.diff(distances[order], prepend=distances[order[:1]]) > SAME_DISTANCE
    shells = np.empty(len(distances), dtype=np.int64)
    shells[order] = np.cumsum(steps)
    return shells


def _equivalent(labels: np.ndarray, senders: np.ndarray, receivers: np.ndarray, shells: np.ndarray) -> np.ndarray:
    """Kind of each atom, (n_atoms,), from 0 in the order of the labels."""
    _, kinds = np.unique(labels, return_inverse=True)
    n_shells = int(shells.max(initial=0)) + 1
    # the neighbours of an atom as a multiset are known by the sum of a random number for each kind of neighbour
    rng = np.random.default_rng(0)
    while True:
        _, neighbour = np.unique(kinds[receivers] * n_shells + shells, return_inverse=True)
        marks = rng.integers(2**63, size=int(neighbour.max(initial=0)) + 1, dtype=np.uint64)
        surroundings = np.zeros(len(labels), dtype=np.uint64)
        np.add.at(surroundings, senders, marks[neighbour])
        order = np.lexsort((surroundings, kinds))
        changes = (np.diff(kinds[order]) != 0) | (np.diff(surroundings[order]) != 0)
        finer = np.empty_like(kinds)
        finer[order] = np.concatenate([[0], np.cumsum(changes)])
        if finer.max() == kinds.max():
            return kinds
        kinds = finer


def crystal_graph(structure: Structure, cutoff: float = CUTOFF) -> CrystalGraph:
    """Graph of a crystal, a node for each atom: the pairs that pymatgen's `Structure.get_neighbor_list` gives.

    Args:
        structure: an ordered crystal; oxidation states are ignored.
        cutoff: largest length of an edge, angstrom.

    Raises:
        ValueError: for a disordered crystal, one with an atom beyond plutonium, or one without atoms.
    """
    return graph_of(
        atomic_numbers(structure), structure.lattice.matrix, structure.cart_coords, cutoff, structure.lattice.pbc
    )


def graph_of(
    numbers: np.ndarray,
    matrix: np.ndarray,
    cart_coords: np.ndarray,
    cutoff: float = CUTOFF,
    periodic: Sequence[bool] = (True, True, True),
) -> CrystalGraph:
    """`crystal_graph` from arrays.

    Args:
        numbers: atomic number of each site, (n_atoms,).
        matrix: lattice vectors in rows, angstrom, (3, 3).
        cart_coords: angstrom, (n_atoms, 3).
        cutoff: largest length of an edge, angstrom.
        periodic: which lattice vectors repeat.
    """
    neighbours = NeighborList(cutoff=cutoff + CUTOFF_TOLERANCE, full_list=True, n_threads=1)
    senders, receivers, distances = neighbours.compute(
        points=cart_coords, box=matrix, periodic=periodic, quantities="ijd"
    )
    order = np.lexsort((distances, receivers, senders))
    return CrystalGraph(
        np.array(numbers, dtype=np.int64),
        senders[order].astype(np.int64),
        receivers[order].astype(np.int64),
        distances[order].astype(np.float64),
        np.ones(len(numbers), dtype=np.int64),
        np.ones(len(distances), dtype=np.int64),
        float(abs(np.linalg.det(matrix))),
        cutoff,
    )


def atomic_numbers(structure: Structure) -> np.ndarray:
    """Atomic number of each site, (n_atoms,).

    Raises:
        ValueError: for a site shared by several species, or a species that is not an element.
    """
    if not structure.is_ordered:
        raise ValueError(f"{structure.formula} is disordered: the networks need one element on each site")
    try:
        return np.array([Element(site.specie.symbol).Z for site in structure], dtype=np.int64)
    except ValueError as error:
        raise ValueError(f"{structure.formula}: {error}") from error


def to_data(graph: CrystalGraph) -> Data:
    """One graph as torch-geometric data, with the keys of `batch_graphs`."""
    import torch
    from torch_geometric.data import Data

    return Data(
        numbers=torch.tensor(graph.numbers),  # (n_nodes,)
        edge_index=torch.tensor(np.stack([graph.senders, graph.receivers])),  # (2, n_edges)
        distances=torch.tensor(graph.distances, dtype=torch.float32),  # (n_edges,) angstrom
        atoms=torch.tensor(graph.atoms, dtype=torch.float32),  # (n_nodes,) atoms that a node stands for
        pairs=torch.tensor(graph.pairs, dtype=torch.float32),  # (n_edges,) pairs that an edge stands for
        num_nodes=graph.n_nodes,
    )


def batch_graphs(graphs: Sequence[CrystalGraph]) -> Batch:
    """Graphs side by side, as `Batch.from_data_list` of `to_data` gives them, but in one pass over the arrays.

    Args:
        graphs: at least one.
    """
    return batch_arrays(
        numbers=np.concatenate([graph.numbers for graph in graphs]),
        senders=np.concatenate([graph.senders for graph in graphs]),
        receivers=np.concatenate([graph.receivers for graph in graphs]),
        distances=np.concatenate([graph.distances for graph in graphs]),
        atoms=np.concatenate([graph.atoms for graph in graphs]),
        pairs=np.concatenate([graph.pairs for graph in graphs]),
        n_nodes=np.array([graph.n_nodes for graph in graphs]),
        n_edges=np.array([graph.n_edges for graph in graphs]),
    )


def batch_arrays(
    *,
    numbers: np.ndarray,
    senders: np.ndarray,
    receivers: np.ndarray,
    distances: np.ndarray,
    atoms: np.ndarray,
    pairs: np.ndarray,
    n_nodes: np.ndarray,
    n_edges: np.ndarray,
) -> Batch:
    """Concatenated arrays of several graphs as one torch-geometric batch.

    Args:
        numbers: atomic number of each node of all graphs, (sum of n_nodes,).
        senders: node each edge leaves, counted within its own graph, (sum of n_edges,).
        receivers: node each edge reaches, counted within its own graph, (sum of n_edges,).
        distances: length of each edge, angstrom, (sum of n_edges,).
        atoms: atoms that each node stands for, (sum of n_nodes,).
        pairs: pairs of atoms that each edge stands for, (sum of n_edges,).
        n_nodes: nodes of each graph, (n_graphs,).
        n_edges: edges of each graph, (n_graphs,).
    """
    import torch
    from torch_geometric.data import Batch

    pointer = np.concatenate([[0], np.cumsum(n_nodes)]).astype(np.int64)
    first_node = np.repeat(pointer[:-1], n_edges)
    tensors = {
        "numbers": torch.from_numpy(numbers.astype(np.int64)),  # (n_nodes,)
        "edge_index": torch.from_numpy(np.stack([senders + first_node, receivers + first_node])),  # (2, n_edges)
        "distances": torch.from_numpy(distances.astype(np.float32)),  # (n_edges,) angstrom
        "atoms": torch.from_numpy(atoms.astype(np.float32)),  # (n_nodes,) atoms that a node stands for
        "pairs": torch.from_numpy(pairs.astype(np.float32)),  # (n_edges,) pairs that an edge stands for
        "batch": torch.from_numpy(np.repeat(np.arange(len(n_nodes)), n_nodes)),  # (n_nodes,) graph of each node
        "ptr": torch.from_numpy(pointer),  # (n_graphs + 1,) first node of each graph
    }
    return Batch(num_nodes=int(pointer[-1]), **tensors)


def composition_nodes(composition: Composition) -> tuple[np.ndarray, np.ndarray]:
    """Elements of a composition, in ascending order: atomic numbers and fractions of the atoms, each (n_elements,).

    Raises:
        ValueError: it is empty, or has something that is not an element from hydrogen to plutonium.
    """
    amounts = {getattr(species, "Z", 0): amount for species, amount in composition.element_composition.items()}
    if not amounts or not all(1 <= z <= N_ELEMENTS for z in amounts):
        raise ValueError(f"{composition.formula or 'nothing'}: the networks know compounds of H to Pu; leave it out")
    numbers = np.array(sorted(amounts), dtype=np.int64)
    counts = np.array([amounts[z] for z in numbers.tolist()], dtype=np.float64)
    return numbers, counts / counts.sum()


def batch_compositions(numbers: np.ndarray, fractions: np.ndarray, n_elements: np.ndarray) -> Batch:
    """Compositions as one torch-geometric batch: a node for each element, every ordered pair of them an edge.

    Args:
        numbers: atomic numbers of all nodes, (sum of n_elements,).
        fractions: fraction of the atoms of each, (sum of n_elements,).
        n_elements: elements of each composition, (n_graphs,).
    """
    import torch
    from torch_geometric.data import Batch

    counts = torch.from_numpy(n_elements.astype(np.int64))
    pointer = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    graph = torch.arange(len(counts)).repeat_interleave(counts)  # (n_nodes,)
    tensors = {
        "numbers": torch.from_numpy(numbers.astype(np.int64)),  # (n_nodes,)
        "fractions": torch.from_numpy(fractions.astype(np.float32)),  # (n_nodes,)
        "edge_index": pairs_within(pointer, graph),  # (2, n_edges)
        "batch": graph,  # (n_nodes,) composition of each node
        "ptr": pointer,  # (n_graphs + 1,) first node of each composition
    }
    return Batch(num_nodes=len(numbers), **tensors)


def pairs_within(pointer: Tensor, graph: Tensor) -> Tensor:
    """Every ordered pair of different nodes of one graph, (2, n_pairs).

    Args:
        pointer: first node of each graph, and the number of nodes, (n_graphs + 1,).
        graph: graph of each node, (n_nodes,).
    """
    import torch

    partners = pointer.diff()[graph]  # (n_nodes,)
    senders = torch.arange(len(graph), device=graph.device).repeat_interleave(partners)
    place = torch.arange(len(senders), device=graph.device) - (partners.cumsum(0) - partners)[senders]
    receivers = pointer[graph[senders]] + place
    other = senders != receivers
    return torch.stack([senders[other], receivers[other]])
