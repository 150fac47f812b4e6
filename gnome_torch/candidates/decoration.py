"""The first crystals of a campaign: elements in their known structures, and prototypes with the campaign's elements."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations

from pymatgen.core import Element, Structure

from gnome_torch.candidates.chemistry import (
    chemical_distance,
    elemental_volume,
    is_charge_balanced,
    substituted_volume,
)
from gnome_torch.candidates.policy import ElementPolicy
from gnome_torch.records import Candidate, Lineage, content_hash

# Copper, tungsten, magnesium: what nearly every metal crystallises in.
CLOSE_PACKED = ("aflow:A_cF4_225_a", "aflow:A_cI2_229_a", "aflow:A_hP2_194_c")


def make_candidate(
    parent_id: str,
    species: Sequence[str],
    volume: float,
    lineage: Lineage,
    probability: float = 1.0,
    contact: float = 1.0,
) -> Candidate:
    """A candidate under its content hash: parent, species on the sites, volume (to 0.001 cubic angstrom)."""
    key = content_hash({"parent": parent_id, "species": list(species), "volume": round(volume, 3)})
    return Candidate(key, parent_id, tuple(species), round(volume, 3), lineage, probability, contact)


def symbols_of(structure: Structure) -> list[str]:
    """Element symbol on each site, (n_sites,)."""
    return [site.specie.symbol for site in structure]


def elemental_crystals(
    elements: Sequence[str], library: Mapping[str, Structure], per_element: int, max_sites: int
) -> Iterator[Candidate]:
    """Crystals of each element; the lowest after relaxation becomes its reference.

    Order of choice: the element's own structures in the library, the close-packed metals (for a metal), structures
    of the same group of the periodic table, then the nearest on the chemical scale.

    Args:
        elements: element symbols.
        library: prototypes by key.
        per_element: crystals per element at most.
        max_sites: atoms in the cell at most; the smallest structures are taken where none is small enough.
    """
    unary = {key: s for key, s in library.items() if len(s.composition) == 1}
    small = {key: s for key, s in unary.items() if len(s) <= max_sites} or unary
    for symbol in elements:

        def rank(key: str, symbol: str = symbol) -> tuple[int, float, int, str]:
            own = symbols_of(small[key])[0]
            if own == symbol:
                group = 0
            elif key in CLOSE_PACKED and Element(symbol).is_metal:
                group = 1
            elif Element(own).group == Element(symbol).group:
                group = 2
            else:
                group = 3
            return group, chemical_distance(own, symbol), len(small[key]), key

        for key in sorted(small, key=rank)[:per_element]:
            n_sites = len(small[key])
            own = symbols_of(small[key])[0]
            volume = small[key].volume if own == symbol else n_sites * elemental_volume(symbol)
            substitution = "" if own == symbol else f"{own}->{symbol}"
            yield make_candidate(key, [symbol] * n_sites, volume, Lineage("element", key, substitution))


def decorations(
    library: Mapping[str, Structure],
    policy: ElementPolicy,
    limit: int,
    polymorphs: int,
) -> list[Candidate]:
    """Prototypes with their elements replaced by the campaign's, the chemically nearest first.

    Every assignment of the campaign's elements to a prototype's is scored by the mean chemical distance per site.
    The choice goes round the chemical systems, so that each gets its share, and takes at most `polymorphs` structures
    of one composition. Compositions that hold an anion former must be charge balanced whatever the policy says: these
    crystals are the known data, so they are to be plausible.

    Args:
        library: prototypes by key.
        policy: elements and sizes allowed.
        limit: number of crystals at most.
        polymorphs: structures of one reduced formula at most.
    """
    by_system: dict[str, list[tuple[float, Candidate]]] = defaultdict(list)
    seen: set[tuple[str, str]] = set()
    for key, prototype in library.items():
        symbols = symbols_of(prototype)
        own = sorted(set(symbols))
        if len(own) < 2 or len(symbols) > policy.max_sites:
            continue
        for choice in permutations(sorted(policy.elements), len(own)):
            replacement = dict(zip(own, choice, strict=True))
            species = [replacement[symbol] for symbol in symbols]
            counts = Counter(species)
            if policy.refusal(counts) or not is_charge_balanced(counts):
                continue
            cost = sum(chemical_distance(a, b) for a, b in zip(symbols, species, strict=True)) / len(symbols)
            volume = substituted_volume(prototype.volume, symbols, species)
            substitution = "; ".join(f"{a}->{b}" for a, b in replacement.items() if a != b)
            candidate = make_candidate(key, species, volume, Lineage("prototype", key, substitution))
            by_system["-".join(sorted(counts))].append((cost, candidate))

    for system in by_system.values():
        system.sort(key=lambda item: (item[0], len(item[1].species), item[1].id))
    chosen: list[Candidate] = []
    per_formula: Counter[str] = Counter()
    queues = [iter(by_system[name]) for name in sorted(by_system)]
    while queues and len(chosen) < limit:
        for queue in list(queues):
            chosen_next = _next_choice(queue, per_formula, polymorphs, seen)
            if chosen_next is None:
                queues.remove(queue)
            elif len(chosen) < limit:
                chosen.append(chosen_next)
    return chosen


def _next_choice(
    queue: Iterator[tuple[float, Candidate]],
    per_formula: Counter[str],
    polymorphs: int,
    seen: set[tuple[str, str]],
) -> Candidate | None:
    """The next decoration of one chemical system that is within the quota; None when there is none left."""
    for _, candidate in queue:
        formula = candidate.reduced_formula
        key = (str(candidate.parent_id), formula)
        # one decoration of a prototype per formula: exchanging the two sites of rock salt gives the same crystal,
        # and where the sites differ the chemically nearest assignment comes first
        if per_formula[formula] < polymorphs and key not in seen:
            seen.add(key)
            per_formula[formula] += 1
            return candidate
    return None


def own_crystals(structures: Mapping[str, Structure]) -> Iterator[Candidate]:
    """Crystals read from outside, as they are: key -> crystal."""
    for key, structure in structures.items():
        yield make_candidate(key, symbols_of(structure), structure.volume, Lineage("file", key))
