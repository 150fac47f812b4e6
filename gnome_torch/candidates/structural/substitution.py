"""Which ions may take the place of which: the data-mined substitution model, and a rule for metals."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import product
from math import perm

import numpy as np
from pymatgen.core import Composition, Element, Species

from gnome_torch.candidates.chemistry.elements import N_NUMBERS, element_table

METAL_SCALE = 6.0
"""Steps of Pettifor's chemical scale over which the probability of exchanging two metals falls by 1/e. Measured: over
the 14,578 metallic compounds of the Materials Project (2019), the chance that a compound is known with B in the place
of A exceeds its value for distant elements by an amount that falls so (benchmarks/chemical_scale.py)."""

METAL_BACKGROUND = 0.2
"""What remains of it at any distance, in units of the excess: CaMg2 has MgZn2's structure across 57 steps."""

SIZE_SCALE = 0.1
"""Standard deviation of the changes of ln(radius), over the metals of a compound, at which its probability has fallen
by 1/e: all may grow together, as a Laves phase stays one while the ratio of its radii does. This and the background are
measured, too (same benchmark): of compounds kept back, 76 % of the binary and 52 % of the ternary ones are among as
many proposals as compounds are known; by the chemical scale alone 61 and 39 %."""

_BLOCK = 200_000


@dataclass(frozen=True)
class SubstitutionRules:
    """How substitutions are judged.

    The defaults are GNoME's. `SubstitutionRules.stock()` is the published model as pymatgen has it.

    Attributes:
        threshold: smallest probability; a product of the factors of the ions.
        lambda_floor: minimum lambda of any pair.
        count_unchanged: whether ions that stay count in the product, with the probability that the model gives an ion
            for its own place; otherwise their factor is 1.
    """

    threshold: float = 0.001
    lambda_floor: float = 0.0
    count_unchanged: bool = False

    @classmethod
    def stock(cls, threshold: float = 0.001) -> SubstitutionRules:
        """Hautier et al., Inorg. Chem. 50, 656 (2011): unseen pairs have lambda -5, and every ion counts."""
        return cls(threshold, lambda_floor=-5.0, count_unchanged=True)


@dataclass(frozen=True, eq=False)  # compared as the one object it is
class SubstitutionModel:
    """Conditional probability that one ion takes the place of another in a known structure.

    Pair probabilities of Hautier et al., Inorg. Chem. 50, 656 (2011), from the table of weights (lambda) that pymatgen
    ships. The table has no oxidation state 0. For those (metals, intermetallics), and for elements without an ion in
    the table, p(new | old) = 0.2 + exp(-d / 6), normalised over all new elements, d the distance on Pettifor's chemical
    scale (Solid State Commun. 51, 31, 1984); metals and metalloids are exchanged among themselves, and so are
    non-metals. Where two or more of a compound's elements are in state 0, their sizes count as well (`size_factor`).

    Attributes:
        ions: the table's ions, as pymatgen spells them, then the elements in state 0 ("Cu0+").
        numbers: atomic number of each, (n_ions,).
        states: oxidation state of each, (n_ions,).
        probabilities: [new, old], (n_ions, n_ions); 0 between ions and elements in state 0.
        by_element: [new element, old ion], (119, n_ions): the most probable of the element's ions; where it has none
            that may be there, the metals' rule times the probability of the least probable element that has one.
    """

    ions: tuple[str, ...]
    numbers: np.ndarray
    states: np.ndarray
    probabilities: np.ndarray
    by_element: np.ndarray

    def index(self, ion: str) -> int:
        """Place of an ion.

        Raises:
            KeyError: the model does not have it.
        """
        return self._index[ion]

    @property
    def _index(self) -> dict[str, int]:
        return _positions(self)

    def probability(self, new: str, old: str) -> float:
        """Conditional probability of `new` in the place of `old`, between 0 and 1; 0 for an ion without data."""
        if new not in self._index or old not in self._index:
            return 0.0
        return float(self.probabilities[self.index(new), self.index(old)])


@cache
def _positions(model: SubstitutionModel) -> dict[str, int]:
    return {ion: index for index, ion in enumerate(model.ions)}


