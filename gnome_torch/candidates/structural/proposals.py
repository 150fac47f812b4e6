"""The structural pipeline: full and symmetry-aware partial substitution of known crystals, as arrays.

Candidates stay rows of numbers here, a few dozen bytes each. All parents of one kind (structure type, places of their
elements, symmetry) go through together: what is worked out per choice of sites is then shared by thousands of rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from pymatgen.core import Composition, Element

from gnome_torch.candidates.chemistry.balance import merged
from gnome_torch.candidates.chemistry.elements import element_table, member_table
from gnome_torch.candidates.chemistry.policy import ElementPolicy
from gnome_torch.candidates.chemistry.volumes import contact, reference_volume
from gnome_torch.candidates.prototypes import is_prototype
from gnome_torch.candidates.structural.partial import PartialLimits, partial_choices
from gnome_torch.candidates.structural.structure_types import StructureType, TypedParent
from gnome_torch.candidates.structural.substitution import (
    Ions,
    SubstitutionRules,
    element_assignments,
    element_substitutions,
    ions_of,
    substitution_model,
)
from gnome_torch.candidates.tables.keys import SiteKeys, composition_keys
from gnome_torch.candidates.tables.rows import Rows, Tally, joined, unique
from gnome_torch.hydrates import AmbiguousFormulaError, in_brackets
from gnome_torch.symmetry import keeping

# Substitutions worked on together, and proposals (substitutions times choices of sites) per unit of work
_BLOCK = 50_000
_UNIT_PARENTS = 128
_UNIT_CHOICES = 1024
_MANY = 2_000_000  # rows after which duplicates are dropped before the unit is done


@dataclass(frozen=True)
class StructuralOptions:
    """What may be proposed.

    Attributes:
        policy: elements, sizes, contacts.
        rules: substitution probabilities.
        saps: also replace an ion on some of its sites only.
        partial: how far those choices go.
        assignments: of a prototype of the library, elements are put on its ions in every way, whatever the threshold
            says: in this many ways at most, the most probable ones; 0: only what the threshold lets pass.
        known: keys of known compositions, sorted, (n, 2), as `known_compositions` makes them.
    """

    policy: ElementPolicy
    rules: SubstitutionRules = field(default_factory=SubstitutionRules)
    saps: bool = True
    partial: PartialLimits = field(default_factory=PartialLimits)
    assignments: int = 0
    known: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), dtype=np.uint64))


def known_compositions(formulas: Collection[str]) -> np.ndarray:
    """Sorted keys of reduced compositions, (n, 2).

    Raises:
        ValueError: something that is no formula with integer amounts; the message names it.
    """
    wanted = sorted(set(formulas))
    compositions = []
    for formula in wanted:
        try:
            composition = Composition(in_brackets(formula))
            if not composition.is_element and any(amount != int(amount) for amount in composition.values()):
                composition = Composition(composition.get_integer_formula_and_factor()[0])
            compositions.append([(Element(str(element)).Z, int(amount)) for element, amount in composition.items()])
        except AmbiguousFormulaError:
            raise
        except (ValueError, AttributeError, OverflowError):
            compositions.append([])
        if not compositions[-1]:
            raise ValueError(f"{formula!r} is not a chemical formula")
    width = max(map(len, compositions), default=1)
    padded = np.array([[*pairs, *[(0, 0)] * (width - len(pairs))] for pairs in compositions], dtype=np.int64)
    numbers, amounts = np.moveaxis(padded.reshape(-1, width, 2), 2, 0)
    return np.unique(composition_keys(numbers, amounts), axis=0)


@dataclass(frozen=True, eq=False)
class Unit:
    """Parents that are worked on together: one structure type, one arrangement of elements on it, one symmetry.

    Attributes:
        type: their structure type.
        slots: ion of each site of the type, (n_sites,), counted from 0 in the order of first appearance.
        permutations: symmetry operations of the decorated parents on these sites, (n_operations, n_sites).
        first: index of the first parent in the list of typed parents.
        parents: the parents, consecutive in that list.
    """

    type: StructureType
    slots: np.ndarray
    permutations: np.ndarray
    first: int
    parents: tuple[TypedParent, ...]


def arranged(parents: Sequence[TypedParent]) -> list[TypedParent]:
    """Typed parents in the order of units: by type, arrangement of elements, symmetry, key."""
    return sorted(parents, key=lambda p: (p.type, _slots(p).tobytes(), p.permutations.tobytes(), p.parent.id))


def units(types: Sequence[StructureType], parents: Sequence[TypedParent], options: StructuralOptions) -> Iterator[Unit]:
    """Cut an arranged list of typed parents into units of work; the cuts depend on nothing else."""
    start = 0
    while start < len(parents):
        head = parents[start]
        slots = _slots(head)
        permutations = keeping(head.permutations, slots)
        n_choices = len(site_choices(slots, permutations, options)[0])
        limit = start + max(1, min(_UNIT_PARENTS, _UNIT_CHOICES // n_choices))
        stop = start + 1
        while stop < min(limit, len(parents)) and _alike(head, parents[stop]):
            stop += 1
        yield Unit(types[head.type], slots, permutations, start, tuple(parents[start:stop]))
        start = stop


def _slots(parent: TypedParent) -> np.ndarray:
    numbers = parent.parent.numbers[parent.order]
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    return rank[inverse].astype(np.uint8)


def _alike(a: TypedParent, b: TypedParent) -> bool:
    return a.type == b.type and np.array_equal(_slots(a), _slots(b)) and np.array_equal(a.permutations, b.permutations)


@dataclass(frozen=True, eq=False)
class Grouping:
    """Which sites change together.

    Attributes:
        groups: group of each site of the type, (n_sites,): the ion, and one more for the sites on which the partly
            replaced ion stays.
        slot: the partly replaced ion; None for a full substitution.
    """

    groups: np.ndarray
    slot: int | None = None

    @property
    def counts(self) -> np.ndarray:
        """Sites in each group, (n_groups,)."""
        return np.bincount(self.groups)


def site_choices(slots: np.ndarray, permutations: np.ndarray, options: StructuralOptions) -> tuple[list[Grouping], int]:
    """The full substitution, then every partial one; and how many choices of sites the limits left out."""
    groupings, left_out = [Grouping(slots.astype(np.intp))], 0
    if options.saps:
        n_slots = int(slots.max()) + 1
        for slot in range(n_slots):
            choices, beyond = partial_choices(permutations, np.flatnonzero(slots == slot), options.partial)
            left_out += abs(beyond)
            for choice in choices:
                groups = np.where(slots == slot, n_slots, slots).astype(np.intp)
                groups[list(choice.sites)] = slot
                groupings.append(Grouping(groups, slot))
    return groupings, left_out


def parent_ions(parent: TypedParent, options: StructuralOptions) -> Ions:
    """What the parent's elements are taken for, slot by slot."""
    numbers = parent.parent.numbers[parent.order]
    slots = _slots(parent)
    olds = [int(numbers[np.argmax(slots == slot)]) for slot in range(int(slots.max()) + 1)]
    symbols = tuple(str(element_table().symbols[z]) for z in olds)
    counts = {symbol: int(n) for symbol, n in zip(symbols, np.bincount(slots), strict=True)}
    states = parent.parent.states
    given = None if states is None else tuple(states[z] for z in olds)
    return ions_of(Composition(counts).reduced_formula, symbols, given, options.rules.lambda_floor)


