"""AIRSS's `buildcell`: what it is given to read, the crystals that it makes, and what is said where it makes none.

On a stand-in that is as strict as the program, and on the program itself where it is on the PATH.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from moyopy import MoyoDataset
from moyopy.interface import MoyoAdapter
from pymatgen.core import Composition, Structure

from gnome_torch.candidates.random_search.buildcell import Buildcell
from gnome_torch.candidates.random_search.cell_files import input_of, read_cell, seeds_of
from gnome_torch.candidates.random_search.cells import NoCellError, operations_of
from gnome_torch.candidates.random_search.options import Attempt, GeneratorMissingError, SearchError, SearchOptions
from gnome_torch.candidates.random_search.search import again, generator_of, search
from gnome_torch.candidates.random_search.separations import estimated_volume, minimum_separations

FORMULAS = ("CaF2", "TiO2", "Li3N", "SrTiO3", "Mg2SiO4")
Found = Callable[..., Buildcell]
Check = Callable[[Structure, str, SearchOptions], None]


def attempt(formula: str, options: SearchOptions, units: int = 2, label: str = "0-x-7") -> Attempt:
    composition = Composition(formula)
    volume = 0.9 * units * estimated_volume(composition)
    return Attempt(composition, units, volume, minimum_separations(composition), options, label)


def line(text: str, word: str) -> str:
    (found,) = re.findall(rf"^#{word}=(.*)$", text, flags=re.MULTILINE)
    return str(found)


# ---- what it reads


def test_the_input_that_buildcell_gets() -> None:
    separations = {("Li", "Li"): 2.4, ("Li", "O"): 1.8, ("O", "O"): 2.6}
    options = SearchOptions(operations=(2, 4))
    text = input_of(Attempt(Composition("Li2O"), 3, 60.0, separations, options, "0-Li2O-7"))
    assert [row for row in text.splitlines() if not row.startswith("#SEED=")] == [
        "#TARGVOL=20.0000",
        "#SPECIES=Li,Li,O",
        "#NFORM=3",
        "#SYMMOPS=2-4",
        "#SLACK=0.25",
        "#OVERLAP=0.1",
        "#MINSEP=1.800 Li-Li=2.400 Li-O=1.800 O-O=2.600",
        "#COMPACT",
    ]


def test_a_seed_is_whole_numbers_that_depend_on_the_label() -> None:
    """The program's own range; the text of a label would stop it."""
    first, other = seeds_of("0-Li3N-7"), seeds_of("0-Li3N-8")
    assert len(first) == len(set(first)) == 12
    assert all(-(2**31) <= number < 2**31 for number in first)
    assert min(first) < 0
    assert first == seeds_of("0-Li3N-7") != other
    assert line(input_of(attempt("Li3N", SearchOptions(), label="0-Li3N-7")), "SEED") == " ".join(map(str, first))


@pytest.mark.parametrize(
    ("operations", "written"),
    [((2, 48), "2-48"), ((5, 10), "6-8"), ((4, 4), "4"), ((13, 20), "16"), ((1, 1), "1"), ((25, 60), "48")],
)
def test_a_range_of_operations_ends_at_orders_of_groups(operations: tuple[int, int], written: str) -> None:
    assert line(input_of(attempt("MgO", SearchOptions(operations=operations))), "SYMMOPS") == written


def test_a_cell_is_compacted_only_if_asked_for() -> None:
    """The program compacts it where nothing is said."""
    assert input_of(attempt("MgO", SearchOptions(compact=False))).endswith("#NOCOMPACT\n")


def test_a_line_longer_than_buildcell_reads_is_refused() -> None:
    options = SearchOptions(max_sites=300)
    assert max(map(len, input_of(attempt("Mg2SiO4", options)).splitlines())) <= 400
    with pytest.raises(SearchError, match="SPECIES takes 501 characters, and buildcell reads 400 of a line: use"):
        input_of(attempt("Si97O101", options, units=1))
    with pytest.raises(SearchError, match="MINSEP takes"):
        input_of(attempt("LiNaKMgCaSrBaTiZr", options, units=1))


# ---- the crystals


