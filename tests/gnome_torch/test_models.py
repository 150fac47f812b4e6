"""One contract for every network, the released definition's size, and saved models."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from pymatgen.core import Composition, Lattice, Structure
from torch import nn
from torch.nn import functional
from torch_geometric.data import Batch

from gnome_torch.graphs import batch_compositions, batch_graphs, composition_nodes, crystal_graph
from gnome_torch.models.checkpoint import CheckpointError, load_metrics, load_model, save_model
from gnome_torch.models.composition import CompositionNetwork, CompositionNetworkConfig
from gnome_torch.models.ensemble import Ensemble
from gnome_torch.models.layers import ConcatenatedMLP
from gnome_torch.models.structure import StructureNetwork, StructureNetworkConfig

torch.set_num_threads(1)


def small_structure_network() -> nn.Module:
    torch.manual_seed(3)
    model = StructureNetwork(StructureNetworkConfig(hidden=(24, 16)))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("beta", "bias")):
                parameter.add_(0.3 * torch.randn_like(parameter))
    model.standardise(-1.5, 0.7)
    return model.eval()


def small_composition_network(edges: bool = False) -> nn.Module:
    torch.manual_seed(4)
    model = CompositionNetwork(CompositionNetworkConfig(hidden=(24, 16), edges=edges))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("beta", "bias")):
                parameter.add_(0.3 * torch.randn_like(parameter))
    model.standardise(-1.5, 0.7)
    return model.eval()


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "structure": small_structure_network,
    "composition": small_composition_network,
    "composition with edges": partial(small_composition_network, edges=True),
}


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> nn.Module:
    return NETWORKS[request.param]()


def crystals() -> list[Structure]:
    """Generic coordinates: no pair of atoms lies at the cutoff, where rounding would decide."""
    rng = np.random.default_rng(0)
    return [
        Structure(Lattice.hexagonal(2.53, 4.17), ["Mg"], [[0, 0, 0]]),  # one atom, smaller than the cutoff
        Structure(Lattice.from_parameters(3.31, 4.73, 6.37, 71, 83, 112), ["Ti", "O", "O", "Ca"], rng.random((4, 3))),
        Structure(Lattice.cubic(9.0), ["Xe"], [[0, 0, 0]]),  # no edge
        Structure(Lattice.orthorhombic(4.37, 5.11, 6.29), ["Na", "Cl", "Cl", "Fe", "S"], rng.random((5, 3))),
    ]


def energies(model: nn.Module, structures: list[Structure]) -> np.ndarray:
    """Energy per atom, (n_structures,)."""
    with torch.no_grad():
        return model(inputs(model, structures)).numpy()


def inputs(model: nn.Module, structures: list[Structure]) -> Batch:
    """What the network takes for these crystals."""
    if isinstance(model, CompositionNetwork):
        numbers, fractions = zip(*(composition_nodes(s.composition) for s in structures), strict=True)
        counts = np.array([len(some) for some in numbers])
        return batch_compositions(np.concatenate(numbers), np.concatenate(fractions), counts)
    return batch_graphs([crystal_graph(structure) for structure in structures])


def test_shapes(network: nn.Module) -> None:
    values = energies(network, crystals())
    assert values.shape == (4,)
    assert np.all(np.isfinite(values))
    assert len(set(values.round(5))) == 4


def test_batch_equals_single(network: nn.Module) -> None:
    single = np.concatenate([energies(network, [crystal]) for crystal in crystals()])
    np.testing.assert_allclose(energies(network, crystals()), single, atol=1e-5)
    np.testing.assert_allclose(energies(network, crystals()[::-1]), single[::-1], atol=1e-5)


def test_order_of_sites(network: nn.Module) -> None:
    shuffled = [Structure.from_sites([crystal[i] for i in reversed(range(len(crystal)))]) for crystal in crystals()]
    np.testing.assert_allclose(energies(network, shuffled), energies(network, crystals()), atol=1e-5)


def test_rotation_and_translation(network: nn.Module) -> None:
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    moved = [
        Structure(c.lattice.matrix @ rotation.T, c.species, c.frac_coords + np.array([0.31, -1.7, 0.05]))
        for c in crystals()
    ]
    np.testing.assert_allclose(energies(network, moved), energies(network, crystals()), atol=1e-5)


@pytest.mark.parametrize("cell", [[2, 1, 1], [1, 2, 3], [[1, 1, 0], [0, 1, 0], [0, -1, 2]]])
def test_supercell_has_the_same_energy_per_atom(network: nn.Module, cell: list) -> None:
    large = [crystal.make_supercell(cell, in_place=False) for crystal in crystals()]
    np.testing.assert_allclose(energies(network, large), energies(network, crystals()), atol=1e-5)


def test_elements_and_distances_matter(network: nn.Module) -> None:
    crystal = crystals()[1]
    replaced, denser = crystal.copy(), crystal.copy()
    replaced.replace(1, "S")
    denser.scale_lattice(crystal.volume * 0.9)
    values = energies(network, [crystal, replaced, denser])
    assert abs(values[0] - values[1]) > 1e-4
    if isinstance(network, CompositionNetwork):
        assert values[0] == pytest.approx(values[2], abs=1e-5)
    else:
        assert abs(values[0] - values[2]) > 1e-4


def test_input_is_not_changed(network: nn.Module) -> None:
    structures = crystals()
    batch = inputs(network, structures)
    before = {key: batch[key].clone() for key in batch.keys() if torch.is_tensor(batch[key])}  # noqa: SIM118
    network(batch)
    assert structures == crystals()
    for key, value in before.items():
        assert torch.equal(batch[key], value), key


def test_gradients_are_finite_and_reach_every_weight(network: nn.Module) -> None:
    network(inputs(network, crystals())).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.all(torch.isfinite(parameter.grad)), name


def test_saved_model_is_the_same_model(network: nn.Module, tmp_path: Path) -> None:
    directory = tmp_path / "made" / "model"
    save_model(directory, network, {"test_mae": 0.1, "seed": 3})
    save_model(directory, network, {"test_mae": None, "seed": 4})  # a rerun replaces it
    assert sorted(path.name for path in directory.iterdir()) == ["config.json", "metrics.json", "weights.safetensors"]
    assert [path.name for path in directory.parent.iterdir()] == ["model"]
    loaded = load_model(directory)
    assert type(loaded) is type(network)
    assert loaded.config == network.config
    assert not loaded.training
    assert load_metrics(directory) == {"test_mae": None, "seed": 4}
    np.testing.assert_array_equal(energies(loaded, crystals()), energies(network, crystals()))


def test_released_number_of_parameters() -> None:
    """The released structure network with MLPs of (256, 256) and 94 elements."""
    model = StructureNetwork(StructureNetworkConfig())
    assert sum(parameter.numel() for parameter in model.parameters()) == 2_726_657


def test_released_number_of_parameters_of_the_composition_network() -> None:
    """The released code has no edges; the paper's edges add one MLP a block and two inputs to the others."""
    assert sum(p.numel() for p in CompositionNetwork(CompositionNetworkConfig()).parameters()) == 1_143_553