def propose(unit: Unit, options: StructuralOptions) -> tuple[Rows | None, Tally]:
    """Every substitution in a unit's parents that passes the filters, each once.

    Returns:
        The candidates, None if there are none, and what became of all that was proposed.
    """
    tally = Tally()
    groupings, _ = site_choices(unit.slots, unit.permutations, options)
    # choices of as many sites of the same ion give the same compositions, which are judged once
    alike: dict[tuple[int | None, bytes], list[Grouping]] = {}
    for grouping in groupings:
        alike.setdefault((grouping.slot, grouping.counts.tobytes()), []).append(grouping)
    closest = np.array([p.parent.closest[np.ix_(p.order, p.order)] for p in unit.parents])  # (parents, sites, sites)
    stages = [(_Compositions(unit, some), [_Sites(unit, g, closest) for g in some]) for some in alike.values()]
    found: list[Rows] = []
    # full substitutions come first in `groupings`; what is improbable is not done on some of the sites, too
    work = [(_substitutions(unit, options), stages), (_assignments(unit, options), stages[:1])]
    for block, some in ((block, some) for blocks, some in work for block in blocks):
        for compositions, choices in some:
            new = compositions.judged(*block, options, tally)
            found += [rows for sites in choices if len(rows := sites.candidates(*new, options, tally))]
        if sum(map(len, found)) > _MANY:
            found = [_each_once(found, tally)]
    if not found:
        return None, tally
    best = _each_once(found, tally)
    tally.passed = len(best)
    return best, tally


