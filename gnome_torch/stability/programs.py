"""The linear programs of the hull: amounts of phases that add up to a composition at the lowest energy.

Thousands of small programs at once, by the revised simplex method on stacked arrays: the elements are a basis to start
from, and a basis has as many rows as the compound has elements. Every answer carries its proof, the potentials of the
elements (duality): no phase lies below them, and the amounts are not negative. Those that cannot be proved that way
(cycling, nearly singular bases) go to HiGHS one by one. Why not HiGHS for all: `benchmarks/hull.py` shows what its
set-up costs for programs of this size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

TOLERANCE = 1e-11
"""How far below the potentials a phase may lie, in units of the largest energy in play (at least 1 eV/atom)."""

_SMALLEST_PIVOT = 1e-9
_SMALLEST_AMOUNT = -1e-10


@dataclass(frozen=True, eq=False)
class Solutions:
    """Answers to k programs in d elements.

    Attributes:
        energy: lowest energy, eV/atom, (k,).
        phases: number of each phase of the answer in its program, (k, d).
        amounts: its part of the atoms, not negative, (k, d).
        by_highs: how many went to HiGHS.
    """

    energy: np.ndarray
    phases: np.ndarray
    amounts: np.ndarray
    by_highs: int


def solve(fractions: np.ndarray, energies: np.ndarray, targets: np.ndarray) -> Solutions:
    """Solve programs of one shape.

    Args:
        fractions: composition of each phase, (k, n, d); the first d phases are the elements, in order.
        energies: of each phase, eV/atom, (k, n); infinite for places without a phase. Those of the elements are finite.
        targets: compositions, (k, d), every fraction positive.
    """
    k, _, d = fractions.shape
    phases = np.tile(np.arange(d), (k, 1))
    left = np.arange(k)  # programs that are not solved yet
    a, c, x = fractions, energies, targets
    basis = phases.copy()
    limit = 20 + 12 * d
    for iteration in range(limit):
        rows = np.arange(len(left))[:, None]
        try:
            inverse = np.linalg.inv(a[rows, basis].transpose(0, 2, 1))  # columns of the basis are compositions
        except np.linalg.LinAlgError:
            break
        own = c[rows, basis]  # (k, d)
        potentials = np.matmul(own[:, None, :], inverse)[:, 0]  # (k, d)
        below = c - np.matmul(a, potentials[:, :, None])[:, :, 0]  # (k, n)
        bound = -TOLERANCE * np.maximum(1.0, np.abs(potentials).max(axis=1))
        # the lowest; where that goes on for long, the first (Bland's rule), which ends every cycle
        entering = below.argmin(axis=1) if iteration < limit // 2 else (below < bound[:, None]).argmax(axis=1)
        done = below[rows[:, 0], entering] >= bound
        if done.any():
            phases[left[done]] = basis[done]
            keep = ~done
            left, a, c, x, basis = left[keep], a[keep], c[keep], x[keep], basis[keep]
            inverse, entering = inverse[keep], entering[keep]
            if len(left) == 0:
                break
        row = np.arange(len(left))
        amounts = np.matmul(inverse, x[:, :, None])[:, :, 0]
        direction = np.matmul(inverse, a[row, entering][:, :, None])[:, :, 0]
        ratios = np.full(direction.shape, np.inf)
        np.divide(np.maximum(amounts, 0.0), direction, out=ratios, where=direction > _SMALLEST_PIVOT)
        basis[row, ratios.argmin(axis=1)] = entering
    phases[left] = basis
    return _proved(fractions, energies, targets, phases)


def _proved(fractions: np.ndarray, energies: np.ndarray, targets: np.ndarray, phases: np.ndarray) -> Solutions:
    """Amounts and energies of bases, each checked; what fails goes to HiGHS."""
    k, _, d = fractions.shape
    rows = np.arange(k)[:, None]
    matrices = fractions[rows, phases].transpose(0, 2, 1)
    amounts, energy, good = np.zeros((k, d)), np.zeros(k), np.zeros(k, dtype=bool)
    try:
        amounts = np.linalg.solve(matrices, targets[:, :, None])[:, :, 0]
        potentials = np.linalg.solve(matrices.transpose(0, 2, 1), energies[rows, phases][:, :, None])[:, :, 0]
        below = (energies - np.matmul(fractions, potentials[:, :, None])[:, :, 0]).min(axis=1)
        scale = np.maximum(1.0, np.abs(potentials).max(axis=1))
        good = (below >= -100 * TOLERANCE * scale) & (amounts.min(axis=1) >= _SMALLEST_AMOUNT)
        amounts = np.maximum(amounts, 0.0)
        energy = (amounts * energies[rows, phases]).sum(axis=1)
    except np.linalg.LinAlgError:
        pass
    for i in np.flatnonzero(~good):
        energy[i], phases[i], amounts[i] = _highs(fractions[i], energies[i], targets[i])
    return Solutions(energy, phases, amounts, int((~good).sum()))


def _highs(fractions: np.ndarray, energies: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """One program: energy, phases (d,), amounts (d,)."""
    usable = np.flatnonzero(np.isfinite(energies))
    result = linprog(energies[usable], A_eq=fractions[usable].T, b_eq=target, method="highs")
    if not result.success:
        raise RuntimeError(f"hull at {target.tolist()}: the linear program failed: {result.message}")
    largest = np.argsort(-result.x)[: len(target)]
    return float(result.fun), usable[largest], np.maximum(result.x[largest], 0.0)
