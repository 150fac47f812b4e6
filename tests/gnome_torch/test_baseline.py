"""The baseline: energies of a potential as formation energies, and how far networks may correct them."""

from __future__ import annotations

import numpy as np
import pytest

from gnome_torch.baseline import FEW, SCALES, Baseline, lowest_of_volumes, trust_in

LITHIUM, OXYGEN, FLUORINE = 3, 8, 9


def world(n: int, slope: float, shift: float, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three elements and n compounds: energies of a potential, fractions, formation energies at the theory."""
    rng = np.random.default_rng(seed)
    fractions = np.zeros((n + 3, 119))
    fractions[[0, 1, 2], [LITHIUM, OXYGEN, FLUORINE]] = 1.0
    fractions[3:, [LITHIUM, OXYGEN, FLUORINE]] = rng.dirichlet([1, 1, 1], n)
    own = np.concatenate([np.zeros(3), rng.normal(-1, 0.5, n)])
    elements = np.zeros(119)
    elements[[LITHIUM, OXYGEN, FLUORINE]] = -1.9, -4.9, -1.8
    targets = slope * own + shift * fractions[:, OXYGEN] + noise * rng.normal(size=n + 3)
    targets[:3] = 0.0
    return own + fractions @ elements, fractions, targets


def test_fit_finds_what_differs() -> None:
    energies, fractions, targets = world(60, slope=1.1, shift=-0.3, noise=0.0)
    baseline = Baseline.fit(energies, fractions, targets)
    found = baseline.formation_energies(energies, fractions)
    assert np.abs(found - targets)[3:].max() < 0.03
    assert baseline.slope == pytest.approx(1.1, abs=0.02)
    assert baseline.references == pytest.approx({LITHIUM: -1.9, OXYGEN: -4.9, FLUORINE: -1.8})
    assert baseline.n == 60


def test_without_compounds_it_is_the_potential_itself() -> None:
    energies, fractions, targets = world(20, slope=1.0, shift=0.0, noise=0.0)
    baseline = Baseline.fit(energies[:3], fractions[:3], targets[:3])
    assert (baseline.slope, baseline.n) == (1.0, 0)
    assert baseline.formation_energies(energies, fractions) == pytest.approx(targets)


def test_two_compounds_do_not_run_away() -> None:
    """Few data leave the fit near the potential's own zero: the rest is predicted as well as without a fit."""
    energies, fractions, targets = world(30, slope=1.0, shift=0.0, noise=0.03)
    few = Baseline.fit(energies[:5], fractions[:5], targets[:5])
    error = np.abs(few.formation_energies(energies, fractions) - targets)[5:].mean()
    assert error < 0.06


def test_one_wild_compound_does_not_spoil_the_rest() -> None:
    energies, fractions, targets = world(30, slope=1.0, shift=-0.2, noise=0.01)
    targets[5] += 5.0
    found = Baseline.fit(energies, fractions, targets).formation_energies(energies, fractions)
    others = np.delete(np.arange(3, 33), 2)
    assert np.abs(found - targets)[others].mean() < 0.05


def test_a_potential_that_knows_nothing_is_given_up() -> None:
    energies, fractions, targets = world(200, slope=0.0, shift=-0.3, noise=0.01)
    assert abs(Baseline.fit(energies, fractions, targets).slope) < 0.1


def test_what_cannot_be_computed_is_left_out() -> None:
    energies, fractions, targets = world(10, slope=1.0, shift=0.0, noise=0.0)
    energies[[1, 7]] = np.nan  # an element too, whose zero the compounds give then
    baseline = Baseline.fit(energies, fractions, targets)
    found = baseline.formation_energies(energies, fractions)
    assert np.isnan(found[[1, 7]]).all()
    kept = [index for index in range(3, 13) if index != 7]
    assert np.abs(found - targets)[kept].max() < 0.05
    assert baseline.n == 9


def test_document_and_back() -> None:
    baseline = Baseline.fit(*world(10, 1.1, -0.3, 0.01))
    assert Baseline.from_document(baseline.document()) == baseline


def test_lowest_of_volumes() -> None:
    def parabola(at: float, lowest: float) -> np.ndarray:
        return lowest + 3.0 * (SCALES - at) ** 2

    nothing = np.full(3, np.nan)
    rows = np.array([parabola(0.97, -4.0), parabola(1.3, -4.0), -parabola(1.0, 4.0), [np.nan, -2.0, -1.0], nothing])
    found = lowest_of_volumes(rows)
    assert found[0] == pytest.approx(-4.0)  # between the volumes
    assert found[1] == rows[1].min()  # beyond them: nothing is extrapolated
    assert found[2] == rows[2].min()
    assert found[3] == -2.0
    assert np.isnan(found[4])


def test_trust_follows_the_test_part() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=400)
    assert trust_in(truth, truth) == pytest.approx(400 / (400 + FEW))
    assert trust_in(truth[:10], truth[:10]) == pytest.approx(10 / (10 + FEW))
    assert trust_in(rng.normal(size=400), truth) < 0.15
    assert trust_in(-truth, truth) == 0.0
    assert trust_in(np.zeros(0), np.zeros(0)) == 0.0
    # networks that exaggerate twofold count half
    assert trust_in(2 * truth, truth) == pytest.approx(0.5, abs=0.05)


def test_spread_where_networks_are_not_trusted() -> None:
    baseline = Baseline(1.0, {LITHIUM: 0.0}, {}, error=0.05, n=9, trust=0.0)
    energy, iqr = baseline.corrected(np.array([-1.0]), np.array([0.5]), np.array([0.2]))
    assert energy == [-1.0]
    assert iqr == pytest.approx(1.349 * 0.05)