@cache
def substitution_model(lambda_floor: float = 0.0) -> SubstitutionModel:
    """The model with pymatgen's table of 230 ions and the metals' rule.

    Args:
        lambda_floor: minimum lambda of any pair; -5 is the published model, 0 is GNoME's.
    """
    table = resources.files("pymatgen.core.structure_prediction") / "data" / "lambda.json"
    # deuterium is left out, as pymatgen does; the table spells Na1+ what pymatgen spells Na+
    rows = [(_ion(a), _ion(b), float(x)) for a, b, x in json.loads(table.read_text()) if "D1+" not in (a, b)]
    charged = sorted({ion for a, b, _ in rows for ion in (a, b)})
    position = {ion: index for index, ion in enumerate(charged)}
    weights = np.full((len(charged), len(charged)), -5.0)
    for a, b, value in rows:
        weights[position[a], position[b]] = weights[position[b], position[a]] = value
    weights = np.exp(np.maximum(weights, lambda_floor))

    scale = element_table().mendeleev_number
    neutral = np.flatnonzero(~np.isnan(scale))
    nearness = METAL_BACKGROUND + np.exp(-np.abs(scale[neutral][:, None] - scale[neutral][None, :]) / METAL_SCALE)
    # metals and metalloids among themselves: the scale's end puts fluorine as near to gold as gold is to titanium
    non_metal = np.array([not (e.is_metal or e.is_metalloid) for e in map(Element.from_Z, neutral.tolist())])
    fenced = np.where(non_metal[:, None] != non_metal[None, :], 0.0, nearness)

    n = len(charged)
    probabilities = np.zeros((n + len(neutral), n + len(neutral)))
    probabilities[:n, :n] = weights / weights.sum(axis=0)
    probabilities[n:, n:] = fenced / fenced.sum(axis=0)
    symbols = element_table().symbols
    species = [Species.from_str(ion) for ion in charged]
    numbers = np.array([*(ion.Z for ion in species), *neutral], dtype=np.uint8)
    return SubstitutionModel(
        ions=(*charged, *(f"{symbols[number]}0+" for number in neutral)),
        numbers=numbers,
        states=np.array([*(int(ion.oxi_state or 0) for ion in species), *(0 for _ in neutral)]),
        probabilities=probabilities,
        by_element=_by_element(numbers, probabilities, neutral, nearness / nearness.sum(axis=0)),
    )


def _by_element(
    numbers: np.ndarray, probabilities: np.ndarray, neutral: np.ndarray, metals_rule: np.ndarray
) -> np.ndarray:
    """Probability of an element, in whatever state, in the place of an ion, (119, n_ions).

    Args:
        numbers: atomic number of each ion, (n_ions,).
        probabilities: [new, old], (n_ions, n_ions).
        neutral: elements with a place on the chemical scale, ascending, (n,).
        metals_rule: [new, old] of these, non-metals among them, (n, n).
    """
    found = np.zeros((N_NUMBERS, len(numbers)))
    np.maximum.at(found, numbers, probabilities)
    has_place = np.isin(numbers, neutral)
    fallback = np.zeros_like(found)
    fallback[np.ix_(neutral, has_place)] = metals_rule[:, np.searchsorted(neutral, numbers[has_place])]
    least = np.where(found > 0, found, np.inf).min(axis=0)
    return np.where(found > 0, found, fallback * least)


def _ion(name: str) -> str:
    return str(Species.from_str(name))


@dataclass(frozen=True)
class Ions:
    """The ions that a compound is taken to consist of.

    Attributes:
        ions: name of each, in the order of the elements asked for.
        rule: where the oxidation states come from: "given" with the crystal, "guessed" (pymatgen's most frequent
            balanced combination), "nearest to neutral" (no combination of one integer state per element balances:
            mixed valence, radicals), "chemical scale" (metals), or "mixed" (some elements have no ion in the table).
    """

    ions: tuple[str, ...]
    rule: str


@cache
def ions_of(
    reduced_formula: str, symbols: tuple[str, ...], given: tuple[int, ...] | None = None, lambda_floor: float = 0.0
) -> Ions:
    """What the elements of a compound are taken for.

    Args:
        reduced_formula: the compound.
        symbols: its elements.
        given: their oxidation states, where the crystal came with them.
        lambda_floor: of the model.
    """
    model = substitution_model(lambda_floor)
    states: Mapping[str, int]
    if given is not None:
        states, rule = dict(zip(symbols, given, strict=True)), "given"
    elif not any(element_table().forms_anions[Element(symbol).Z] for symbol in symbols) or len(symbols) == 1:
        return Ions(tuple(f"{symbol}0+" for symbol in symbols), "chemical scale")
    else:
        states, rule = _guess(reduced_formula)
    ions = tuple(_in_table(model, symbol, states.get(symbol, 0)) for symbol in symbols)
    if any(ion.endswith("0+") for ion in ions):
        rule = "chemical scale" if all(ion.endswith("0+") for ion in ions) else "mixed"
    return Ions(ions, rule)


