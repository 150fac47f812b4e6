"""Predictions against brute force: every scaled crystal built with pymatgen and given to each member on its own."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from gnome_torch.graphs import batch_graphs, crystal_graph
from gnome_torch.inference import predict, predict_structures
from gnome_torch.models.ensemble import Ensemble
from gnome_torch.models.structure import StructureNetwork, StructureNetworkConfig
from gnome_torch.records import Candidate, Lineage

torch.set_num_threads(1)

SCALES = np.linspace(0.8, 1.2, 20)


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    torch.manual_seed(5)
    return Ensemble([StructureNetwork(StructureNetworkConfig(hidden=(24, 16))) for _ in range(5)])


@pytest.fixture(scope="module")
def parents() -> dict[str, Structure]:
    rng = np.random.default_rng(2)
    return {
        "metal": Structure(Lattice.hexagonal(2.53, 4.17), ["Mg"], [[0, 0, 0]]),
        "oxide": Structure(Lattice.from_parameters(3.3, 4.7, 6.4, 71, 83, 112), ["Ti", "O", "O"], rng.random((3, 3))),
        "salt": Structure(Lattice.orthorhombic(4.37, 5.11, 6.29), ["Na", "Cl", "Cl", "Fe"], rng.random((4, 3))),
    }


@pytest.fixture(scope="module")
def candidates(parents: dict[str, Structure]) -> list[Candidate]:
    made = [
        ("metal", ("Al",), 1.0),
        ("oxide", ("Zr", "O", "S"), 1.2),
        ("salt", ("K", "Br", "Br", "Co"), 1.1),
        ("oxide", ("Si", "O", "O"), 0.7),  # denser than the first of this parent: needs more neighbours
        ("salt", ("Li", "F", "Cl", "Fe"), 0.85),
        ("metal", ("Pu",), 2.0),
    ]
    return [
        Candidate(f"c{i}", parent, species, parents[parent].volume * factor, Lineage("substitution", parent))
        for i, (parent, species, factor) in enumerate(made)
    ]


def brute_force(ensemble: Ensemble, parent: Structure, candidate: Candidate) -> tuple[float, float, np.ndarray]:
    """Median energy, inter-quartile range and energies (n_members, n_volumes)."""
    energies = np.zeros((len(ensemble), len(SCALES)))
    for v, scale in enumerate(SCALES):
        crystal = Structure(parent.lattice, candidate.species, parent.frac_coords)
        crystal.scale_lattice(candidate.volume * scale)
        for m, member in enumerate(ensemble.members):
            with torch.no_grad():
                energies[m, v] = float(member(batch_graphs([crystal_graph(crystal)])))
    lowest = energies.min(axis=1)
    return float(np.median(lowest)), float(np.quantile(lowest, 0.75) - np.quantile(lowest, 0.25)), energies


@pytest.mark.parametrize("batch_edges", [1, 1500, 200_000])
def test_equals_brute_force(
    ensemble: Ensemble, parents: dict[str, Structure], candidates: list[Candidate], batch_edges: int
) -> None:
    done: list[int] = []
    predictions = list(predict(ensemble, parents, iter(candidates), batch_edges=batch_edges, progress=done.append))
    assert [prediction.candidate_id for prediction in predictions] == [candidate.id for candidate in candidates]
    assert done[-1] == len(candidates)
    assert done == sorted(set(done))
    for candidate, prediction in zip(candidates, predictions, strict=True):
        median, iqr, energies = brute_force(ensemble, parents[candidate.parent_id], candidate)
        assert prediction.formation_energy == pytest.approx(median, abs=1e-5)
        assert prediction.iqr == pytest.approx(iqr, abs=2e-5)
        assert prediction.volume_scale == pytest.approx(float(np.median(SCALES[energies.argmin(axis=1)])), abs=1e-12)


def test_one_volume_is_the_candidate_itself(
    ensemble: Ensemble, parents: dict[str, Structure], candidates: list[Candidate]
) -> None:
    predictions = list(predict(ensemble, parents, candidates, volume_scales=np.array([1.0])))
    structures = [candidate.structure(parents[candidate.parent_id]) for candidate in candidates]
    energies, iqr = predict_structures(ensemble, structures)
    assert energies.shape == iqr.shape == (len(candidates),)
    np.testing.assert_allclose([p.formation_energy for p in predictions], energies, atol=1e-5)
    np.testing.assert_allclose([p.iqr for p in predictions], iqr, atol=1e-5)


def test_a_parent_is_searched_once(
    ensemble: Ensemble, parents: dict[str, Structure], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def counted(structure: Structure, cutoff: float) -> object:
        calls.append(cutoff)
        return crystal_graph(structure, cutoff)

    monkeypatch.setattr("gnome_torch.inference.crystal_graph", counted)
    volume = parents["oxide"].volume
    many = [
        Candidate(str(z), "oxide", (symbol, "O", "O"), volume * factor, Lineage("substitution", "oxide"))
        for z, (symbol, factor) in enumerate([("Ti", 1.0), ("Zr", 1.1), ("Si", 0.95), ("Ge", 1.0)])
    ]
    assert len(list(predict(ensemble, parents, many))) == 4
    assert len(calls) == 1


def test_nothing_to_predict(ensemble: Ensemble, parents: dict[str, Structure]) -> None:
    assert list(predict(ensemble, parents, [])) == []
    energies, iqr = predict_structures(ensemble, [])
    assert energies.shape == iqr.shape == (0,)


def test_bad_candidates_are_named(ensemble: Ensemble, parents: dict[str, Structure]) -> None:
    lineage = Lineage("substitution")
    for candidate, reason in [
        (Candidate("lost", "nowhere", ("Al",), 20.0, lineage), "lost: its parent nowhere is not given"),
        (Candidate("short", "oxide", ("Al",), 20.0, lineage), "short: 1 species for a graph of 3 sites"),
        (Candidate("heavy", "metal", ("Am",), 20.0, lineage), "heavy: .*95"),
        (Candidate("flat", "metal", ("Al",), 0.0, lineage), "flat: its volume"),
    ]:
        with pytest.raises(ValueError, match=reason):
            list(predict(ensemble, parents, [candidate]))
    with pytest.raises(ValueError, match="volume_scales"):
        list(predict(ensemble, parents, [], volume_scales=np.array([])))


def test_broken_weights_are_noticed(parents: dict[str, Structure]) -> None:
    model = StructureNetwork(StructureNetworkConfig(hidden=(8, 8)))
    model.standardise(float("nan"), 1.0)
    with pytest.raises(FloatingPointError, match="train again"):
        predict_structures(Ensemble([model]), [parents["salt"]])


def test_inference_never_imports_training() -> None:
    code = "import sys, gnome_torch.inference; print([m for m in sys.modules if m.startswith('gnome_torch.training')])"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert output.strip() == "[]"
