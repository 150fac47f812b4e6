"""`gnome hull` as a user meets it: against pymatgen, with queries, and with every kind of broken row."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition

Gnome = Callable[..., tuple[int, str, str]]
CASES = Path(__file__).parents[2] / "data" / "cases"
KNOWN = [("Li2O", -2.0), ("LiO", -1.4), ("MgO", -3.0), ("Mg2O", -1.5), ("MgO", -2.9), ("LiMgO2", -2.6), ("LiMg", 0.1)]


def write(path: Path, rows: list[tuple[object, ...]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_entries_themselves(gnome: Gnome, tmp_path: Path) -> None:
    known = write(tmp_path / "known.csv", [("formula", "target"), *KNOWN])
    status, text, err = gnome("hull", "--entries", known, "--out", tmp_path / "hull.csv")
    assert (status, err) == (0, "")
    assert "7 compositions on a hull of 7 entries" in text
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["hull.csv", "known.csv"]
    rows = read(tmp_path / "hull.csv")
    assert list(rows[0]) == ["formula", "e_form", "e_above_hull", "phase_separation_energy", "decomposition"]
    assert [row["formula"] for row in rows] == [formula for formula, _ in KNOWN]
    entries = [PDEntry(Composition(f), e * Composition(f).num_atoms) for f, e in KNOWN]
    elements = [PDEntry(Composition(symbol), 0.0) for symbol in ("Li", "Mg", "O")]
    diagram = PhaseDiagram([*entries, *elements])
    for row, entry in zip(rows, entries, strict=True):
        reduced = entry.composition.reduced_formula
        others = [e for e in [*entries, *elements] if e.composition.reduced_formula != reduced]
        without = PhaseDiagram(others).get_hull_energy_per_atom(entry.composition)
        assert float(row["e_form"]) == pytest.approx(entry.energy_per_atom, abs=1e-6)
        assert float(row["e_above_hull"]) == pytest.approx(diagram.get_e_above_hull(entry), abs=1e-6)
        assert float(row["phase_separation_energy"]) == pytest.approx(entry.energy_per_atom - without, abs=1e-6)
        expected = {
            e.composition.reduced_formula: amount
            for e, amount in diagram.get_decomposition(entry.composition).items()
            if amount > 1e-6
        }
        found = dict(part.rstrip(")").split(" (") for part in row["decomposition"].split(" + "))
        assert {formula: float(amount) for formula, amount in found.items()} == pytest.approx(expected, abs=1e-4)


def test_queries_with_and_without_energies(gnome: Gnome, tmp_path: Path) -> None:
    known = write(tmp_path / "known.csv", [("formula", "e"), *KNOWN])
    query = write(
        tmp_path / "q.csv",
        [("id", "formula", "e"), ("a", "Li4MgO3", "-2.5"), ("b", "Mg", ""), ("c", "Mg2O2", ""), ("d", "Li3Mg", "")],
    )
    status, _, err = gnome("hull", "--entries", known, "--query", query, "--target", "e", "--out", tmp_path / "h.csv")
    assert (status, err) == (0, "")
    rows = read(tmp_path / "h.csv")
    mixed = (6 * -2.0 + 2 * -3.0) / 8  # two Li2O and one MgO
    assert float(rows[0]["e_above_hull"]) == pytest.approx(-2.5 - mixed, abs=1e-6)
    assert rows[0]["decomposition"] == "Li2O (0.7500) + MgO (0.2500)"
    assert list(rows[1].values()) == ["Mg", "0.000000", "0.000000", "0.000000", "Mg (1.0000)"]
    assert rows[2]["e_form"] == "-3.000000"  # the lowest entry's
    assert rows[3] == {
        "formula": "Li3Mg",
        "e_form": "",
        "e_above_hull": "",
        "phase_separation_energy": "",
        "decomposition": "Li (0.7500) + Mg (0.2500)",
    }


def test_broken_rows_are_set_aside_and_the_rest_goes_on(gnome: Gnome, tmp_path: Path) -> None:
    known = write(
        tmp_path / "known.csv",
        [("formula", "target"), *KNOWN, ("Qq2O", -1.0), ("MgO2", "low"), ("MgO3", "nan"), (), ("Na-Cl", -2.0)],
    )
    query = write(tmp_path / "q.csv", [("formula",), ("Li2MgO2",), ("NaCl",), ("nothing",)])
    out = tmp_path / "hull.csv"
    status, text, err = gnome("hull", "--entries", known, "--query", query, "--out", out)
    assert status == 0
    assert "1 compositions on a hull of 7 entries" in text
    lines = err.splitlines()
    assert f"{known}, line 9: 'Qq2O'" in lines[0]
    assert lines[-1] == f"gnome: 6 left out, all in {out}.rejects.csv; 3 more"
    rejects = read(tmp_path / "hull.csv.rejects.csv")
    assert [(row["place"], row["value"]) for row in rejects] == [
        ("line 9", "Qq2O"),
        ("line 10", "low"),
        ("line 11", "nan"),
        ("line 13", "Na-Cl"),
        ("line 4", "nothing"),
        ("NaCl", "NaCl"),
    ]
    assert rejects[5]["reason"] == "no entry has Na, Cl"
    assert len(read(out)) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("formula,target\n", "no row in it that can be used (0 are broken)"),
        ("formula,target\nQq,1\n", "no row in it that can be used (1 are broken); the first: "),
        ("name,target\nMgO,1\n", "one must be formula"),
        ("formula,energy\nMgO,1\n", "no column 'target'"),
    ],
)
def test_files_of_which_nothing_can_be_used(gnome: Gnome, tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "known.csv").write_text(content)
    out = tmp_path / "hull.csv"
    out.write_text("from before")
    status, _, err = gnome("hull", "--entries", tmp_path / "known.csv", "--out", out)
    assert status == 1
    assert len(err.splitlines()) == 1
    assert message in err
    assert out.read_text() == "from before"
    status, _, err = gnome("hull", "--entries", tmp_path / "none.csv", "--out", out)
    assert (status, "cannot be read" in err) == (1, True)


def test_a_listed_element_does_not_move_the_zero(gnome: Gnome, tmp_path: Path) -> None:
    """Diamond is above graphite, which is not listed; carbides keep the formation energies that they are given."""
    known = CASES / "element_above_its_reference.csv"
    query = write(tmp_path / "q.csv", [("formula", "target"), ("C", "0.0"), ("C", "0.136"), ("C", ""), ("Mg2C3", "")])
    for name, options in (("own.csv", ()), ("asked.csv", ("--query", query))):
        assert gnome("hull", "--entries", known, *options, "--out", tmp_path / name)[::2] == (0, "")
    places = {
        (row["formula"], row["e_form"]): row["e_above_hull"]
        for name in ("own.csv", "asked.csv")
        for row in read(tmp_path / name)
    }
    assert places == {
        ("C", "0.136000"): "0.136000",
        ("Mg2C3", "0.050000"): "0.050000",
        ("Mg", "0.000000"): "0.000000",
        ("SiC", "0.030000"): "0.030000",
        ("Si", "0.000000"): "0.000000",
        ("C", "0.000000"): "0.000000",
    }


def test_an_element_below_zero_is_left_out(gnome: Gnome, tmp_path: Path) -> None:
    listed = [("formula", "target"), ("Si", -5.4), ("O", -1e-7), ("SiO2", -3.0)]
    known = write(tmp_path / "known.csv", listed)
    status, _, err = gnome("hull", "--entries", known, "--out", tmp_path / "hull.csv")
    assert status == 0
    assert f"{known}, line 2: '-5.4': column target: Si at -5.4 eV/atom: formation energies are measured from" in err
    rows = read(tmp_path / "hull.csv")
    assert [(row["formula"], row["e_form"], row["e_above_hull"]) for row in rows] == [
        ("O", "0.000000", "0.000000"),
        ("SiO2", "-3.000000", "0.000000"),
    ]


def test_hydrates(gnome: Gnome, tmp_path: Path) -> None:
    """CaSO4.2H2O: 6 atoms of 12 in CaSO4 at -2.43, as many in water at -0.99: -1.71, and it is 0.05 below."""
    out = tmp_path / "hull.csv"
    assert gnome("hull", "--entries", CASES / "hydrates.csv", "--out", out)[::2] == (0, "")
    rows = {row["formula"]: row for row in read(out)}
    assert rows["CaSO4.2H2O"]["e_above_hull"] == "0.000000"
    assert rows["CaSO4.2H2O"]["phase_separation_energy"] == "-0.050000"
    for formula, energy in (("Na2CO3.10H2O", -1.18), ("Zn(NO3)2.6H2O", -0.88)):
        assert float(rows[formula]["e_form"]) == energy
        assert len(rows[formula]["decomposition"].split(" + ")) == 1


def test_an_amount_that_overflows(gnome: Gnome, tmp_path: Path) -> None:
    out = tmp_path / "hull.csv"
    status, _, err = gnome("hull", "--entries", CASES / "overflowing_amount.csv", "--out", out)
    assert status == 0
    assert "line 6: 'Fe2O1e400': column formula: 'Fe2O1e400' is not a chemical formula: an amount above" in err
    assert [row["formula"] for row in read(out)] == ["Na", "Cl2", "NaCl", "Na2Cl3"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hull.csv", "hull.csv.rejects.csv"]


def test_the_entries_are_not_written_over(gnome: Gnome, tmp_path: Path) -> None:
    known = write(tmp_path / "known.csv", [("formula", "target"), *KNOWN])
    before = known.read_bytes()
    status, _, err = gnome("hull", "--entries", known, "--out", known)
    assert (status, known.read_bytes()) == (1, before)
    assert "this file is an input" in err