def _guess(reduced_formula: str) -> tuple[Mapping[str, int], str]:
    """Oxidation state of each element, and the rule that gave it."""
    composition = Composition(reduced_formula)
    try:
        guesses = composition.oxi_state_guesses(max_sites=-20)
    except ValueError:  # pymatgen: too many atoms in the formula to try
        guesses = ()
    if guesses and all(state == int(state) and state != 0 for state in guesses[0].values()):
        return {symbol: int(state) for symbol, state in guesses[0].items()}, "guessed"
    symbols = [element.symbol for element in composition]
    options = [[int(s) for s in Element(symbol).common_oxidation_states if s] or [0] for symbol in symbols]
    # the last element in the order of electronegativity is the anion: it does not become a cation
    anion = max(range(len(symbols)), key=lambda i: element_table().electronegativity[Element(symbols[i]).Z])
    options[anion] = [state for state in options[anion] if state < 0] or options[anion]

    def charge(states: tuple[int, ...]) -> tuple[float, int]:
        total = sum(composition[symbol] * state for symbol, state in zip(symbols, states, strict=True))
        return abs(total), sum(map(abs, states))

    best = min(product(*options), key=charge)
    return dict(zip(symbols, best, strict=True)), "nearest to neutral"


def _in_table(model: SubstitutionModel, symbol: str, state: int) -> str:
    """The table's ion of an element with this state, or the nearest one of the same sign; else its state 0."""
    own = np.flatnonzero((model.numbers == Element(symbol).Z) & (model.states * state > 0))
    if not len(own):
        return f"{symbol}0+"
    return model.ions[own[np.argmin(np.abs(model.states[own] - state))]]


