"""A baseline that knows chemistry: formation energies from a universal potential, which the networks then correct.

The potential's total energies become formation energies with a slope and a shift for each element, fitted to what the
campaign has computed (the elements' references, other corrections, the relaxation that is still to come). What is left,
the difference to the theory, is what networks learn: delta learning (Ramakrishnan et al., J. Chem. Theory Comput. 11,
2087, 2015). While data are few the fit is held near the potential's own zero by its priors, and the networks'
correction counts as far as the test part of the data says that it is worth anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

SCALES = np.array([0.92, 1.0, 1.08])
"""Volumes at which a crystal is computed, as fractions of its own, (3,)."""

SLOPE_DEVIATION = 0.2
"""How far the slope may be from 1 before data say so, a standard deviation."""

SHIFT_DEVIATION = 0.1
"""How far shifts may be from the potential's own references before data say so, a standard deviation, eV/atom."""

NO_REFERENCE = 10.0
"""The same for an element of which the potential has no crystal."""

NOISE = 0.05
"""Deviation of one crystal beyond which it counts less and less in the fit (Huber's rule), eV/atom."""

IQR_OF_NORMAL = 1.349
"""Inter-quartile range of a normal distribution, in standard deviations."""

FEW = 20
"""So many crystals of the test part that agree with the networks give their correction half of its weight."""