def test_composition_network_is_the_written_definition() -> None:
    """The same networks with every concatenation made, one composition at a time."""

    def mlp(module: ConcatenatedMLP, *parts: torch.Tensor) -> torch.Tensor:
        x = functional.linear(torch.cat(parts, dim=-1), module.first.weight, module.first.bias)
        for activation, layer in zip(module.activations, module.layers, strict=True):
            x = layer(x * torch.sigmoid(activation.beta * x))
        return x

    for edges in (False, True):
        model = small_composition_network(edges)
        expected = []
        with torch.no_grad():
            for crystal in crystals():
                fractions = crystal.composition.fractional_composition
                one_hot = torch.stack([f * functional.one_hot(torch.tensor(e.Z - 1), 94) for e, f in fractions.items()])
                v, u, n = model.node_embedding(one_hot), model.global_embedding(torch.zeros(1)), len(fractions)
                pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
                e = {pair: model.edge_embedding(torch.zeros(1)) for pair in pairs} if edges else {}
                for block in model.blocks:
                    if not edges:
                        v = torch.stack([mlp(block.node_mlp, v[i], u) for i in range(n)])
                        u = mlp(block.global_mlp, v.mean(0), u)
                        continue
                    e = {(i, j): mlp(block.edge_mlp, e[i, j], v[i], v[j], u) for i, j in pairs}
                    nothing = torch.zeros(16)
                    sent = [sum((e[i, j] for j in range(n) if i != j), nothing) / 2 for i in range(n)]
                    received = [sum((e[j, i] for j in range(n) if i != j), nothing) / 2 for i in range(n)]
                    v = torch.stack([mlp(block.node_mlp, v[i], sent[i], received[i], u) for i in range(n)])
                    u = mlp(block.global_mlp, v.mean(0), torch.stack(sent).mean(0), u)
                expected.append(float(u * 0.7 - 1.5))
        np.testing.assert_allclose(energies(model, crystals()), expected, atol=1e-5)


def test_formulas_that_are_none() -> None:
    for formula in ("", "Xx2O", "AmO2"):
        with pytest.raises(ValueError, match=r"H to Pu|Invalid|valid"):
            composition_nodes(Composition(formula))


def test_standardisation() -> None:
    model = small_structure_network()
    plain = (energies(model, crystals()) + 1.5) / 0.7
    model.standardise(0.0, 1.0)
    np.testing.assert_allclose(energies(model, crystals()), plain, atol=1e-5)


