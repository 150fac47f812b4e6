"""Predictions against brute force: every scaled crystal built with pymatgen and given to each member on its own."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from torch_geometric.data import Batch

from gnome_torch.graphs import batch_graphs, crystal_graph, graph_of
from gnome_torch.inference import Evaluation, predict, predict_structures
from gnome_torch.models.ensemble import Ensemble
from gnome_torch.models.structure import StructureNetwork, StructureNetworkConfig
from gnome_torch.records import Decorations

torch.set_num_threads(1)

SCALES = np.linspace(0.8, 1.2, 20)


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    torch.manual_seed(5)
    return Ensemble([StructureNetwork(StructureNetworkConfig(hidden=(24, 16))) for _ in range(5)])


@pytest.fixture(scope="module")
def candidates() -> list[Decorations]:
    """Generic crystals and symmetric ones, whole and broken symmetry, wide and narrow."""
    rng = np.random.default_rng(2)
    metal = Structure(Lattice.hexagonal(2.53, 4.17), ["Mg"], [[0, 0, 0]])
    oxide = Structure(Lattice.from_parameters(3.3, 4.7, 6.4, 71, 83, 112), ["Ti", "O", "O"], rng.random((3, 3)))
    perovskite = Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(3.97), ["Ca", "Ti", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    )
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.61), ["Cf", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    made = [
        (metal, [[13], [94]], [1.0, 2.0]),
        (oxide, [[40, 8, 16], [14, 8, 8], [5, 5, 5]], [1.2, 0.7, 1.0]),
        (perovskite, [[20, 22, 8, 8, 8], [20, 22, 8, 8, 9], [8, 8, 8, 8, 8], [38, 22, 8, 9, 7]], [1.0, 1.1, 0.9, 1.0]),
        (salt, [[3, 3, 3, 3, 9, 9, 9, 9], [3, 11, 3, 3, 9, 9, 9, 9], [3, 3, 11, 11, 9, 9, 17, 17]], [0.8, 0.9, 1.1]),
    ]
    return [
        Decorations(parent, np.array(numbers), parent.volume * np.array(factors)) for parent, numbers, factors in made
    ]


def brute_force(ensemble: Ensemble, candidates: list[Decorations]) -> np.ndarray:
    """Energies, eV/atom, (n_members, n, n_volumes)."""
    rows = []
    for some in candidates:
        for numbers, volume in zip(some.numbers, some.volumes, strict=True):
            crystals = [Structure(some.parent.lattice, numbers, some.parent.frac_coords) for _ in SCALES]
            for crystal, scale in zip(crystals, SCALES, strict=True):
                crystal.scale_lattice(volume * scale)
            with torch.no_grad():
                rows.append([[float(m(batch_graphs([crystal_graph(c)]))) for c in crystals] for m in ensemble.members])
    return np.swapaxes(np.array(rows), 0, 1)


@pytest.mark.parametrize("batch_edges", [1, 700, 200_000])
def test_equals_brute_force(ensemble: Ensemble, candidates: list[Decorations], batch_edges: int) -> None:
    done: list[int] = []
    predicted = predict(ensemble, candidates, evaluation=Evaluation(batch_edges=batch_edges), progress=done.append)
    n = sum(len(some) for some in candidates)
    assert predicted.energy.shape == predicted.iqr.shape == predicted.volume_scale.shape == (n,)
    assert done[-1] == n * len(SCALES)
    assert done == sorted(set(done))
    energies = brute_force(ensemble, candidates)
    lowest = energies.min(axis=2)
    np.testing.assert_allclose(predicted.energy, np.median(lowest, axis=0), atol=1e-5)
    iqr = np.quantile(lowest, 0.75, axis=0) - np.quantile(lowest, 0.25, axis=0)
    np.testing.assert_allclose(predicted.iqr, iqr, atol=2e-5)
    np.testing.assert_allclose(predicted.volume_scale, np.median(SCALES[energies.argmin(axis=2)], axis=0))


def test_one_volume_is_the_candidate_itself(ensemble: Ensemble, candidates: list[Decorations]) -> None:
    predicted = predict(ensemble, candidates, volume_scales=np.array([1.0]))
    structures = []
    for some in candidates:
        for numbers, volume in zip(some.numbers, some.volumes, strict=True):
            structures.append(Structure(some.parent.lattice, numbers, some.parent.frac_coords))
            structures[-1].scale_lattice(volume)
    energies, iqr = predict_structures(ensemble, structures)
    assert energies.shape == iqr.shape == (len(structures),)
    np.testing.assert_allclose(predicted.energy, energies, atol=1e-5)
    np.testing.assert_allclose(predicted.iqr, iqr, atol=1e-5)


def test_stacked_members_say_the_same(ensemble: Ensemble, candidates: list[Decorations]) -> None:
    crystals = [Structure(some.parent.lattice, some.numbers[0], some.parent.frac_coords) for some in candidates]
    batch = batch_graphs([crystal_graph(crystal) for crystal in crystals])
    with torch.no_grad():
        one_by_one = ensemble(batch)
        ensemble.stack(True)
        together = ensemble(batch)
        ensemble.stack(False)
    assert together.shape == (5, len(candidates))
    torch.testing.assert_close(together, one_by_one, atol=1e-5, rtol=0)


def test_bfloat16_is_near(ensemble: Ensemble, candidates: list[Decorations]) -> None:
    exact = predict(ensemble, candidates)
    rough = predict(ensemble, candidates, evaluation=Evaluation(bfloat16=True))
    # an untrained network hardly tells crystals apart: rounding is a larger part of what it says than later
    assert 0 < np.abs(rough.energy - exact.energy).max() < 0.2 * np.std(exact.energy)


def test_a_parent_is_searched_once(
    ensemble: Ensemble, candidates: list[Decorations], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def counted(*arguments: object) -> object:
        calls.append(arguments)
        return graph_of(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("gnome_torch.inference.graph_of", counted)
    predict(ensemble, candidates, evaluation=Evaluation(batch_edges=500))
    assert len(calls) == len(candidates)


def test_an_ensemble_is_prepared_once(candidates: list[Decorations], monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(5)
    ensemble = Ensemble([StructureNetwork(StructureNetworkConfig(hidden=(8, 8))) for _ in range(2)])
    made = []
    monkeypatch.setattr(torch, "compile", lambda network, dynamic: made.append(network) or network)
    for _ in range(3):
        predict(ensemble, candidates, evaluation=Evaluation(compiled=True))
    assert len(made) == 1


def test_full_memory_halves_the_batch(
    ensemble: Ensemble, candidates: list[Decorations], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU whose memory holds 300 edges: the same energies, in smaller batches, and no loop on a single graph."""
    expected = predict(ensemble, candidates)
    forward = Ensemble.forward
    sizes: list[int] = []

    def small(self: Ensemble, batch: Batch) -> torch.Tensor:
        sizes.append(batch.edge_index.shape[1])
        if sizes[-1] > 300:
            raise torch.OutOfMemoryError("out of memory")
        return forward(self, batch)

    monkeypatch.setattr(Ensemble, "forward", small)
    predicted = predict(ensemble, candidates)
    np.testing.assert_allclose(predicted.energy, expected.energy, atol=1e-5)
    assert max(sizes) > 300
    tail = sizes[len(sizes) // 2 :]
    assert max(tail) <= 300  # it has learned

    monkeypatch.setattr(Ensemble, "forward", lambda self, batch: (_ for _ in ()).throw(torch.OutOfMemoryError("full")))
    with pytest.raises(torch.OutOfMemoryError):
        predict(ensemble, candidates)


def test_nothing_to_predict(ensemble: Ensemble) -> None:
    assert predict(ensemble, []).energy.shape == (0,)
    energies, iqr = predict_structures(ensemble, [])
    assert energies.shape == iqr.shape == (0,)


def test_bad_candidates_are_named(ensemble: Ensemble, candidates: list[Decorations]) -> None:
    parent = candidates[1].parent
    for numbers, volumes, reason in [
        ([[13]], [20.0], "Ti1 O2: species"),
        ([[22, 8, 8]], [0.0], "Ti1 O2: a volume that is not positive"),
    ]:
        with pytest.raises(ValueError, match=reason):
            Decorations(parent, np.array(numbers), np.array(volumes))
    heavy = Decorations(parent, np.array([[95, 8, 8]]), np.array([20.0]))
    with pytest.raises(ValueError, match="Ti1 O2: the networks know H to Pu"):
        predict(ensemble, [heavy])


def test_bad_settings(ensemble: Ensemble) -> None:
    with pytest.raises(ValueError, match="volume_scales"):
        predict(ensemble, [], volume_scales=np.array([]))
    with pytest.raises(ValueError, match="batch_edges"):
        Evaluation(batch_edges=0)


def test_broken_weights_are_noticed(candidates: list[Decorations]) -> None:
    model = StructureNetwork(StructureNetworkConfig(hidden=(8, 8)))
    model.standardise(float("nan"), 1.0)
    with pytest.raises(FloatingPointError, match="train again"):
        predict_structures(Ensemble([model]), [candidates[1].parent])


def test_inference_never_imports_training() -> None:
    code = "import sys, gnome_torch.inference; print([m for m in sys.modules if m.startswith('gnome_torch.training')])"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert output.strip() == "[]"
