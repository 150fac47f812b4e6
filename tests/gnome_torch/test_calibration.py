"""Errors and spread of an ensemble, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gnome_torch.models.composition import CompositionNetwork, CompositionNetworkConfig
from gnome_torch.models.ensemble import Ensemble
from gnome_torch.training.calibration import calibrate, member_energies
from gnome_torch.training.dataset import CompositionSet

torch.set_num_threads(1)


def test_by_hand() -> None:
    energies = np.array([[0.0, 1.0, -4.0], [0.2, 1.0, 0.0], [0.1, 1.0, 4.0]])  # medians 0.1, 1.0, 0.0
    targets = np.array([0.12, 1.5, 1.0])
    found = calibrate(energies, targets, n_bins=3)
    assert found.n == 3
    assert found.mae == pytest.approx((0.02 + 0.5 + 1.0) / 3)
    assert found.iqr == pytest.approx((0.1 + 0.0 + 4.0) / 3)
    assert found.within == pytest.approx(2 / 3)  # 0.02 <= 0.05 and 1.0 <= 2.0, but not 0.5 <= 0
    assert found.rank_correlation == pytest.approx(0.5)  # ranks of errors 1, 2, 3; of ranges 2, 1, 3
    assert [(part.n, round(part.iqr, 9), round(part.mae, 9)) for part in found.bins] == [
        (1, 0.0, 0.5),
        (1, 0.1, 0.02),
        (1, 4.0, 1.0),
    ]
    assert found.member_mae == pytest.approx(np.abs(energies - targets).mean())


def test_spread_that_is_the_uncertainty() -> None:
    """Members and truth from one distribution around a common centre: half of the errors are below half the range."""
    rng = np.random.default_rng(0)
    scale = rng.uniform(0.01, 1.0, 4000)
    energies = rng.normal(size=(400, 4000)) * scale
    found = calibrate(energies, rng.normal(size=4000) * scale)
    assert found.within == pytest.approx(0.5, abs=0.03)
    assert found.rank_correlation is not None
    assert found.rank_correlation > 0.4
    assert [part.n for part in found.bins] == [800] * 5
    assert sorted(part.mae for part in found.bins) == [part.mae for part in found.bins]


def test_few_examples() -> None:
    assert calibrate(np.array([[1.0], [2.0]]), np.array([1.0])).rank_correlation is None
    for energies, targets in ((np.zeros((1, 3)), np.zeros(3)), (np.zeros((2, 0)), np.zeros(0))):
        with pytest.raises(ValueError, match="a spread needs"):
            calibrate(energies, targets)


def test_member_energies_are_the_members() -> None:
    torch.manual_seed(0)
    members = [CompositionNetwork(CompositionNetworkConfig(hidden=(8, 8))) for _ in range(3)]
    ensemble = Ensemble(members)
    dataset = CompositionSet.build(["NaCl", "MgO", "Al2O3", "KF"], [0.0] * 4)
    chosen = np.array([3, 0, 2])
    energies = member_energies(ensemble, dataset, chosen, batch_size=2)
    with torch.no_grad():
        expected = [member(dataset.batch(member.config, chosen)).numpy() for member in members]
    np.testing.assert_allclose(energies, expected, atol=1e-6)