@pytest.mark.parametrize("formula", FORMULAS)
def test_crystals_of_the_stand_in(formula: str, buildcell: Found, check: Check) -> None:
    """Enough of them, within the volumes and the symmetry that were asked for, each made again from its number."""
    options = SearchOptions(count=4, formula_units=(1, 2), operations=(5, 13))
    result = search(formula, options, buildcell())
    assert len(result.crystals) == 4
    assert result.attempts <= 40
    for crystal in result.crystals:
        check(crystal.structure, formula, options)
        found = MoyoDataset(MoyoAdapter.from_structure(crystal.structure), symprec=0.01)
        assert operations_of(found.number) in (6, 8, 12)
    (made,) = again(formula, result.crystals[-1].attempt, options, buildcell()).crystals
    assert made == result.crystals[-1]


@pytest.mark.skipif(shutil.which("buildcell") is None, reason="AIRSS's buildcell is not on the PATH")
@pytest.mark.parametrize("formula", FORMULAS)
def test_crystals_of_the_real_buildcell(formula: str, check: Check) -> None:
    options = SearchOptions(count=4, formula_units=(1, 2), operations=(5, 13))
    result = search(formula, options, generator_of("airss"))
    assert len(result.crystals) == 4
    for crystal in result.crystals:
        check(crystal.structure, formula, options)
        assert operations_of(crystal.spacegroup) in (6, 8, 12)
    # made again from its number, or it is said that the program went by the clock; not all of them do
    repeated = 0
    for crystal in result.crystals:
        try:
            (made,) = again(formula, crystal.attempt, options, generator_of("airss")).crystals
        except SearchError as error:
            assert re.search("depends on the clock|gives no crystal", str(error))  # noqa: PT017
        else:
            assert made.structure == crystal.structure
            repeated += 1
    assert repeated