def _each_once(parts: Sequence[Rows], tally: Tally) -> Rows:
    rows = joined(parts)
    best = unique(rows)
    tally.duplicates += len(rows) - len(best)
    return best


_Substituted = tuple[np.ndarray, np.ndarray, np.ndarray]


def _substitutions(unit: Unit, options: StructuralOptions) -> Iterator[_Substituted]:
    """Full substitutions in blocks: parent within the unit, (n,), new element of each ion, (n, n_ions), probability."""
    model = substitution_model(options.rules.lambda_floor)
    allowed = member_table(options.policy.allowed)
    return _in_blocks(
        (index, *found)
        for index, parent in enumerate(unit.parents)
        for found in element_substitutions(parent_ions(parent, options).ions, allowed, model, options.rules)
    )


def _assignments(unit: Unit, options: StructuralOptions) -> Iterator[_Substituted]:
    """Every assignment of elements to the ions of the library's prototypes in a unit, in blocks as `_substitutions`."""
    model = substitution_model(options.rules.lambda_floor)
    allowed = member_table(options.policy.allowed)
    return _in_blocks(
        (index, *element_assignments(parent_ions(parent, options).ions, allowed, model, options.assignments))
        for index, parent in enumerate(unit.parents)
        if options.assignments and is_prototype(parent.parent.id)
    )


def _in_blocks(found: Iterable[tuple[int, np.ndarray, np.ndarray]]) -> Iterator[_Substituted]:
    """Join small parts (parent, its new elements, their probabilities) to blocks that are worth an array operation."""
    waiting: list[_Substituted] = []
    size = 0
    for index, news, probability in found:
        waiting.append((np.full(len(news), index), news, probability))
        size += len(news)
        if size >= _BLOCK:
            yield _concatenated(waiting)
            waiting, size = [], 0
    if waiting:
        yield _concatenated(waiting)


def _concatenated(parts: Sequence[_Substituted]) -> _Substituted:
    parents, news, probabilities = zip(*parts, strict=True)
    return np.concatenate(parents), np.concatenate(news), np.concatenate(probabilities)


