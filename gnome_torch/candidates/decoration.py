"""The first crystals of a campaign: elements in their known structures, and prototypes with the campaign's elements."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import permutations

import numpy as np
from ase.data import atomic_numbers, reference_states
from pymatgen.core import Element, Structure

from gnome_torch.candidates.chemistry.balance import is_charge_balanced
from gnome_torch.candidates.chemistry.elements import chemical_distance, elemental_volume, numbers_of
from gnome_torch.candidates.chemistry.policy import ElementPolicy
from gnome_torch.candidates.chemistry.volumes import reference_volume
from gnome_torch.candidates.parents import pair_distances
from gnome_torch.candidates.tables.keys import candidate_ids
from gnome_torch.records import Candidate, Lineage

FCC, BCC, HCP, DIAMOND = "aflow:A_cF4_225_a", "aflow:A_cI2_229_a", "aflow:A_hP2_194_c", "aflow:A_cF8_227_a"
CLOSE_PACKED = (FCC, BCC, HCP)
HALOGEN, ARSENIC, SELENIUM, NITROGEN = (
    "aflow:A_oC8_64_f#3",
    "aflow:A_hR2_166_c#3",
    "aflow:A_hP3_152_a",
    "aflow:A_cP8_205_c",
)
# Structures in which elements are found, where that is not one of the close-packed metals; these are in ASE's table.
# The reference of an element must be among its crystals: without diamond every silicide looks 0.26 eV/atom too stable.
FOUND_IN = {
    "H": (NITROGEN, "aflow:A_mC4_12_i"),
    "B": ("aflow:A_hR12_166_2h",),
    "C": ("aflow:A_hP4_194_bc", DIAMOND),
    "N": (NITROGEN,),
    "O": ("aflow:A_mC4_12_i", "aflow:A_hR2_166_c"),
    "F": ("aflow:A_mC4_12_i", HALOGEN),
    "Si": (DIAMOND,),
    "P": ("aflow:A_oC8_64_f#2",),
    "S": ("aflow:A_oF128_70_4h",),
    "Cl": (HALOGEN,),
    "Mn": ("aflow:A_cI58_217_ac2g",),
    "Ga": ("aflow:A_oC8_64_f",),
    "Ge": (DIAMOND,),
    "As": (ARSENIC,),
    "Se": (SELENIUM,),
    "Br": (HALOGEN,),
    "In": ("aflow:A_tI2_139_a#2",),
    "Sn": (DIAMOND, "aflow:A_tI4_141_a"),
    "Sb": (ARSENIC,),
    "Te": (SELENIUM,),
    "I": (HALOGEN,),
    "Sm": ("aflow:A_hR3_166_ac",),
    "Hg": ("aflow:A_hR1_166_a",),
    "Bi": (ARSENIC,),
    "Po": ("aflow:A_cP1_221_a",),
    "Pa": ("aflow:A_tI2_139_a",),
    "U": ("aflow:A_oC4_63_c",),
    "Np": ("aflow:A_oP8_62_2c",),
    "Pu": ("aflow:A_mP16_11_8e",),
}


def found_in(symbol: str) -> tuple[str, ...]:
    """Prototypes in which an element is found at ordinary conditions; empty for the noble gases and a few actinides."""
    state = reference_states[atomic_numbers[symbol]] or {}
    metal = {"fcc": FCC, "bcc": BCC, "hcp": HCP}.get(str(state.get("symmetry")))
    return FOUND_IN.get(symbol, (metal,) if metal else ())


def make_candidate(
    parent_id: str,
    species: Sequence[str],
    volume: float,
    lineage: Lineage,
    probability: float = 1.0,
    contact: float = 1.0,
) -> Candidate:
    """A candidate under its content hash."""
    volume = round(volume, 3)
    (key,) = candidate_ids([parent_id], numbers_of(species)[None], np.array([volume]))
    return Candidate(key, parent_id, tuple(species), volume, lineage, probability, contact)


def symbols_of(structure: Structure) -> list[str]:
    """Element symbol on each site, (n_sites,)."""
    return [site.specie.symbol for site in structure]


def elemental_crystals(
    elements: Sequence[str], library: Mapping[str, Structure], per_element: int, max_sites: int
) -> Iterator[Candidate]:
    """Crystals of each element; the lowest after relaxation becomes its reference.

    Order of choice: the structures that the element is found in (whatever their size), others of its own in the
    library, the close-packed metals (for a metal), structures of the same group of the periodic table, then the nearest
    on the chemical scale.

    Args:
        elements: element symbols.
        library: prototypes by key.
        per_element: crystals per element at most, but never fewer than the structures that it is found in.
        max_sites: atoms in the cell at most, for all but those.
    """
    unary = {key: s for key, s in library.items() if len(s.composition) == 1}
    for symbol in elements:
        first = [key for key in found_in(symbol) if key in unary]
        others = [key for key in unary if key not in first and len(unary[key]) <= max_sites]

        def rank(key: str, symbol: str = symbol) -> tuple[int, float, int, str]:
            own = symbols_of(unary[key])[0]
            if own == symbol:
                group = 1
            elif key in CLOSE_PACKED and Element(symbol).is_metal:
                group = 2
            elif Element(own).group == Element(symbol).group:
                group = 3
            else:
                group = 4
            return group, chemical_distance(own, symbol), len(unary[key]), key

        for key in [*first, *sorted(others, key=rank)[: max(0, per_element - len(first))]]:
            n_sites, own = len(unary[key]), symbols_of(unary[key])[0]
            substitution = "" if own == symbol else f"{own}->{symbol}"
            volume = n_sites * _volume_per_atom(unary[key], own, symbol)
            yield make_candidate(key, [symbol] * n_sites, volume, Lineage("element", key, substitution))


def _volume_per_atom(prototype: Structure, own: str, symbol: str) -> float:
    """The prototype's volume for its own element, unless far off (high pressure, a slip in the library), angstrom^3."""
    per_atom = prototype.volume / len(prototype)
    tabulated = elemental_volume(symbol)
    return per_atom if own == symbol and 0.55 < per_atom / tabulated < 1.6 else tabulated


