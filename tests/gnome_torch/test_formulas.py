"""Formulas as people write them: hydrates, fractions, slips of the pen."""

from __future__ import annotations

from pathlib import Path

import pytest

from gnome_torch.candidates.random_search.options import SearchError
from gnome_torch.candidates.random_search.options import composition_of as searched
from gnome_torch.data.energy_files import EnergyFile
from gnome_torch.data.outside import OutsideRecord
from gnome_torch.data.rejects import Reject
from gnome_torch.data.tables import read_examples
from gnome_torch.hydrates import in_brackets
from gnome_torch.stability.formulas import FormulaError, reduced_formula

CASES = Path(__file__).parents[1] / "data" / "cases"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, "CaH4SO6") for text in ("CaSO4.2H2O", "CaSO4·2H2O", "CaSO4*2H2O", "CaSO4 . 2 H2O", "CaSO₄ • 2H₂O")),
        ("CaSO4.2(H2O)", "CaH4SO6"),
        *((text, "Ca2H2S2O9") for text in ("CaSO4.0.5H2O", "CaSO4·½H2O", "CaSO4*1/2 H2O", "CaSO4·.5H2O")),
        ("CuSO4.5H2O", "CuH10SO9"),
        ("Na2CO3.10H2O", "Na2H20CO13"),
        ("Zn(NO3)2.6H2O", "ZnH12(NO6)2"),
        ("KAl(SO4)2.12H2O", "KAlH24(SO10)2"),
        ("KCl.MgCl2.6H2O", "KMgH12(ClO2)3"),
        ("3CaO.Al2O3.6H2O", "Ca3Al2(HO)12"),
        ("Na0.3CoO2.1.3H2O", "Na3Co10H26O33"),
        ("MgSO4.H2O", "MgH2SO5"),
        # decimals
        ("Mg0.5H2O", "Mg(H2O)2"),
        ("LiO1.5", "Li2O3"),
        ("Li1.5Al0.5Ge1.5P3O12", "Li3AlGe3(PO4)6"),
        ("Fe2.0O3", "Fe2O3"),
    ],
)
def test_hydrates_and_decimals(text: str, expected: str) -> None:
    assert reduced_formula(text) == expected


@pytest.mark.parametrize(
    "text", ["CaSO4.xH2O", "CaSO4·nH2O", "CaSO4·0H2O", "CaSO4·1/0H2O", "·H2O", "CaSO4··H2O", "Q2O"]
)
def test_what_is_no_formula(text: str) -> None:
    with pytest.raises(FormulaError, match="is not a chemical formula"):
        reduced_formula(text)


@pytest.mark.parametrize(
    "text", ["Fe2O1e400", "Fe1e999", "Fe1e300O", "Fe10000000O", "(Fe1000)10000O", "Fe1e-9O", "Fe0.0000001O"]
)
def test_amounts_that_no_crystal_has(text: str) -> None:
    """pymatgen takes the first for infinite, and drops the element of the last two."""
    with pytest.raises(FormulaError, match=r"an amount (above 1,000,000|below 0\.000001)"):
        reduced_formula(text)


def test_the_same_where_crystals_are_searched_for() -> None:
    assert searched("CaSO4.2H2O").reduced_formula == "CaH4SO6"
    with pytest.raises(SearchError):
        searched("Fe1e999")
    assert in_brackets("CaSO4.2H2O") == "(CaSO4)1.0(H2O)2.0"


def test_an_element_that_does_not_exist() -> None:
    """By its number, in a table of examples and in one of energies."""
    path = CASES / "element_Q.csv"
    examples = read_examples(path, "target")
    assert len(examples) == 1
    (reject,) = examples.rejects
    assert (reject.place, reject.value) == ("line 61", "b")
    assert "site Cu2: 'Q' is not an element" in reject.reason
    first, second = EnergyFile(path).records()
    assert isinstance(first, OutsideRecord)
    assert isinstance(second, Reject)
    assert (second.place, "site Cu2: 'Q' is not an element" in second.reason) == ("line 61", True)
