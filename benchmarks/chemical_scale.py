"""Where the metals' rule has its scale from: `python benchmarks/chemical_scale.py [FORMULAS.csv ...]`.

For every pair of elements A, B: of the metallic compounds that hold A, how many are known with B in its place? Averaged
over pairs by their distance on Pettifor's chemical scale, against the value for distant pairs (which the systematic
searches in the data keep well above 0), and fitted with an exponential.
"""

from __future__ import annotations

import argparse
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
from pymatgen.core import Composition

from gnome_torch.candidates.chemistry.elements import chemical_distance, is_anion_former
from gnome_torch.candidates.structural.substitution import METAL_SCALE
from gnome_torch.data.files import read_formulas

DATA = Path(__file__).parents[2] / "shared" / "data"
STEP = 3
DISTANT = 30


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
