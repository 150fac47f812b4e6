"""What an ensemble's spread is worth: errors on examples it has not learnt from, beside its inter-quartile range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import spearmanr

from gnome_torch.models.ensemble import Ensemble
from gnome_torch.training.dataset import CompositionSet, TrainingSet


@dataclass(frozen=True)
class Bin:
    """Examples of similar spread.

    Attributes:
        n: how many.
        iqr: their mean inter-quartile range, eV/atom.
        mae: mean absolute error of the median, eV/atom.
    """

    n: int
    iqr: float
    mae: float


@dataclass(frozen=True)
class Calibration:
    """Errors of an ensemble against its spread.

    Attributes:
        n: examples.
        mae: mean absolute error of the median over the members, eV/atom.
        member_mae: mean over the members of their own mean absolute errors, eV/atom.
        iqr: mean inter-quartile range, eV/atom.
        within: share of the errors that are smaller than half the range: 0.5 for a spread that is the uncertainty.
        rank_correlation: Spearman's, between error and range; 1 for a range that ranks the errors, None if undefined.
        bins: from small to large range, as many examples in each.
    """

    n: int
    mae: float
    member_mae: float
    iqr: float
    within: float
    rank_correlation: float | None
    bins: Sequence[Bin]


@torch.no_grad()
def member_energies(
    ensemble: Ensemble, dataset: TrainingSet | CompositionSet, indices: np.ndarray, batch_size: int = 1024
) -> np.ndarray:
    """Energies of examples of a data set at their own volumes by each member, eV/atom, (n_members, n).

    Args:
        ensemble: of the data set's kind, on any device.
        dataset: crystals or compositions.
        indices: which, (n,).
        batch_size: examples in one batch.
    """
    device = next(ensemble.parameters()).device
    parts = [np.zeros((len(ensemble), 0))]
    for first in range(0, len(indices), batch_size):
        batch = dataset.batch(ensemble.config, indices[first : first + batch_size], device=device)
        parts.append(ensemble(batch).double().cpu().numpy())
    return np.concatenate(parts, axis=1)


def calibrate(energies: np.ndarray, targets: np.ndarray, n_bins: int = 5) -> Calibration:
    """Compare errors and spread.

    Args:
        energies: by each member, eV/atom, (n_members, n); of examples that no member has learnt from.
        targets: eV/atom, (n,).
        n_bins: parts of equal size, from small to large spread.

    Raises:
        ValueError: for a single member, or no example.
    """
    if len(energies) < 2 or len(targets) == 0:
        raise ValueError(f"{len(energies)} members and {len(targets)} examples: a spread needs two and one")
    errors = np.abs(np.median(energies, axis=0) - targets)
    low, high = np.percentile(energies, [25, 75], axis=0)
    iqr = high - low
    ranked = len(targets) > 2 and np.ptp(iqr) > 0 and np.ptp(errors) > 0
    correlation = spearmanr(errors, iqr).statistic if ranked else None
    parts = [part for part in np.array_split(np.argsort(iqr, kind="stable"), n_bins) if len(part)]
    return Calibration(
        n=len(targets),
        mae=float(errors.mean()),
        member_mae=float(np.abs(energies - targets).mean()),
        iqr=float(iqr.mean()),
        within=float((errors <= iqr / 2).mean()),
        rank_correlation=None if correlation is None else float(correlation),
        bins=[Bin(len(part), float(iqr[part].mean()), float(errors[part].mean())) for part in parts],
    )
