"""Elements are told apart by their colours."""

from __future__ import annotations

from itertools import combinations

import pytest

from workflows.catalogue.report.colours import ALIKE, difference, looks


@pytest.mark.parametrize(
    "symbols",
    [("K", "Mg", "F"), ("Al", "Ni", "Cu", "Pt", "Pd", "Ag", "Au"), ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "O", "F")],
)
def test_no_two_elements_of_a_page_look_alike(symbols: tuple[str, ...]) -> None:
    drawn = looks(symbols)
    assert drawn.keys() == set(symbols)
    assert all(difference(a.colour, b.colour) >= ALIKE for a, b in combinations(drawn.values(), 2))


def test_an_element_keeps_the_colour_that_people_know() -> None:
    assert looks(["O", "Na"])["O"].css == "rgb(255,13,13)"
    assert looks(["Ca", "F"])["Ca"].radius == 1.76
