"""No relaxation for a crystal that is there: what candidates have come to in their first steps is compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from pymatgen.core import Structure

from gnome_torch.similarity import Compared
from workflows.campaign.baseline import Judgements, computed_before
from workflows.campaign.campaign import Campaign

LOWER = 0.003
"""A crystal that the potential has this much lower is another one, however alike the two are, eV/atom: a distortion
that pays is within the tolerances of a comparison. (Of what was computed the potential has no minimum, only its
energy at the best volume, which is 1 or 2 meV/atom above it.)"""

Kept = list[tuple[float, Compared]]
"""Energy by the baseline's potential, eV/atom, and crystal."""


def computed(campaign: Campaign, number: int, judgements: Judgements) -> dict[str, list[tuple[float, Structure]]]:
    """Crystals that were computed before a round, by formula, with the potential's energy of them, eV/atom."""
    found = defaultdict(list)
    for _, structure, energy in computed_before(campaign, number, judgements):
        found[structure.composition.reduced_formula].append((energy, structure))
    return dict(found)


def already_there(
    known: dict[str, list[tuple[float, Structure]]], judgements: Judgements, candidates: Iterable[tuple[str, str]]
) -> set[str]:
    """Keys of the candidates that are a crystal which was computed, or which a lower candidate has come to as well.

    Args:
        known: as `computed`.
        judgements: of the baseline's potential.
        candidates: key and reduced formula of those that took their first steps.
    """
    by_formula: dict[str, list[str]] = defaultdict(list)
    for key, formula in candidates:
        by_formula[formula].append(key)
    found = set()
    for formula, keys in by_formula.items():
        kept: Kept = [(energy, Compared(structure)) for energy, structure in known.get(formula, [])]
        for key in sorted(keys, key=lambda key: (judgements.approached(key).energy, key)):
            some = judgements.approached(key)
            if some.structure is None:
                continue
            new = Compared(some.structure)
            if any(some.energy >= energy - LOWER and new.is_same(other) for energy, other in kept):
                found.add(key)
            else:
                kept.append((some.energy, new))
    return found
