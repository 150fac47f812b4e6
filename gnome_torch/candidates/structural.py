"""The structural pipeline: full and symmetry-aware partial substitution of known crystals, filtered, as a stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from itertools import combinations

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from pymatgen.core import Structure

from gnome_torch.candidates.chemistry import substituted_volume
from gnome_torch.candidates.decoration import make_candidate, symbols_of
from gnome_torch.candidates.policy import ElementPolicy
from gnome_torch.candidates.substitution import SubstitutionModel, replacements
from gnome_torch.candidates.symmetry import symmetry
from gnome_torch.records import Candidate, Lineage


@dataclass(frozen=True)
class Parent:
    """A known crystal to substitute in."""

    id: str
    structure: Structure

    @cached_property
    def distances(self) -> np.ndarray:
        """Shortest distance of each pair of sites, their images included, angstrom, (n_sites, n_sites)."""
        distances = np.array(self.structure.distance_matrix)
        shortest = min(self.structure.lattice.get_niggli_reduced_lattice().abc)
        np.fill_diagonal(distances, shortest)
        return distances

    def contact(self, species: list[str], volume: float) -> float:
        """Shortest distance with other species at another volume, in units of the sum of the two covalent radii."""
        radii = np.array([_covalent_radius(symbol) for symbol in species])
        scale = (volume / self.structure.volume) ** (1 / 3)
        return float((self.distances * scale / (radii[:, None] + radii[None, :])).min())


@cache
def _covalent_radius(symbol: str) -> float:
    """Covalent radius, angstrom (Cordero et al., Dalton Trans. 2832, 2008, from ASE's table)."""
    return float(covalent_radii[atomic_numbers[symbol]])


@dataclass
class Tally:
    """What became of everything that was proposed; the only thing here that changes while the stream runs."""

    proposed: int = 0
    duplicates: int = 0
    known: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    passed: int = 0


def propose(
    parents: Iterable[Parent],
    elements: Collection[str],
    model: SubstitutionModel,
    threshold: float = 0.001,
    saps: bool = True,
    max_orbits: int = 6,
) -> Iterator[Candidate]:
    """Every substitution of every parent, unfiltered.

    SAPS (symmetry-aware partial substitution) replaces one ion on some of its Wyckoff orbits only, from one orbit to
    all but one; replacing all of them is the full substitution. Parts of an orbit are not split yet.

    Args:
        parents: ordered crystals.
        elements: the only elements allowed in a candidate.
        model: pair probabilities.
        threshold: smallest probability.
        saps: also propose partial substitutions.
        max_orbits: an ion on more orbits than this is replaced on one orbit, or on all but one, only.

    Yields:
        Candidates whose lineage names parent and substitution; its round and model are left to the caller.
    """
    allowed = sorted(elements)
    for parent in parents:
        symbols = symbols_of(parent.structure)
        orbits = _orbits_by_element(parent.structure, symbols) if saps else {}
        # a partial substitution keeps the replaced element on the other orbits: it must be allowed too, so the
        # replacements are looked for among the campaign's elements in either case
        for changes, probability in replacements(
            parent.structure.composition.reduced_formula, allowed, model, threshold
        ):
            species = [changes.get(symbol, symbol) for symbol in symbols]
            yield _candidate(parent, symbols, species, "substitution", changes, probability)
            if saps:
                yield from _partial(parent, symbols, orbits, changes, probability, allowed, max_orbits)


def _orbits_by_element(structure: Structure, symbols: list[str]) -> dict[str, list[list[int]]]:
    """Sites of each Wyckoff orbit, by element."""
    members: dict[int, list[int]] = {}
    for site, representative in enumerate(symmetry(structure).orbits):
        members.setdefault(representative, []).append(site)
    grouped: dict[str, list[list[int]]] = {}
    for representative in sorted(members):
        grouped.setdefault(symbols[representative], []).append(members[representative])
    return grouped


def _partial(
    parent: Parent,
    symbols: list[str],
    orbits: dict[str, list[list[int]]],
    changes: dict[str, str],
    probability: float,
    allowed: list[str],
    max_orbits: int,
) -> Iterator[Candidate]:
    """One replaced element keeps its place on some of its orbits; the other replacements are complete."""
    for old, new in changes.items():
        groups = orbits[old]
        if len(groups) < 2 or old not in allowed:
            continue
        counts = range(1, len(groups)) if len(groups) <= max_orbits else (1, len(groups) - 1)
        for count in counts:
            for chosen in combinations(range(len(groups)), count):
                replaced = {site for index in chosen for site in groups[index]}
                species = [
                    (new if site in replaced else old) if symbol == old else changes.get(symbol, symbol)
                    for site, symbol in enumerate(symbols)
                ]
                label = {**changes, old: f"{new} ({len(replaced)} of {sum(map(len, groups))} sites)"}
                yield _candidate(parent, symbols, species, "saps", label, probability)


def _candidate(
    parent: Parent, old: list[str], new: list[str], source: str, changes: dict[str, str], probability: float
) -> Candidate:
    volume = substituted_volume(parent.structure.volume, old, new)
    substitution = "; ".join(f"{a}->{b}" for a, b in changes.items())
    lineage = Lineage(source, parent.id, substitution)
    return make_candidate(parent.id, new, volume, lineage, probability, parent.contact(new, volume))


def filtered(
    candidates: Iterable[Candidate], policy: ElementPolicy, known: Collection[str], tally: Tally
) -> Iterator[Candidate]:
    """Candidates that are new: not seen in this stream, allowed by the policy, of a composition not yet known.

    Args:
        candidates: the stream.
        policy: elements and sizes.
        known: reduced formulas of all known data.
        tally: counts what became of each candidate.
    """
    seen: set[str] = set()
    for candidate in candidates:
        tally.proposed += 1
        refusal = policy.refusal(candidate.counts)
        if refusal:
            tally.refused[refusal] += 1
        elif candidate.contact < policy.min_contact:
            tally.refused["atoms too near"] += 1
        elif candidate.id in seen:
            tally.duplicates += 1
        elif candidate.reduced_formula in known:
            tally.known += 1
        else:
            seen.add(candidate.id)
            tally.passed += 1
            yield candidate


def in_round(candidate: Candidate, number: int) -> Candidate:
    """The candidate with the round that proposed it in its lineage."""
    return replace(candidate, lineage=replace(candidate.lineage, round=number))
