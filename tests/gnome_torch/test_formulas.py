"""Formulas as people write them: hydrates, fractions, slips of the pen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition

from gnome_torch.candidates.random_search.options import SearchError
from gnome_torch.candidates.random_search.options import composition_of as searched
from gnome_torch.candidates.structural.proposals import known_compositions
from gnome_torch.data.energy_files import EnergyFile
from gnome_torch.data.outside import OutsideRecord
from gnome_torch.data.rejects import Reject
from gnome_torch.data.tables import read_examples
from gnome_torch.hydrates import in_brackets
from gnome_torch.stability.formulas import FormulaError, composition_of, reduced_formula

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
        # several dots, of which some stand between digits
        *((text, "KMgH12(ClO2)3") for text in ("KCl·MgCl2·6H2O", "KCl.MgCl2.6H2O", "MgCl2.KCl.6H2O")),
        *((text, "KAlH24(SO10)2") for text in ("K2SO4.Al2(SO4)3.24H2O", "Al2(SO4)3.K2SO4·24H2O")),
        *((text, "Ca6Al2H64S3O50") for text in ("3CaO.Al2O3.3CaSO4.32H2O", "3CaO·Al2O3·3CaSO4·32H2O")),
        ("Al2O3.2SiO2.2H2O", "Al2Si2H4O9"),  # kaolinite
        ("Na2O.Al2O3.2SiO2", "NaAlSiO4"),
        ("K2SO4.2MgSO4", "K2Mg2(SO4)3"),  # langbeinite
        ("2ZnCO3.3Zn(OH)2", "Zn5H6(CO6)2"),  # hydrozincite
        ("H2SO4.2SO3", "H2S3O10"),
        ("CaMg(CO3)2.3CaCO3", "Ca4Mg(CO3)5"),
        ("Al2O3.2.5SiO2", "Al4Si5O16"),
        ("LiAlH4.2LiCl", "Li3Al(H2Cl)2"),
        ("Na2.5CoO2.3SiO2", "Na5Co2(Si3O8)2"),
        # in brackets, too
        ("2(CaSO4.2H2O)", "CaH4SO6"),
        ("CaCO3.(MgCO3.3H2O)2", "CaMg2H12(CO5)3"),
        ("2(3CaO.Al2O3).H2O", "Ca6Al4H2O13"),
        ("K4[Fe(CN)6].3H2O", "K4FeH6C6(N2O)3"),
        # decimals
        ("Mg0.5H2O", "Mg(H2O)2"),
        ("LiO1.5", "Li2O3"),
        ("Li1.5Al0.5Ge1.5P3O12", "Li3AlGe3(PO4)6"),
        ("Fe2.0O3", "Fe2O3"),
        ("Co2.3MnGa0.7", "Mn10Ga7Co23"),
        ("Ce2Fe14.5CoB", "Ce4Fe29(CoB)2"),
        ("Na2.5Zr2Si1.5P1.5O12", "Na5Zr4Si3(PO8)3"),
        ("CH3NH3PbI2.5Cl0.5", "H12Pb2C2I5N2Cl"),
        ("Ca9.5(PO4)5.5(OH)1.5", "Ca19P11H3O47"),
        ("(Mg0.5Fe0.5)2SiO4.2H2O", "MgFeSi(H2O3)2"),
    ],
)
def test_hydrates_and_decimals(text: str, expected: str) -> None:
    assert reduced_formula(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "CaSO4.xH2O",
        "CaSO4·nH2O",
        "CaSO4·0H2O",
        "CaSO4·1/0H2O",
        "·H2O",
        "CaSO4··H2O",
        "Q2O",
        "CaSO4.0H2O",
        "NaCl.2",
        "CaSO4.",
        "Ca(SO4.2H2O",
    ],
)
def test_what_is_no_formula(text: str) -> None:
    with pytest.raises(FormulaError, match="is not a chemical formula"):
        reduced_formula(text)


@pytest.mark.parametrize("text", ["CaSO4.2HCl", "CaCl2.2.H2O", "Fe2O2.5.H2O", "Ca10(PO4)6.5(OH)2", "Mg2.5H2O"])
def test_what_can_be_read_in_two_ways_is_refused(text: str) -> None:
    """In one line that says what to write, wherever a formula is read."""
    reason = "can be read in two ways.*write · between the parts"
    for reader in (reduced_formula, searched, lambda some: known_compositions([some])):
        with pytest.raises(ValueError, match=reason):
            reader(text)


SALTS = (
    *(
        "CaSO4",
        "K2SO4",
        "MgCl2",
        "NaCl",
        "CaO",
        "Al2O3",
        "SiO2",
        "Mg(OH)2",
        "KAl(SO4)2",
        "Ca3Al2O6",
        "(NH4)2SO4",
        "HCl",
    ),
    *("H2O", "NH3", "Zn(NO3)2", "K4[Fe(CN)6]", "LiFePO4", "SO3"),
)
COUNTS = st.sampled_from(["", "1", "2", "3", "10", "24", "0.5", "1.5", "2.5", "1/2"])
PARTS = st.lists(st.tuples(COUNTS, st.sampled_from(SALTS)), min_size=2, max_size=5)


def amounts_in(parts: Iterable[tuple[str, str]]) -> dict[str, float]:
    """Amounts of the elements of several parts, by pymatgen."""
    total: dict[str, float] = defaultdict(float)
    for count, salt in parts:
        for symbol, amount in Composition(salt).get_el_amt_dict().items():
            total[symbol] += amount * float(Fraction(count or "1"))
    return total


def fractions_in(amounts: dict[str, float]) -> dict[str, float]:
    return {symbol: amount / sum(amounts.values()) for symbol, amount in amounts.items()}


@given(PARTS, st.sampled_from(["·", "*", " • ", "⋅"]))
def test_signs_divide_a_formula_into_its_parts(parts: list[tuple[str, str]], sign: str) -> None:
    text = sign.join(count + salt for count, salt in parts)
    assert fractions_in(composition_of(text).get_el_amt_dict()) == pytest.approx(fractions_in(amounts_in(parts)))


@given(PARTS, st.sampled_from([".", " . "]))
def test_dots_divide_a_formula_into_its_parts_or_it_is_refused(parts: list[tuple[str, str]], dot: str) -> None:
    text = dot.join(count + salt for count, salt in parts)
    try:
        found = composition_of(text)
    except FormulaError as error:
        if "can be read in two ways" not in str(error):
            raise
        return
    assert fractions_in(found.get_el_amt_dict()) == pytest.approx(fractions_in(amounts_in(parts)))


@given(PARTS, PARTS, st.sampled_from(["2", "3", "6"]))
def test_parts_in_brackets(outer: list[tuple[str, str]], inner: list[tuple[str, str]], count: str) -> None:
    group = "·".join(number + salt for number, salt in inner)
    text = "·".join([f"({group}){count}", *(number + salt for number, salt in outer)])
    grouped = [(str(Fraction(number or "1") * int(count)), salt) for number, salt in inner]
    expected = fractions_in(amounts_in([*outer, *grouped]))
    assert fractions_in(composition_of(text).get_el_amt_dict()) == pytest.approx(expected)


METALS = ("Li", "Na", "Mg", "Al", "Ti", "Mn", "Fe", "Co", "Ni", "Zr", "La", "Bi")
AMOUNTS = st.sampled_from(["", "2", "3", "0.5", "1.5", "2.5", "0.75", "1.9"])


@given(st.lists(st.sampled_from(METALS), min_size=1, max_size=5, unique=True), st.data())
def test_decimals_are_read_as_pymatgen_reads_them(metals: list[str], data: st.DataObject) -> None:
    """In formulas that name each element once and its anion last."""
    text = "".join(metal + data.draw(AMOUNTS) for metal in metals) + data.draw(st.sampled_from(["O", "F", "S"]))
    text += data.draw(AMOUNTS)
    assert composition_of(text) == Composition(text)


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