def lowest_of_volumes(energies: np.ndarray) -> np.ndarray:
    """Energy at the best volume, (n,), from those at `SCALES`: the parabola's lowest point if it lies between them.

    Args:
        energies: per atom, eV/atom, (n, 3); nan where a volume could not be computed.
    """
    a, b, c = np.polynomial.polynomial.polyfit(SCALES, np.nan_to_num(energies).T, 2)[::-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        at = -b / (2 * a)
        inside = (a > 0) & (at >= SCALES[0]) & (at <= SCALES[-1]) & ~np.isnan(energies).any(axis=1)
        parabola = c - b**2 / (4 * a)
    some = np.where(np.isnan(energies), np.inf, energies).min(axis=1, initial=np.inf)
    lowest = np.where(inside, np.minimum(parabola, some), some)
    return np.where(np.isfinite(lowest), lowest, np.nan)


@dataclass(frozen=True)
class Baseline:
    """From a potential's energies to formation energies at a theory.

    Attributes:
        slope: factor of the potential's own formation energies.
        references: the potential's energy of each element (atomic number -> eV/atom).
        shifts: what is added for each atom of an element (atomic number -> eV/atom).
        error: what it leaves of the formation energies that it was fitted to, root mean square, eV/atom.
        n: compounds that it was fitted to.
        trust: factor of the networks' correction, 0 to 1.
    """

    slope: float
    references: Mapping[int, float]
    shifts: Mapping[int, float]
    error: float
    n: int
    trust: float = 1.0

    @classmethod
    def fit(cls, energies: np.ndarray, fractions: np.ndarray, targets: np.ndarray) -> Self:
        """Fit to crystals that both have computed.

        Elements give the potential's references, compounds slope and shifts: corrections such as those of MP2020 apply
        to compounds alone.

        Args:
            energies: of the potential, eV/atom, (n,); crystals with nan are left out.
            fractions: of the atoms by atomic number, (n, 119).
            targets: formation energies at the theory, eV/atom, (n,).
        """
        known = np.isfinite(energies)
        energies, fractions, targets = energies[known], fractions[known], targets[known]
        pure = (fractions > 0).sum(axis=1) == 1
        references = _references(energies[pure], fractions[pure])
        compounds = ~pure
        own = energies - fractions @ _row(references)
        numbers = np.flatnonzero((fractions > 0).any(axis=0))
        deviations = [SHIFT_DEVIATION if int(number) in references else NO_REFERENCE for number in numbers]
        slope, shifts = _ridge(own[compounds], fractions[compounds][:, numbers], targets[compounds], deviations)
        fitted = cls(slope, references, dict(zip(numbers.tolist(), shifts.tolist(), strict=True)), 0.0, 0)
        left = targets[compounds] - fitted.formation_energies(energies[compounds], fractions[compounds])
        error = float(np.sqrt(np.mean(left**2))) if len(left) else SHIFT_DEVIATION
        return cls(slope, fitted.references, fitted.shifts, error, len(left))

    def formation_energies(self, energies: np.ndarray, fractions: np.ndarray) -> np.ndarray:
        """Formation energies at the theory, as the baseline has them, eV/atom, (n,).

        Args:
            energies: of the potential, eV/atom, (n,).
            fractions: of the atoms by atomic number, (n, 119).
        """
        own = energies - fractions @ _row(self.references)
        return np.asarray(self.slope * own + fractions @ _row(self.shifts))

    def corrected(self, own: np.ndarray, corrections: np.ndarray, iqr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Formation energies with the networks' correction, and their spread, eV/atom, (n,) each.

        Where the networks are not trusted the spread is what the baseline is known to leave.

        Args:
            own: formation energies of `formation_energies`, eV/atom, (n,).
            corrections: of the networks, eV/atom, (n,).
            iqr: inter-quartile range of the ensemble, eV/atom, (n,).
        """
        left = IQR_OF_NORMAL * self.error * (1.0 - self.trust)
        return own + self.trust * corrections, np.hypot(self.trust * iqr, left)

    def document(self) -> dict[str, Any]:
        """As plain data, for a file or a database."""
        return {
            "slope": self.slope,
            "references": {str(number): value for number, value in self.references.items()},
            "shifts": {str(number): value for number, value in self.shifts.items()},
            "error": self.error,
            "n": self.n,
            "trust": self.trust,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """What `document` made."""
        references, shifts = (
            {int(number): float(value) for number, value in document[name].items()} for name in ("references", "shifts")
        )
        slope, error, trust = (float(document[name]) for name in ("slope", "error", "trust"))
        return cls(slope, references, shifts, error, int(document["n"]), trust)


def trust_in(corrections: np.ndarray, differences: np.ndarray) -> float:
    """By which factor the networks' correction is worth taking, 0 to 1: least squares, held at 0 by `FEW`.

    Args:
        corrections: what the networks say, eV/atom, (n,); of crystals that they have not learnt from.
        differences: what they should have said, eV/atom, (n,).
    """
    power = float(corrections @ corrections)
    if power == 0:
        return 0.0
    factor = float(corrections @ differences) / power
    return float(np.clip(factor, 0.0, 1.0)) * len(corrections) / (len(corrections) + FEW)


def _references(energies: np.ndarray, fractions: np.ndarray) -> dict[int, float]:
    """Lowest energy of each element, eV/atom."""
    numbers = fractions.argmax(axis=1)
    return {int(z): float(energies[numbers == z].min()) for z in np.unique(numbers)}


def _row(values: Mapping[int, float]) -> np.ndarray:
    """Values by atomic number, (119,)."""
    row = np.zeros(119)
    row[list(values)] = list(values.values())
    return row


def _ridge(
    own: np.ndarray, fractions: np.ndarray, targets: np.ndarray, deviations: Sequence[float]
) -> tuple[float, np.ndarray]:
    """Slope, and shift of each element, (n_elements,), by least squares with priors; outliers count less (Huber).

    Args:
        own: the potential's formation energies, eV/atom, (n,).
        fractions: of the atoms of each element, (n, n_elements).
        targets: formation energies at the theory, eV/atom, (n,).
        deviations: of the shifts before data say so, eV/atom, (n_elements,).
    """
    design = np.column_stack([own, fractions])
    prior = np.diag(np.array([SLOPE_DEVIATION, *deviations]) ** -2)
    left = targets - own  # for a slope of 1 and no shift
    change = np.zeros(design.shape[1])
    for _ in range(20):
        error = np.abs(left - design @ change)
        weights = np.minimum(1.0, NOISE / np.maximum(error, 1e-12)) / NOISE**2
        change = np.linalg.solve(design.T @ (weights[:, None] * design) + prior, design.T @ (weights * left))
    return 1.0 + float(change[0]), change[1:]