def decorations(
    library: Mapping[str, Structure], policy: ElementPolicy, limit: int, polymorphs: int
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
    for key, prototype in library.items():
        for cost, candidate in _decorated(key, prototype, policy):
            by_system["-".join(sorted(set(candidate.species)))].append((cost, candidate))
    for system in by_system.values():
        system.sort(key=lambda item: (item[0], len(item[1].species), item[1].id))
    chosen: list[Candidate] = []
    seen: set[tuple[str, str]] = set()
    per_formula: Counter[str] = Counter()
    queues = [iter(by_system[name]) for name in sorted(by_system)]
    while queues and len(chosen) < limit:
        for queue in list(queues):
            following = _next_choice(queue, per_formula, polymorphs, seen)
            if following is None:
                queues.remove(queue)
            elif len(chosen) < limit:
                chosen.append(following)
    return chosen


def _decorated(key: str, prototype: Structure, policy: ElementPolicy) -> Iterator[tuple[float, Candidate]]:
    """A prototype with every assignment of the campaign's elements, and the mean chemical distance per site."""
    symbols = symbols_of(prototype)
    own = sorted(set(symbols))
    if len(own) < 2 or len(symbols) > policy.max_sites:
        return
    volume_of = _volume_of(prototype, symbols, own)
    for choice in permutations(sorted(policy.elements), len(own)):
        replacement = dict(zip(own, choice, strict=True))
        species = [replacement[symbol] for symbol in symbols]
        counts = Counter(species)
        if policy.refusal(counts) or not is_charge_balanced(counts):
            continue
        cost = sum(chemical_distance(a, b) for a, b in zip(symbols, species, strict=True)) / len(symbols)
        substitution = "; ".join(f"{a}->{b}" for a, b in replacement.items() if a != b)
        yield cost, make_candidate(key, species, volume_of(choice), Lineage("prototype", key, substitution))


def _volume_of(prototype: Structure, symbols: Sequence[str], own: Sequence[str]) -> Callable[[Sequence[str]], float]:
    """Reference volume, cubic angstrom, as a function of what takes the place of the prototype's own elements."""
    sites = [[i for i, symbol in enumerate(symbols) if symbol == old] for old in own]
    distances = pair_distances(np.array(prototype.lattice.matrix), np.array(prototype.frac_coords))[..., 0]
    closest = np.array([[distances[np.ix_(a, b)].min() for b in sites] for a in sites])[None]
    counts = np.array([len(some) for some in sites])
    return lambda new: float(
        reference_volume(numbers_of(own)[None], numbers_of(new)[None], counts, closest, prototype.volume)[0]
    )


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