class _Compositions:
    """Choices of as many sites of the same ion: where they leave which composition."""

    def __init__(self, unit: Unit, groupings: Sequence[Grouping]) -> None:
        self.n_choices, self.slot, self.counts = len(groupings), groupings[0].slot, groupings[0].counts
        self.stays = None if self.slot is None else _elements_of(unit, groupings[0])[:, self.slot]  # (parents,)

    def judged(
        self,
        parent: np.ndarray,
        news: np.ndarray,
        probability: np.ndarray,
        options: StructuralOptions,
        tally: Tally,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of full substitutions those that apply here and whose composition is allowed and new.

        Args:
            parent: index of the parent within the unit, (n,).
            news: new element of each ion, (n, n_slots).
            probability: (n,).
            options: the filters.
            tally: counts each composition once for every choice of sites.

        Returns:
            The same for those kept, with the new element of each group of sites.
        """
        policy = options.policy
        if self.stays is not None:
            stays = self.stays[parent]
            # the ion must change, and may stay on its other sites only if the policy has it
            applies = (news[:, self.slot] != stays) & member_table(policy.allowed)[stays]
            parent, probability = parent[applies], probability[applies]
            news = np.concatenate([news[applies], stays[applies][:, None]], axis=1)
        tally.proposed += self.n_choices * len(parent)
        elements, amounts = merged(news, self.counts)
        kept = np.ones(len(parent), dtype=bool)
        for rule, refused in policy.refusals(elements, amounts):
            if refused.any():
                tally.refused[rule] += self.n_choices * int(refused.sum())
                kept &= ~refused
        if len(options.known):
            known = kept & among(composition_keys(elements, amounts), options.known)
            tally.known += self.n_choices * int(known.sum())
            kept &= ~known
        return parent[kept], news[kept], probability[kept]


class _Sites:
    """One choice of sites in a unit's parents, with all that does not depend on what is put there."""

    def __init__(self, unit: Unit, grouping: Grouping, closest: np.ndarray) -> None:
        self.unit, self.grouping, self.counts = unit, grouping, grouping.counts
        salt = int.from_bytes(hashlib.blake2b(unit.type.id.encode(), digest_size=7).digest())
        self.keys = SiteKeys(unit.type.permutations, grouping.groups, salt)
        self.olds = _elements_of(unit, grouping)  # (parents, groups)
        self.volumes = np.array([p.parent.volume for p in unit.parents])
        self.orders = np.array([p.order for p in unit.parents])  # (parents, sites)
        n_groups = len(self.counts)
        self.closest = np.empty((len(unit.parents), n_groups, n_groups))
        for a in range(n_groups):
            for b in range(a, n_groups):
                pairs = closest[:, grouping.groups == a][:, :, grouping.groups == b]
                self.closest[:, a, b] = self.closest[:, b, a] = pairs.min(axis=(1, 2))

    def candidates(
        self, parent: np.ndarray, news: np.ndarray, probability: np.ndarray, options: StructuralOptions, tally: Tally
    ) -> Rows:
        """The crystals, at their reference volume, whose atoms are not too near."""
        olds, closest, volumes = self.olds[parent], self.closest[parent], self.volumes[parent]
        volume = np.round(reference_volume(olds, news, self.counts, closest, volumes), 3)
        touch = contact(news, closest, np.cbrt(volume / volumes))
        apart = np.flatnonzero(touch >= options.policy.min_contact)
        if len(apart) < len(parent):
            tally.refused["atoms too near"] += len(parent) - len(apart)
            parent, news, olds = parent[apart], news[apart], olds[apart]
            volume, touch, probability = volume[apart], touch[apart], probability[apart]
        numbers = np.empty((len(parent), len(self.grouping.groups)), dtype=np.uint8)
        np.put_along_axis(numbers, self.orders[parent], news[:, self.grouping.groups], axis=1)
        return Rows(
            parent=(parent + self.unit.first).astype(np.int32),
            numbers=numbers,
            olds=olds,
            news=news,
            counts=np.broadcast_to(self.counts.astype(np.uint16), news.shape),
            partial=np.full(len(parent), self.grouping.slot is not None),
            volume=volume,
            contact=touch,
            probability=probability,
            keys=self.keys(news),
        )


def _elements_of(unit: Unit, grouping: Grouping) -> np.ndarray:
    """Element of each group of sites in each parent, (n_parents, n_groups)."""
    sites = [int(np.argmax(grouping.groups == group)) for group in range(len(grouping.counts))]
    return np.array([p.parent.numbers[p.order[sites]] for p in unit.parents])


def among(keys: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Whether each key is among the sorted known ones, (n,)."""
    if not len(known):
        return np.zeros(len(keys), dtype=bool)
    # the first halves nearly always decide; equal ones stand side by side
    position = np.searchsorted(known[:, 0], keys[:, 0])
    found = np.zeros(len(keys), dtype=bool)
    for offset in range(2):
        at = np.minimum(position + offset, len(known) - 1)
        found |= (known[at] == keys).all(axis=1)
    return found