def test_network_is_the_written_definition() -> None:
    """The same network with every concatenation made, one crystal at a time."""
    model = small_structure_network()

    def mlp(module: ConcatenatedMLP, *inputs: torch.Tensor) -> torch.Tensor:
        x = functional.linear(torch.cat(inputs, dim=-1), module.first.weight, module.first.bias)
        for activation, layer in zip(module.activations, module.layers, strict=True):
            x = layer(x * torch.sigmoid(activation.beta * x))
        return x

    expected = []
    with torch.no_grad():
        for crystal in crystals():
            graph = crystal_graph(crystal)
            sender, receiver = torch.tensor(graph.senders), torch.tensor(graph.receivers)
            distances = torch.tensor(graph.distances, dtype=torch.float32)
            centres = torch.tensor(np.linspace(0.05, 4, 30), dtype=torch.float32)
            one_hot = functional.one_hot(torch.tensor(graph.numbers) - 1, 94).float()
            v = model.node_embedding(one_hot)
            e = model.edge_embedding(torch.exp(-((distances[:, None] - centres) ** 2) / 0.25))
            u = model.global_embedding(torch.zeros(1))
            n = graph.n_atoms
            for block in model.blocks:
                e = mlp(block.edge_mlp, e, v[sender], v[receiver], u.expand(len(e), -1))
                sent = torch.stack([e[sender == atom].sum(0) for atom in range(n)]) / 17
                received = torch.stack([e[receiver == atom].sum(0) for atom in range(n)]) / 17
                v = mlp(block.node_mlp, v, sent, received, u.expand(n, -1))
                u = mlp(block.global_mlp, v.mean(0), e.sum(0) / 17 / n, u)
            expected.append(float(u * 0.7 - 1.5))
    np.testing.assert_allclose(energies(model, crystals()), expected, atol=1e-5)


def test_initial_weights() -> None:
    torch.manual_seed(0)
    mlp = ConcatenatedMLP((40, 24), (32, 16, 8))
    for layer in (mlp.first, mlp.layers[0]):
        product = layer.weight @ layer.weight.T
        torch.testing.assert_close(product, 2.75 * torch.eye(len(product)), atol=1e-4, rtol=0)
        assert torch.all(layer.bias == 0)
    assert all(torch.all(activation.beta == 1) for activation in mlp.activations)


def test_config_refuses_nonsense() -> None:
    for arguments in ({"hidden": (64,)}, {"hidden": (64, 0)}, {"n_message_passing": 0}, {"cutoff": -1.0}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            StructureNetworkConfig(**arguments)


@pytest.mark.parametrize("damage", ["missing", "no weights", "cut weights", "bad json", "version", "class", "shape"])
def test_broken_model_is_named_with_a_remedy(damage: str, tmp_path: Path) -> None:
    directory = tmp_path / "model"
    if damage != "missing":
        save_model(directory, small_structure_network(), {})
        config = json.loads((directory / "config.json").read_text())
    if damage == "no weights":
        (directory / "weights.safetensors").unlink()
    elif damage == "cut weights":
        content = (directory / "weights.safetensors").read_bytes()
        (directory / "weights.safetensors").write_bytes(content[:-100])
    elif damage == "bad json":
        (directory / "config.json").write_text("{")
    elif damage in ("version", "class", "shape"):
        changed = {"version": {"format_version": 99}, "class": {"class": "os.system"}, "shape": {"config": {"deep": 1}}}
        (directory / "config.json").write_text(json.dumps(config | changed[damage]))
    with pytest.raises(CheckpointError, match=r"train|update") as caught:
        load_model(directory)
    assert str(directory) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_failed_save_keeps_the_old_model(tmp_path: Path) -> None:
    save_model(tmp_path / "model", small_structure_network(), {"seed": 1})
    with pytest.raises(ValueError, match="JSON"):
        save_model(tmp_path / "model", small_structure_network(), {"seed": float("nan")})
    assert load_metrics(tmp_path / "model") == {"seed": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_ensemble(tmp_path: Path) -> None:
    torch.manual_seed(0)
    members = [StructureNetwork(StructureNetworkConfig(hidden=(8, 8))) for _ in range(3)]
    for i, member in enumerate(members):
        save_model(tmp_path / str(i), member, {})
    ensemble = Ensemble.load([tmp_path / str(i) for i in range(3)])
    assert len(ensemble) == 3
    assert energies(ensemble, crystals()).shape == (3, 4)
    for member, values in zip(members, energies(ensemble, crystals()), strict=True):
        np.testing.assert_allclose(energies(member, crystals()), values, atol=1e-6)
    save_model(tmp_path / "3", small_structure_network(), {})
    with pytest.raises(CheckpointError, match="different shapes"):
        Ensemble.load([tmp_path / "0", tmp_path / "3"])
    with pytest.raises(CheckpointError, match="no model directory"):
        Ensemble.load([])
