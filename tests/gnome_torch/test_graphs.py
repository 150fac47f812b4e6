"""Graphs against pymatgen's neighbour search, and every shortcut against a new search."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from torch_geometric.data import Batch

from gnome_torch.graphs import CrystalGraph, batch_graphs, crystal_graph, quotient, to_data
from gnome_torch.models.structure import StructureNetwork, StructureNetworkConfig

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
    for key in ("numbers", "edge_index", "distances", "atoms", "pairs", "batch", "ptr"):
        assert ours[key].dtype == theirs[key].dtype
        assert torch.equal(ours[key], theirs[key]), key


PEROVSKITE = Structure.from_spacegroup(
    "Pm-3m", Lattice.cubic(3.9), ["Ca", "Ti", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
)


def test_equivalent_atoms_are_joined() -> None:
    graph = crystal_graph(PEROVSKITE).reduced()
    assert sorted(zip(graph.numbers.tolist(), graph.atoms.tolist(), strict=True)) == [(8, 3), (20, 1), (22, 1)]
    # pairs within 4 A, by hand: Ca-O and O-O at a/sqrt2, Ca-Ti at a*sqrt3/2, Ti-O at a/2, and each to its image at a
    found = {
        (int(graph.numbers[i]), int(graph.numbers[j]), round(d, 3)): int(n)
        for i, j, d, n in zip(graph.senders, graph.receivers, graph.distances, graph.pairs, strict=True)
    }
    half, diagonal, long = 1.95, round(3.9 / 2**0.5, 3), round(3.9 * 3**0.5 / 2, 3)
    expected = {(20, 20, 3.9): 6, (22, 22, 3.9): 6, (8, 8, 3.9): 18, (8, 8, diagonal): 24}
    for a, b, d, n in [(20, 8, diagonal, 12), (20, 22, long, 8), (22, 8, half, 6)]:
        expected |= {(a, b, d): n, (b, a, d): n}
    assert found == expected
    assert graph.volume == pytest.approx(3.9**3)
    assert graph.n_atoms == 5


@pytest.mark.parametrize("name", CRYSTALS)
def test_a_supercell_is_joined_to_its_primitive_cell(name: str) -> None:
    crystal = CRYSTALS[name]
    one = crystal_graph(crystal).reduced()
    many = crystal_graph(crystal.make_supercell([2, 1, 3], in_place=False)).reduced()
    assert many.n_atoms == 6 * one.n_atoms
    assert many.atoms.sum() == 6 * one.atoms.sum()
    assert many.pairs.sum() == 6 * one.pairs.sum()
    assert (many.n_nodes, many.n_edges) == (one.n_nodes, one.n_edges)
    np.testing.assert_allclose(np.sort(many.distances), np.sort(one.distances), atol=1e-6)


@pytest.mark.parametrize("volume_scale", [0.8, 1.0, 1.2])
def test_a_network_sees_no_difference(volume_scale: float) -> None:
    torch.manual_seed(0)
    network = StructureNetwork(StructureNetworkConfig(hidden=(24, 16))).eval()
    rng = np.random.default_rng(0)
    crystals = [PEROVSKITE, PEROVSKITE.make_supercell([2, 1, 1], in_place=False), *CRYSTALS.values()]
    for crystal in list(crystals):  # symmetry broken by the elements, and by displacements beyond the tolerance
        crystals.append(Structure(crystal.lattice, rng.choice([3, 8, 12], len(crystal)), crystal.frac_coords))
        crystals.append(crystals[-1].copy().perturb(0.01))
    wide = [crystal_graph(crystal, 4.0 / 0.8 ** (1 / 3)) for crystal in crystals]
    joined = [graph.reduced() for graph in wide]
    assert sum(graph.n_edges for graph in joined) < 0.7 * sum(graph.n_edges for graph in wide)
    scale = volume_scale ** (1 / 3)
    with torch.no_grad():
        expected = network(batch_graphs([graph.scaled(scale) for graph in wide]))
        found = network(batch_graphs([graph.scaled(scale) for graph in joined]))
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


def test_sites_that_will_differ_are_not_joined() -> None:
    graph = crystal_graph(PEROVSKITE)
    labels = np.array([0, 1, 2, 2, 3])
    joined, sites = quotient(graph, labels)
    assert sites.tolist() == [0, 1, 2, 4]
    assert joined.atoms.tolist() == [1, 1, 2, 1]
    assert joined.numbers.tolist() == [20, 22, 8, 8]
    with pytest.raises(ValueError, match="joined already"):
        joined.reduced()
    assert sorted(quotient(graph, np.zeros(5))[1].tolist()) == [0, 1, 2]  # geometry alone: three kinds of place
