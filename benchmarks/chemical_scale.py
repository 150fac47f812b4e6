"""Where the metals' rule has its figures from: `python benchmarks/chemical_scale.py [FORMULAS.csv ...]`.

The scale. For every pair of elements A, B: of the metallic compounds that hold A, how many are known with B in its
place? Averaged over pairs by their distance on Pettifor's chemical scale, against the value for distant pairs (which
the systematic searches in the data keep well above 0), and fitted with an exponential.

The background and the sizes. Of the compounds of the last file, how many are among the most probable substitutions in
those of the others? All elements are tried in all compounds of a stoichiometry; proposals
are counted in units of the compounds that are known.
"""

from __future__ import annotations

import argparse
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
from pymatgen.core import Composition

from gnome_torch.candidates.chemistry.elements import (
    chemical_distance,
    element_table,
    is_anion_former,
    numbers_of,
)
from gnome_torch.candidates.structural.substitution import METAL_BACKGROUND, METAL_SCALE, SIZE_SCALE
from gnome_torch.data.files import read_formulas

DATA = Path(__file__).parents[2] / "shared" / "data"
STEP = 3
DISTANT = 30
BINARIES = ((1, 1), (1, 2), (1, 3), (1, 5), (2, 3), (3, 5))
TERNARIES = ((1, 1, 1), (1, 2, 2))
AMOUNTS = (0.5, 1.0, 2.0, 4.0)


def main() -> None:
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, default=sorted(DATA.glob("mp_formation_energy_*.csv")))
    files = parser.parse_args().files
    if not files:
        print(f"no formulas: name a CSV file, or put mp_formation_energy_train.csv into {DATA}")
        return
    contexts, n_compounds = metallic_contexts(formula for file in files for formula in read_formulas(file))
    elements = sorted(symbol for symbol, some in contexts.items() if len(some) >= 50)
    print(f"{n_compounds:,} metallic compounds, {len(elements)} elements with 50 or more of them")

    hits: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for a in elements:
        for b in elements:
            if a != b:
                possible = [context for context in contexts[a] if all(symbol != b for symbol, _ in context[0])]
                cell = hits[int(chemical_distance(a, b) / STEP)]
                cell[0] += sum(context in contexts[b] for context in possible)
                cell[1] += len(possible)
    distance = np.array([STEP * (index + 0.5) for index in sorted(hits)])
    known = np.array([hits[index][0] / max(1, hits[index][1]) for index in sorted(hits)])
    background = np.median(known[distance > DISTANT])
    print("steps apart   known with B for A")
    for d, share in zip(distance, known, strict=True):
        if d < DISTANT:
            print(f"{d:11.1f}   {share:.3f}   {share - background:+.3f}")
    near = (distance < DISTANT / 1.5) & (known > background)
    slope = np.polyfit(distance[near], np.log(known[near] - background), 1)[0]
    print(f"distant pairs: {background:.3f}; the excess falls by 1/e in {-1 / slope:.1f} steps (used: {METAL_SCALE})")
    if len(files) > 1:
        print_recall(list(files[:-1]), files[-1], elements)


def print_recall(known: Sequence[Path], kept_back: Path, elements: Sequence[str]) -> None:
    """Of the compounds kept back, the share among the most probable proposals, rule by rule."""
    first = [formula for file in known for formula in read_formulas(file)]
    then = read_formulas(kept_back)
    numbers = numbers_of(elements)
    print(f"\nfound of those in {kept_back.name}, with so many proposals for a known compound")
    print(f"{'background':>10s} {'sizes':>6s}   " + "  ".join(f"{amount:5.1f}" for amount in AMOUNTS))
    for name, stoichiometries in (("binary", BINARIES), ("ternary", TERNARIES)):
        print(name)
        for background, size_scale in ((0.0, np.inf), (METAL_BACKGROUND, np.inf), (METAL_BACKGROUND, SIZE_SCALE)):
            found, total = np.zeros(len(AMOUNTS)), 0
            for amounts in stoichiometries:
                compounds = [decorated(formulas, amounts, numbers) for formulas in (first, then)]
                hits, n = recall(*compounds, numbers, background, size_scale)
                found, total = found + hits, total + n
            shares = "  ".join(f"{share:5.3f}" for share in found / max(1, total))
            print(f"{background:10.1f} {size_scale:6.1f}   {shares}   of {total}")


def decorated(formulas: Iterable[str], amounts: tuple[int, ...], numbers: np.ndarray) -> np.ndarray:
    """Compounds of a stoichiometry, (n, k): place in `numbers` of the element of each amount, in every order."""
    place = {int(number): index for index, number in enumerate(numbers)}
    found = set()
    for formula in formulas:
        pairs = [(element.Z, int(n)) for element, n in Composition(formula).items()]
        if sorted(n for _, n in pairs) == list(amounts) and all(z in place for z, _ in pairs):
            orders = (order for order in permutations(pairs) if tuple(n for _, n in order) == amounts)
            found |= {tuple(place[z] for z, _ in order) for order in orders}
    return np.array(sorted(found), dtype=np.intp).reshape(-1, len(amounts))


def recall(
    known: np.ndarray, wanted: np.ndarray, numbers: np.ndarray, background: float, size_scale: float
) -> tuple[np.ndarray, int]:
    """Compounds found by number of proposals, and how many there are to find.

    Written down once more, apart from `substitution.py`: every known compound with every choice of elements.
    """
    table, n, k = element_table(), len(numbers), known.shape[1]
    scale, radius = table.mendeleev_number[numbers], np.log(table.atomic_volume[numbers]) / 3
    nearness = background + np.exp(-np.abs(scale[:, None] - scale) / METAL_SCALE)
    nearness /= nearness.sum(axis=0)
    axes = [tuple(slice(None) if a == axis else None for a in range(k)) for axis in range(k)]
    best = np.zeros((n,) * k)
    for compound in known:
        p = np.ones((n,) * k)
        changes = []
        for axis, old in zip(axes, compound, strict=True):
            factor = nearness[:, old].copy()
            factor[old] = 1.0
            p *= factor[axis]
            changes.append((radius - radius[old])[axis])
        mean = sum(changes) / k
        spread = np.sqrt(sum((change - mean) ** 2 for change in changes) / k)
        np.maximum(best, p * np.exp(-spread / size_scale), out=best)
    best[tuple(known.T)] = -1.0
    indices = np.indices(best.shape)
    for one, other in ((a, b) for a in range(k) for b in range(a)):
        best[indices[one] == indices[other]] = -1.0
    new = np.zeros(best.shape, dtype=bool)
    new[tuple(wanted.T)] = True
    new[tuple(known.T)] = False
    hits = np.cumsum(new.ravel()[np.argsort(-best, axis=None, kind="stable")])
    return np.array([hits[min(len(hits), round(len(known) * amount)) - 1] for amount in AMOUNTS]), int(new.sum())


def metallic_contexts(formulas: object) -> tuple[dict[str, set], int]:  # type: ignore[type-arg]
    """Element -> (the rest of a compound, its own amount), over the compounds without an anion former."""
    contexts: dict[str, set] = defaultdict(set)  # type: ignore[type-arg]
    compounds = set()
    for formula in formulas:  # type: ignore[attr-defined]
        counts = {element.symbol: int(n) for element, n in Composition(formula).items()}
        if len(counts) > 1 and not any(map(is_anion_former, counts)):
            compounds.add(formula)
            for symbol, amount in counts.items():
                rest = tuple(sorted((other, n) for other, n in counts.items() if other != symbol))
                contexts[symbol].add((rest, amount))
    return contexts, len(compounds)


if __name__ == "__main__":
    main()
