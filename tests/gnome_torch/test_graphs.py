"""Graphs against pymatgen's neighbour search, and every shortcut against a new search."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from torch_geometric.data import Batch

from gnome_torch.graphs import CrystalGraph, batch_graphs, crystal_graph, to_data

torch.set_num_threads(1)

CRYSTALS = {
    "one atom, smaller than the cutoff": Structure(Lattice.hexagonal(2.5, 4.1), ["Mg"], [[0, 0, 0]]),
    "neighbours exactly at the cutoff": Structure(Lattice.cubic(4.0), ["Po"], [[0.1, 0.2, 0.3]]),
    "no neighbour at all": Structure(Lattice.cubic(9.0), ["Xe"], [[0, 0, 0]]),
    "rock salt, primitive": Structure(
        Lattice.from_parameters(3.99, 3.99, 3.99, 60, 60, 60), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    ),
    "triclinic, sites outside the cell": Structure(
        Lattice.from_parameters(3.1, 4.7, 6.3, 71, 83, 112),
        ["Ti", "O", "O", "Ca"],
        [[0.1, 0.2, 0.3], [1.4, -0.3, 0.9], [0.7, 0.8, 2.1], [0.5, 0.1, 0.6]],
    ),
    "skewed": Structure(Lattice([[3, 0, 0], [8.5, 3, 0], [0.3, 7.1, 3]]), ["Fe", "Al"], [[0, 0, 0], [0.4, 0.5, 0.6]]),
}


def edges_of(graph: CrystalGraph) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (2, n_edges) and distances (n_edges,) in the graph's order."""
    return np.stack([graph.senders, graph.receivers]), graph.distances


@pytest.mark.parametrize("cutoff", [3.0, 4.0, 5.7])
@pytest.mark.parametrize("name", CRYSTALS)
def test_same_neighbours_as_pymatgen(name: str, cutoff: float) -> None:
    crystal = CRYSTALS[name]
    senders, receivers, _, distances = crystal.get_neighbor_list(cutoff)
    order = np.lexsort((distances.round(7), receivers, senders))
    graph = crystal_graph(crystal, cutoff)
    pairs, lengths = edges_of(graph)
    np.testing.assert_array_equal(pairs, np.stack([senders, receivers])[:, order])
    np.testing.assert_allclose(lengths, distances[order], atol=1e-7)
    assert graph.volume == pytest.approx(crystal.volume)
    assert list(graph.numbers) == list(crystal.atomic_numbers)


@pytest.mark.parametrize("volume_scale", [0.8, 1.0, 1.2])
@pytest.mark.parametrize("name", CRYSTALS)
def test_scaled_is_a_new_search(name: str, volume_scale: float) -> None:
    crystal = CRYSTALS[name]
    wide = crystal_graph(crystal, 4.0 / 0.8 ** (1 / 3))
    before = wide.distances.copy()
    scaled = wide.scaled(volume_scale ** (1 / 3))
    other = crystal.copy()
    other.scale_lattice(crystal.volume * volume_scale)
    direct = crystal_graph(other)
    np.testing.assert_array_equal(edges_of(scaled)[0], edges_of(direct)[0])
    np.testing.assert_allclose(scaled.distances, direct.distances, atol=1e-9)
    assert scaled.volume == pytest.approx(other.volume)
    np.testing.assert_array_equal(wide.distances, before)


def test_scaled_refuses_an_incomplete_graph() -> None:
    with pytest.raises(ValueError, match=r"build it at 4\.2105 A or more"):
        crystal_graph(CRYSTALS["skewed"], 4.0).scaled(0.95)
    for factor in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="cannot be scaled"):
            crystal_graph(CRYSTALS["skewed"]).scaled(factor)


def test_with_species_shares_the_geometry() -> None:
    graph = crystal_graph(CRYSTALS["rock salt, primitive"])
    other = graph.with_species([12, 8])
    assert list(other.numbers) == [12, 8]
    assert list(graph.numbers) == [11, 17]
    assert other.distances is graph.distances
    with pytest.raises(ValueError, match="3 species for a graph of 2 sites"):
        graph.with_species([1, 2, 3])
    with pytest.raises(ValueError, match="95"):
        graph.with_species([95, 8])


def test_oxidation_states_are_ignored_and_disorder_refused() -> None:
    cell = Lattice.cubic(4.2)
    places = [[0, 0, 0], [0.5, 0.5, 0.5]]
    assert list(crystal_graph(Structure(cell, ["Cs+", "Cl-"], places)).numbers) == [55, 17]
    with pytest.raises(ValueError, match="disordered"):
        crystal_graph(Structure(cell, [{"Cu": 0.5, "Au": 0.5}, "Cl"], places))


def test_batch_is_torch_geometrics_own() -> None:
    graphs = [crystal_graph(crystal) for crystal in CRYSTALS.values()]
    ours, theirs = batch_graphs(graphs), Batch.from_data_list([to_data(graph) for graph in graphs])
    assert ours.num_graphs == theirs.num_graphs == len(graphs)
    assert ours.num_nodes == theirs.num_nodes
    for key in ("numbers", "edge_index", "distances", "batch", "ptr"):
        assert ours[key].dtype == theirs[key].dtype
        assert torch.equal(ours[key], theirs[key]), key
