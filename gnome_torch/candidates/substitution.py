"""Which ions may take the place of which: the data-mined substitution model, and a rule for metals."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from pymatgen.core import Composition, Species

from gnome_torch.candidates.chemistry import chemical_distance

# Pettifor steps over which the probability of exchanging two metals falls by 1/e; a third of a period's metals.
METAL_SCALE = 4.0


@dataclass(frozen=True, eq=False)  # compared, and hashed for the caches below, as the one object it is
class SubstitutionModel:
    """Probability that one ion takes the place of another in a known structure.

    Pair probabilities of Hautier et al., Inorg. Chem. 50, 656 (2011), from the table of weights (lambda)
    that pymatgen ships, with GNoME's change: the lambda of any pair is at least `lambda_floor`.

    Attributes:
        weights: (ion, ion), sorted, -> lambda.
        ions: all ions of the table.
        lambda_floor: minimum lambda; -5 is the published model, 0 is GNoME's.
    """

    weights: Mapping[tuple[str, str], float]
    ions: tuple[str, ...]
    lambda_floor: float = 0.0

    def weight(self, a: str, b: str) -> float:
        """lambda of a pair of ions."""
        return max(self.weights.get((a, b) if a <= b else (b, a), -5.0), self.lambda_floor)

    def probability(self, new: str, old: str) -> float:
        """Conditional probability of `new` in the place of `old`, between 0 and 1; 0 for an ion without data."""
        if old not in self.ions or new not in self.ions:
            return 0.0
        return math.exp(self.weight(new, old)) / self._normalisation(old)

    def _normalisation(self, ion: str) -> float:
        return _normalisation(self, ion)


@cache
def _normalisation(model: SubstitutionModel, ion: str) -> float:
    return sum(math.exp(model.weight(ion, other)) for other in model.ions)


@cache
def substitution_model(lambda_floor: float = 0.0) -> SubstitutionModel:
    """The model with pymatgen's table of 230 ions."""
    table = resources.files("pymatgen.core.structure_prediction") / "data" / "lambda.json"
    weights: dict[tuple[str, str], float] = {}
    ions: set[str] = set()
    for a, b, value in json.loads(table.read_text()):
        if "D1+" in (a, b):  # deuterium, left out as pymatgen does
            continue
        a, b = _ion(a), _ion(b)
        weights[(a, b) if a <= b else (b, a)] = float(value)
        ions.update((a, b))
    return SubstitutionModel(weights, tuple(sorted(ions)), lambda_floor)


@cache
def _ion(name: str) -> str:
    """An ion as pymatgen spells it: Na+, where the table has Na1+."""
    return str(Species.from_str(name))


@cache
def ions_of(reduced_formula: str) -> Mapping[str, str] | None:
    """Ion of each element of a compound (Ti -> Ti4+), None where none can be said: metals, or mixed valence.

    pymatgen's oxidation-state guess (the most frequent of the balanced combinations). Mixed valence gives fractional
    states, for which the table has no row.
    """
    composition = Composition(reduced_formula)
    if len(composition) < 2:
        return None
    guesses = composition.oxi_state_guesses(max_sites=-20)
    if not guesses or any(state != int(state) or state == 0 for state in guesses[0].values()):
        return None
    return {symbol: str(Species(symbol, int(state))) for symbol, state in guesses[0].items()}


def replacements(
    reduced_formula: str,
    elements: Sequence[str],
    model: SubstitutionModel,
    threshold: float = 0.001,
) -> Iterator[tuple[dict[str, str], float]]:
    """All ways of putting allowed elements in the place of a compound's elements, with their probability.

    Only ions that change count in the product (GNoME's second change), and at least one must change. Two elements
    may become one. A compound whose ions cannot be said (metals, intermetallics: the table has no oxidation state 0)
    falls under the metals' rule: exp(-d/4) for each change, d the distance on Pettifor's chemical scale.

    Args:
        reduced_formula: the parent's.
        elements: the only elements allowed afterwards.
        model: pair probabilities.
        threshold: products below it are dropped, branch by branch.

    Yields:
        (element of the parent -> new element, changes only; probability).
    """
    ions = ions_of(reduced_formula)
    olds = sorted(element.symbol for element in Composition(reduced_formula))
    options = [_options(old, ions, elements, model, threshold) for old in olds]

    def extend(index: int, changes: dict[str, str], probability: float) -> Iterator[tuple[dict[str, str], float]]:
        if index == len(olds):
            if changes:
                yield changes, probability
            return
        for new, p in options[index]:  # the most probable first: below the threshold none of the rest can pass
            if probability * p < threshold:
                break
            kept = changes if new == olds[index] else {**changes, olds[index]: new}
            yield from extend(index + 1, kept, probability * p)

    yield from extend(0, {}, 1.0)


def _options(
    old: str,
    ions: Mapping[str, str] | None,
    elements: Sequence[str],
    model: SubstitutionModel,
    threshold: float,
) -> list[tuple[str, float]]:
    """What may stand where `old` stood: (element, probability), the most probable first; itself has probability 1."""
    best: dict[str, float] = {}
    for new in elements:
        if new == old:
            best[new] = 1.0
        elif ions is None:
            best[new] = math.exp(-chemical_distance(old, new) / METAL_SCALE)
        else:
            best[new] = max(
                (model.probability(ion, ions[old]) for ion in _ions_by_element(model).get(new, ())), default=0.0
            )
    return sorted(((new, p) for new, p in best.items() if p >= threshold), key=lambda option: (-option[1], option[0]))


@cache
def _ions_by_element(model: SubstitutionModel) -> Mapping[str, tuple[str, ...]]:
    grouped: dict[str, list[str]] = {}
    for ion in model.ions:
        grouped.setdefault(Species.from_str(ion).symbol, []).append(ion)
    return {symbol: tuple(found) for symbol, found in grouped.items()}
