"""Which of all known crystals are worth substituting in, before any of them is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cache

import numpy as np
from pymatgen.core import Composition

from gnome_torch.candidates.chemistry.elements import member_table
from gnome_torch.candidates.chemistry.policy import ElementPolicy
from gnome_torch.candidates.structural.substitution import SubstitutionRules, substitution_model
from gnome_torch.records import KnownCrystal


def relatives(known: Iterable[KnownCrystal], policy: ElementPolicy, rules: SubstitutionRules, most: int) -> list[str]:
    """Keys of the crystals that fit: one of each prototype before a second of any, those nearest their hull first.

    A crystal fits if what its elements are the likeliest to be replaced by, among those allowed, is more probable than
    the threshold, taken as a product: as in a substitution, but whatever their ions are in it.

    Args:
        known: crystals, those nearest their hull first.
        policy: elements allowed.
        rules: threshold and probabilities.
        most: keys at most.
    """
    likeliest = _likeliest(frozenset(policy.allowed), rules.lambda_floor)
    fitting = []
    for crystal in known:
        fit = float(np.prod([likeliest[element.Z] for element in Composition(crystal.formula)]))
        if fit > rules.threshold:
            fitting.append((round(crystal.e_above_hull, 3), -fit, crystal.key, crystal.prototype))
    seen: Counter[str | None] = Counter()
    turns = []
    for distance, unfit, key, prototype in sorted(fitting, key=lambda item: item[:3]):
        turns.append((seen[prototype], distance, unfit, key))
        seen[prototype] += 1
    return [key for *_, key in sorted(turns)[:most]]


@cache
def _likeliest(allowed: frozenset[str], lambda_floor: float) -> np.ndarray:
    """Probability that an element is replaced by the likeliest of those allowed, (119,); 1 for these themselves."""
    model = substitution_model(lambda_floor)
    members = member_table(allowed)
    from_ion = model.probabilities[members[model.numbers]].max(axis=0, initial=0.0)  # (n_ions,)
    found = np.zeros(len(members))
    np.maximum.at(found, model.numbers, from_ion)
    found[members] = 1.0
    return found