def test_an_attempt_that_goes_by_the_clock_is_not_made_again(buildcell: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program gives a group up after a second: what comes then is another crystal each time."""
    options = SearchOptions(count=1, formula_units=(1, 1), operations=(2, 48))
    generator = buildcell()
    (made,) = search("CaF2", options, generator).crystals
    (other,) = search("CaF2", replace(options, seed=7), generator).crystals
    results = iter([made, other])
    monkeypatch.setattr("gnome_torch.candidates.random_search.search.make", lambda *_: next(results))
    with pytest.raises(SearchError, match=r"attempt 3 depends on the clock .*: take its crystal from the files"):
        again("CaF2", 3, options, generator)


def test_the_volume_is_that_of_a_formula_unit(buildcell: Found) -> None:
    """Of Li3N with NUM=3 the program makes it twice as large, and so does the stand-in."""
    wanted = attempt("Li3N", SearchOptions())
    program = buildcell().program
    for text, factor in (
        (input_of(wanted), 1.0),
        (input_of(wanted).replace("Li,Li,Li,N", "Li%NUM=3,N%NUM=1"), 2.0),
    ):
        printed = subprocess.run([program], input=text, capture_output=True, text=True, check=True).stdout
        assert read_cell(printed).volume == pytest.approx(factor * wanted.volume, rel=1e-3)


def test_bytes_that_are_no_text_do_no_harm(buildcell: Found) -> None:
    options = SearchOptions(count=2, formula_units=(1, 2), volumes=(0.8, 1.2))
    assert len(search("MgO", options, buildcell("bytes")).crystals) == 2


# ---- where it makes none


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("#SEED=.*", "#SEED=0-MgO-7"), "init_pseudorandom : error reading seed"),
        (("#SEED=.*", "#SEED=1 2 3 4 5 6 7"), "init_pseudorandom : error reading seed"),
        (("#SYMMOPS=.*", "#SYMMOPS=5-10"), "Number of symmetry operations not allowed for a crystal"),
        (("#SYMMOPS=.*", "#SYMMOPS=5"), "Requested number of operations not available"),
        (("#TARGVOL=", "#TARGVOL=x"), "ended with status 2: Fortran runtime error: Bad real number"),
    ],
)
def test_an_input_that_the_program_refuses(
    changes: tuple[str, str], words: str, buildcell: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of ours, or of another version's: it is said, and is no failure of the composition."""
    from gnome_torch.candidates.random_search import buildcell as module

    monkeypatch.setattr(module, "input_of", lambda wanted: re.sub(*changes, input_of(wanted)))
    with pytest.raises(GeneratorMissingError, match=rf"airss .*buildcell fails, .* \(10 times in a row, {words}"):
        search("MgO", SearchOptions(count=1), buildcell())


@pytest.mark.parametrize(
    ("mood", "words"),
    [
        ("crash", "ended with status 2: Fortran runtime error: Bad real number in item 1 of list input"),
        ("signal", "ended by signal 11: without a word"),
        ("library", "ended with status 127: buildcell: error while loading shared libraries: libgfortran.so.5"),
        ("half", "output without a whole cell"),
        ("nan", "output without a whole cell"),
        ("nothing", "output without a whole cell"),
    ],
)
def test_a_program_that_fails_at_every_attempt(mood: str, words: str, buildcell: Found) -> None:
    options = SearchOptions(count=5)
    with pytest.raises(GeneratorMissingError, match=rf"fails, .* \(10 times in a row, {words}.*mend its installation"):
        search("MgO", options, buildcell(mood))
    with pytest.raises(GeneratorMissingError, match=rf"fails, .* \({words}"):
        again("MgO", 3, options, buildcell(mood))
    with pytest.raises(GeneratorMissingError, match=r"fails, .* \(3 times in a row"):  # all that there were
        search("MgO", SearchOptions(count=1, attempts=3), buildcell(mood))
    with pytest.raises(GeneratorMissingError, match=r"fails, .* \(10 times in a row"):  # it worked at first
        search("MgO", SearchOptions(count=50), buildcell(f"{mood}:3"))


@pytest.mark.parametrize(
    ("mood", "reason"),
    [
        ("unsatisfied", "no cell: Too many rejects: 20"),
        ("other atoms", "a cell of other atoms"),
        ("hang", "no cell within 0.3 s: 10"),
        ("volume", "a volume out of the range: 20"),
    ],
)
def test_attempts_without_a_crystal_are_counted_by_reason(mood: str, reason: str, buildcell: Found) -> None:
    options = SearchOptions(count=1, formula_units=(1, 1), operations=(2, 4))
    pattern = f"MgO: no crystal in [12]0 attempts .*{re.escape(reason)}.*Mg-O 1.55.*15.2 to 45.5 cubic angstrom"
    with pytest.raises(SearchError, match=pattern) as raised:
        search("MgO", options, buildcell(mood, time_limit=0.3 if mood == "hang" else 10.0))
    assert not isinstance(raised.value, GeneratorMissingError)


def test_a_program_that_starts_to_hang_is_given_up(buildcell: Found) -> None:
    """What there is by then is kept; the program's children end with it."""
    options = SearchOptions(count=50, formula_units=(2, 2), operations=(2, 2), volumes=(0.9, 1.2))
    program = buildcell("hang:6", time_limit=0.8)
    result = search("MgO", options, program)
    assert 0 < len(result.crystals) <= 6
    assert result.rejected["no cell within 0.8 s"] == 10
    assert result.attempts == 16
    script = program.program.read_text().split('"')[-2]
    running = subprocess.run(["pgrep", "-f", script], capture_output=True, text=True, check=False)
    assert running.stdout == ""


def test_a_program_that_cannot_be_run_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(GeneratorMissingError, match="cannot be run"):
        search("MgO", SearchOptions(count=1), Buildcell(tmp_path / "gone"))


# ---- what it prints


def test_a_cell_with_comments_and_units() -> None:
    text = """! a comment
%BLOCK LATTICE_ABC
ang
   3.0 4.0 5.0   # a b c
   90.0 90.0 120.0
%ENDBLOCK LATTICE_ABC
%BLOCK POSITIONS_FRAC
  Fe:1  0.0 0.0 0.0 SPIN= 1.0 # Fe1 % NUM=1
  O     0.5 0.5 -0.25
%ENDBLOCK POSITIONS_FRAC
SYMMETRY_GENERATE
"""
    structure = read_cell(text)
    assert structure.composition == Composition("FeO")
    assert structure.lattice.parameters == pytest.approx((3, 4, 5, 90, 90, 120))
    assert structure[1].frac_coords == pytest.approx([0.5, 0.5, 0.75])
    rows = "ANG\n 3 0 0\n 0 4D0 0\n 0.5 0 5"
    cartesian = re.sub("LATTICE_ABC\n.*\n%ENDBLOCK LATTICE_ABC", f"LATTICE_CART\n{rows}\n%ENDBLOCK LATTICE_CART", text,
                       flags=re.DOTALL)  # fmt: skip
    assert read_cell(cartesian).lattice.matrix.tolist() == [[3, 0, 0], [0, 4, 0], [0.5, 0, 5]]
    for broken in (
        "",
        "%BLOCK LATTICE_ABC\n1 2\n",
        text.replace("120.0", ""),
        text.replace("0.0 0.0 0.0", "0.0 x 0.0"),
        text.replace("%ENDBLOCK POS", "POS"),
    ):
        with pytest.raises(NoCellError):
            read_cell(broken)
