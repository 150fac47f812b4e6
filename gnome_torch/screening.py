"""Stage 2, filter: the selection rule. Numbers in, decisions out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """A candidate that goes to relaxation.

    Attributes:
        index: position in the input.
        distance: predicted distance to the hull, eV/atom (negative below it).
    """

    index: int
    distance: float


def select(
    formulas: Sequence[str],
    predicted: Sequence[float],
    hull: Sequence[float],
    threshold: float = 0.05,
    limit: int | None = None,
) -> list[Choice]:
    """Candidates predicted near or below the hull, one per composition, the most promising first.

    GNoME's rule: predicted distance to the current hull at most 50 meV/atom, and only the structure of lowest
    predicted energy of each composition. Ties are broken by the order of the input.

    Args:
        formulas: reduced formulas, (n,).
        predicted: formation energies, eV/atom, (n,).
        hull: energy of the hull at each composition, eV/atom, (n,).
        threshold: largest predicted distance, eV/atom.
        limit: at most this many; None for all.

    Raises:
        ValueError: inputs of different lengths.
    """
    lowest: dict[str, Choice] = {}
    for index, (formula, energy, floor) in enumerate(zip(formulas, predicted, hull, strict=True)):
        distance = energy - floor
        if distance <= threshold and (formula not in lowest or distance < lowest[formula].distance):
            lowest[formula] = Choice(index, distance)
    ranked = sorted(lowest.values(), key=lambda choice: (choice.distance, choice.index))
    return ranked if limit is None else ranked[:limit]