def ion_substitutions(
    ions: Sequence[str],
    allowed: np.ndarray,
    model: SubstitutionModel,
    rules: SubstitutionRules,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All ways of putting ions in the place of a compound's, with their probability, by branch and bound.

    At least one ion changes, and no ion comes twice: two ions do not become one, though one element may come in two
    states (pymatgen's rule).

    Args:
        ions: the compound's, all different.
        allowed: which of the model's ions may be there afterwards, (n_ions,).
        model: pair probabilities.
        rules: threshold and what counts.

    Yields:
        Blocks of at most about 200,000: ions by their place in the model, (n, len(ions)), and probabilities, (n,).
    """
    olds = np.array([model.index(ion) for ion in ions])
    options = [_options(old, allowed, model, rules) for old in olds]
    if not all(len(news) for news, _ in options):
        return
    for chosen, p in _extended(np.zeros((1, 0), dtype=np.intp), np.ones(1), options, rules.threshold):
        probability = p * size_factor(model, olds, model.numbers[chosen])
        fine = (chosen != olds).any(axis=1) & (probability > rules.threshold)
        if fine.any():
            yield chosen[fine], probability[fine]


def size_factor(model: SubstitutionModel, olds: np.ndarray, news: np.ndarray) -> np.ndarray:
    """By how much less probable a substitution is because its metals change their sizes unlike one another, (n,).

    exp(-s / 0.1), s the standard deviation of the changes of ln(radius) over a compound's elements in state 0, which
    stay in place or not; 1 where there are fewer than two. Radius: of the volume that an atom has in the solid element.

    Args:
        model: of the ions.
        olds: the compound's ions by their place in the model, (k,).
        news: atomic numbers in their place, (n, k).
    """
    metals = np.flatnonzero(model.states[olds] == 0)
    if len(metals) < 2:
        return np.ones(len(news))
    radius = np.log(element_table().atomic_volume) / 3
    changes = radius[news[:, metals]] - radius[model.numbers[olds[metals]]]
    return np.asarray(np.exp(-changes.std(axis=1) / SIZE_SCALE))


def _options(
    old: int, allowed: np.ndarray, model: SubstitutionModel, rules: SubstitutionRules
) -> tuple[np.ndarray, np.ndarray]:
    """Ions that may stand in the place of one, the most probable first, and the factor that each contributes."""
    factors = model.probabilities[:, old].copy()
    if not rules.count_unchanged:
        factors[old] = 1.0
    news = np.flatnonzero(allowed & (factors > rules.threshold))
    news = news[np.argsort(-factors[news], kind="stable")]
    return news, factors[news]


def _extended(
    chosen: np.ndarray, p: np.ndarray, options: Sequence[tuple[np.ndarray, np.ndarray]], threshold: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Complete choices that begin with partial ones.

    Args:
        chosen: the ions of each partial choice, (n, places filled).
        p: products of their factors, (n,).
        options: of each place, ions and factors, the largest first.
        threshold: what the product of a complete choice must exceed.
    """
    depth = chosen.shape[1]
    if depth == len(options):
        yield chosen, p
        return
    news, factors = options[depth]
    # the most that the places after this one can contribute; multiplied from the last on, so that it rounds alike
    bound = 1.0
    for _, further in reversed(options[depth + 1 :]):
        bound *= further[0]
    # options are sorted: each partial choice takes a leading part of them
    room = np.searchsorted(-factors, -threshold / (p * bound), side="left")
    ends = np.cumsum(room)
    start = 0
    while start < len(p):
        stop = max(start + 1, int(np.searchsorted(ends, ends[start] - room[start] + _BLOCK, side="right")))
        some = np.repeat(np.arange(start, stop), room[start:stop])
        first = ends[start:stop] - room[start:stop] - (ends[start] - room[start])
        option = np.arange(len(some)) - np.repeat(first, room[start:stop])
        wider, probability = np.c_[chosen[some], news[option]], p[some] * factors[option]
        fine = (probability * bound > threshold) & (chosen[some] != news[option][:, None]).all(axis=1)
        yield from _extended(wider[fine], probability[fine], options, threshold)
        start = stop


def element_substitutions(
    ions: Sequence[str],
    allowed: np.ndarray,
    model: SubstitutionModel,
    rules: SubstitutionRules,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """`ion_substitutions` by element: of the ways that differ in oxidation states only, the most probable.

    Ways in which all elements stay are left out. (In different blocks the same elements can come again.)

    Args:
        ions: the compound's, all different.
        allowed: which atomic numbers may be there afterwards, (119,).
        model: pair probabilities.
        rules: threshold and what counts.

    Yields:
        Atomic numbers, (n, len(ions)), uint8, in a fixed order, and probabilities, (n,).
    """
    own = np.array([model.numbers[model.index(ion)] for ion in ions])
    for chosen, probability in ion_substitutions(ions, allowed[model.numbers], model, rules):
        numbers = model.numbers[chosen]
        order = np.lexsort((-probability, *numbers.T))
        numbers, p = numbers[order], probability[order]
        first = np.ones(len(p), dtype=bool)
        first[1:] = (numbers[1:] != numbers[:-1]).any(axis=1)
        first &= (numbers != own).any(axis=1)
        if first.any():
            yield numbers[first], p[first]


def element_assignments(
    ions: Sequence[str], allowed: np.ndarray, model: SubstitutionModel, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Every way of putting different elements in the place of a compound's ions, however improbable.

    Its own elements are among them where they are allowed. Where there would be more than `most`, each ion has only the
    elements that are the most probable there, as many as fit (45 of them for two ions, 13 for three, 8 for four if
    `most` is 2,000), and of their combinations the most probable are kept.

    Args:
        ions: the compound's, all different.
        allowed: which atomic numbers may be there, (119,).
        model: probabilities.
        most: assignments at most.

    Returns:
        Atomic numbers, (n, len(ions)), uint8, the most probable first, and probabilities, (n,): products over the ions
        that change, as in a substitution, to rank them by.
    """
    olds = np.array([model.index(ion) for ion in ions])
    per_ion = len(ions)
    while per_ion < N_NUMBERS and perm(per_ion + 1, len(ions)) <= most:
        per_ion += 1
    options = []
    for old in olds:
        factors = model.by_element[:, old].copy()
        factors[model.numbers[old]] = 1.0
        news = np.flatnonzero(allowed & (factors > 0) & (np.arange(N_NUMBERS) > 0))
        news = news[np.argsort(-factors[news], kind="stable")][:per_ion]
        options.append((news, factors[news]))
    nothing = (np.zeros((0, len(ions)), dtype=np.uint8), np.zeros(0))
    if not all(len(news) for news, _ in options):
        return nothing
    blocks = list(_extended(np.zeros((1, 0), dtype=np.intp), np.ones(1), options, 0.0))
    numbers = np.concatenate([chosen for chosen, _ in blocks] or [nothing[0]]).astype(np.uint8)
    p = np.concatenate([p for _, p in blocks] or [nothing[1]]) * size_factor(model, olds, numbers)
    order = np.lexsort((*numbers.T[::-1], -p))[:most]
    return numbers[order], p[order]
