"""Crystals and compositions as graphs: which atoms are neighbours, at which distance, and batches of such graphs.

A substituted crystal keeps its parent's geometry, so a graph is built once (`crystal_graph`), at the largest cutoff
that will be needed, and then takes other species (`CrystalGraph.with_species`) and other volumes
(`CrystalGraph.scaled`) without another neighbour search.

torch is imported only by the functions that make tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core import Composition, Element, Structure
from vesin import NeighborList

if TYPE_CHECKING:
    from torch_geometric.data import Batch, Data

CUTOFF = 4.0
"""Largest distance between neighbours that the networks see, angstrom."""

CUTOFF_TOLERANCE = 1e-8
"""Atoms this much beyond the cutoff are still neighbours (pymatgen's rule), angstrom: a shell of equal distances that
lies on the cutoff is then kept as a whole, whatever the rounding."""

N_ELEMENTS = 94
"""Elements the networks know: hydrogen to plutonium."""


@dataclass(frozen=True, eq=False)
class CrystalGraph:
    """Directed graph of one crystal: every pair of neighbours twice, periodic images and an atom's own included.

    The arrays are read-only, because graphs of one parent share them.

    Attributes:
        numbers: atomic numbers, (n_atoms,).
        senders: first atom of each edge, (n_edges,); edges are sorted by sender, receiver, distance.
        receivers: second atom of each edge, (n_edges,).
        distances: length of each edge, angstrom, (n_edges,).
        volume: volume of the cell, cubic angstrom.
        cutoff: distance up to which every pair is present, angstrom.
    """

    numbers: np.ndarray
    senders: np.ndarray
    receivers: np.ndarray
    distances: np.ndarray
    volume: float
    cutoff: float

    def __post_init__(self) -> None:
        for array in (self.numbers, self.senders, self.receivers, self.distances):
            array.flags.writeable = False
        if len(self.numbers) == 0:
            raise ValueError("a crystal without atoms has no graph")
        if self.numbers.min() < 1 or self.numbers.max() > N_ELEMENTS:
            unknown = sorted({int(z) for z in self.numbers if not 1 <= z <= N_ELEMENTS})
            raise ValueError(
                f"atomic numbers {unknown}: the networks know 1 to {N_ELEMENTS} (H to Pu); leave this crystal out"
            )

    @property
    def n_atoms(self) -> int:
        return len(self.numbers)

    @property
    def n_edges(self) -> int:
        return len(self.distances)

    def with_species(self, numbers: Sequence[int] | np.ndarray) -> CrystalGraph:
        """The same geometry with other atoms.

        Args:
            numbers: atomic number of each site, in this graph's order, (n_atoms,).
        """
        array = np.array(numbers, dtype=np.int64)
        if array.shape != self.numbers.shape:
            raise ValueError(f"{array.size} species for a graph of {self.n_atoms} sites")
        return replace(self, numbers=array)

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
            self.volume * linear_scale**3,
            cutoff,
        )


def crystal_graph(structure: Structure, cutoff: float = CUTOFF) -> CrystalGraph:
    """Graph of a crystal: the pairs that pymatgen's `Structure.get_neighbor_list` gives.

    Args:
        structure: an ordered crystal; oxidation states are ignored.
        cutoff: largest length of an edge, angstrom.

    Raises:
        ValueError: for a disordered crystal, one with an atom beyond plutonium, or one without atoms.
    """
    reach = cutoff + CUTOFF_TOLERANCE
    neighbours = NeighborList(cutoff=reach, full_list=True, n_threads=1)
    senders, receivers, distances = neighbours.compute(
        points=structure.cart_coords, box=structure.lattice.matrix, periodic=structure.lattice.pbc, quantities="ijd"
    )
    order = np.lexsort((distances, receivers, senders))
    return CrystalGraph(
        atomic_numbers(structure),
        senders[order].astype(np.int64),
        receivers[order].astype(np.int64),
        distances[order].astype(np.float64),
        float(structure.volume),
        cutoff,
    )


def atomic_numbers(structure: Structure) -> np.ndarray:
    """Atomic number of each site, (n_atoms,).

    Raises:
        ValueError: for a site shared by several species, or a species that is no element.
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
        numbers=torch.tensor(graph.numbers),  # (n_atoms,)
        edge_index=torch.tensor(np.stack([graph.senders, graph.receivers])),  # (2, n_edges)
        distances=torch.tensor(graph.distances, dtype=torch.float32),  # (n_edges,) angstrom
        num_nodes=graph.n_atoms,
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
        n_atoms=np.array([graph.n_atoms for graph in graphs]),
        n_edges=np.array([graph.n_edges for graph in graphs]),
    )


def batch_arrays(
    *,
    numbers: np.ndarray,
    senders: np.ndarray,
    receivers: np.ndarray,
    distances: np.ndarray,
    n_atoms: np.ndarray,
    n_edges: np.ndarray,
) -> Batch:
    """Concatenated arrays of several graphs as one torch-geometric batch.

    Args:
        numbers: atomic numbers of all graphs, (sum of n_atoms,).
        senders: first atom of each edge, counted within its own graph, (sum of n_edges,).
        receivers: second atom of each edge, counted within its own graph, (sum of n_edges,).
        distances: length of each edge, angstrom, (sum of n_edges,).
        n_atoms: atoms of each graph, (n_graphs,).
        n_edges: edges of each graph, (n_graphs,).
    """
    import torch
    from torch_geometric.data import Batch

    pointer = np.concatenate([[0], np.cumsum(n_atoms)]).astype(np.int64)
    first_atom = np.repeat(pointer[:-1], n_edges)
    tensors: dict[str, Any] = {
        "numbers": torch.from_numpy(numbers.astype(np.int64)),  # (n_atoms,)
        "edge_index": torch.from_numpy(np.stack([senders + first_atom, receivers + first_atom])),  # (2, n_edges)
        "distances": torch.from_numpy(distances.astype(np.float32)),  # (n_edges,) angstrom
        "batch": torch.from_numpy(np.repeat(np.arange(len(n_atoms)), n_atoms)),  # (n_atoms,) graph of each atom
        "ptr": torch.from_numpy(pointer),  # (n_graphs + 1,) first atom of each graph
    }
    return Batch(num_nodes=int(pointer[-1]), **tensors)


def composition_nodes(composition: Composition) -> tuple[np.ndarray, np.ndarray]:
    """Elements of a composition, in ascending order: atomic numbers and fractions of the atoms, each (n_elements,).

    Raises:
        ValueError: it is empty, or has something that is no element from hydrogen to plutonium.
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

    pointer = np.concatenate([[0], np.cumsum(n_elements)]).astype(np.int64)
    graph = np.repeat(np.arange(len(n_elements)), n_elements)  # (n_nodes,)
    partners = n_elements[graph]  # (n_nodes,)
    senders = np.repeat(np.arange(len(numbers)), partners)
    place = np.arange(len(senders)) - np.repeat(np.cumsum(partners) - partners, partners)
    receivers = pointer[graph[senders]] + place
    other = senders != receivers
    tensors: dict[str, Any] = {
        "numbers": torch.from_numpy(numbers.astype(np.int64)),  # (n_nodes,)
        "fractions": torch.from_numpy(fractions.astype(np.float32)),  # (n_nodes,)
        "edge_index": torch.from_numpy(np.stack([senders[other], receivers[other]])),  # (2, n_edges)
        "batch": torch.from_numpy(graph),  # (n_nodes,) composition of each node
        "ptr": torch.from_numpy(pointer),  # (n_graphs + 1,) first node of each composition
    }
    return Batch(num_nodes=int(pointer[-1]), **tensors)
