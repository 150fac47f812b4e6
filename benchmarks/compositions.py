"""Formulas a second from oxidation states, on one core: python benchmarks/compositions.py.

Prints, for growing numbers of elements and for strict and relaxed balancing, the formulas looked at, given, and both a
second, text of the formula included; and, on a sample, smact's own filter (`smact_filter`), which balances strictly.

Floor: a formula is looked at by a comparison of one sum per choice of oxidation states, some ten to a hundred of them,
eight bytes each: below a microsecond. Its text costs about as much.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

from gnome_torch.candidates.chemistry.policy import ElementPolicy
from gnome_torch.candidates.formulas.compositions import (
    CompositionLimits,
    compositions,
    number_of_formulas,
    oxidation_states,
)

ELEMENTS = (
    *("Li", "O", "Na", "F", "Mg", "Cl", "Al", "S", "Si", "N"),
    *("K", "P", "Ca", "Fe", "Ti", "Zn", "Cu", "Ba", "Sr", "Mn"),
    *("Zr", "Br", "Y", "Se", "Ni", "V", "La", "Ga", "Sn", "Co"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--max-elements", type=int, default=3)
    options = parser.parse_args()
    oxidation_states()  # read the tables first
    print("elements  between     looked at         given      strictly   looked at/s      given/s")
    for n in (10, 20, 30):
        policy = ElementPolicy(frozenset(ELEMENTS[:n]), max_elements=options.max_elements)
        for between in (0, 1, 2):
            limits = CompositionLimits(between=between)
            start = time.perf_counter()
            given = strict = 0
            for some in compositions(policy, limits):
                given += len(some.formulas())
                strict += int(some.strict.sum())
            seconds = time.perf_counter() - start
            looked_at = number_of_formulas(policy, limits)
            print(
                f"{n:8d} {between:8d} {looked_at:13,} {given:13,} {strict:13,} "
                f"{looked_at / seconds:13,.0f} {given / seconds:12,.0f}"
            )
    print(f"\nsmact_filter, strict, three elements: {smact_rate():,.0f} formulas looked at a second")


def smact_rate() -> float:
    """Formulas a second that smact's own filter looks at, 1 to 8 of each of three elements."""
    import smact
    from smact.screening import smact_filter

    systems = [("Li", "Si", "O"), ("Mg", "Fe", "F"), ("Ca", "Ti", "O")]
    start = time.perf_counter()
    for system in systems:
        smact_filter([smact.Element(symbol) for symbol in system], threshold=8)
    return len(systems) * 8**3 / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
