"""Random crystals of a composition: what every generator owes, and what happens where there is no crystal."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, Lattice, Structure
from pymatgen.symmetry.groups import SpaceGroup

from gnome_torch.candidates.random_search.buildcell import Buildcell, read_cell
from gnome_torch.candidates.random_search.cells import NoCellError, PyxtalCells, operations_of, space_groups
from gnome_torch.candidates.random_search.files import is_complete, is_written, plan_of, read_crystals, write_search
from gnome_torch.candidates.random_search.options import (
    Attempt,
    GeneratorMissingError,
    SearchError,
    SearchOptions,
    composition_of,
)
from gnome_torch.candidates.random_search.search import again, generator_of, search
from gnome_torch.candidates.random_search.separations import (
    estimated_volume,
    minimum_separations,
    separation_matrix,
)
from gnome_torch.candidates.random_search.soft_spheres import nearest_ratio, push_apart
from gnome_torch.similarity import Distinct
from gnome_torch.symmetry import primitive, symmetry

ELEMENTS = ("Li", "Na", "Mg", "Al", "Si", "Fe", "O", "N", "S", "Cl")
STAND_IN = Path(__file__).with_name("buildcell_stand_in.py")


@pytest.fixture
def buildcell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Buildcell]:
    """The stand-in as the `buildcell` on the PATH, in one of its moods."""
    program = tmp_path / "bin" / "buildcell"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{STAND_IN}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")

    def found(how: str = "", time_limit: float = 10.0) -> Buildcell:
        monkeypatch.setenv("STAND_IN", how)
        return Buildcell.found(time_limit)

    return found


def check(structure: Structure, formula: str, options: SearchOptions) -> None:
    """What every crystal of a search keeps."""
    composition = composition_of(formula)
    assert structure.composition.reduced_composition == composition
    units = round(len(structure) / composition.num_atoms)
    low, high = options.formula_units
    assert low <= units <= high
    assert len(structure) <= options.max_sites
    volume = structure.volume / (units * estimated_volume(composition))
    assert options.volumes[0] * 0.97 <= volume <= options.volumes[1] * 1.03  # AIRSS is given a range of 2 %
    # every pair of sites, images included, one by one
    separations = minimum_separations(composition, options.separations)
    for site in structure:
        for other in structure.get_neighbors(site, 6.0):
            a, b = sorted((site.specie.symbol, other.specie.symbol))
            assert other.nn_distance >= separations[a, b] - 1e-6


# ---- what every generator owes


@pytest.mark.parametrize("name", ["pyxtal", "airss"])
@pytest.mark.parametrize("formula", ["MgO", "Li3N", "SrTiO3"])
def test_crystals_keep_what_was_asked_for(name: str, formula: str, buildcell: Callable[..., Buildcell]) -> None:
    options = SearchOptions(count=8, formula_units=(1, 2), volumes=(0.7, 1.2), separations={"O-O": 1.9})
    generator = PyxtalCells() if name == "pyxtal" else buildcell()
    result = search(formula, options, generator)
    assert (result.formula, len(result.crystals)) == (formula, 8)
    assert result.attempts == 8 + sum(result.rejected.values())
    for crystal in result.crystals:
        check(crystal.structure, formula, options)
        assert crystal.generator == generator.name
    # no two are the same
    matcher = StructureMatcher()
    structures = [crystal.structure for crystal in result.crystals]
    assert not any(matcher.fit(a, b) for i, a in enumerate(structures) for b in structures[:i])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.sampled_from(ELEMENTS), min_size=2, max_size=3, unique=True),
    st.data(),
)
def test_any_composition(symbols: list[str], data: st.DataObject) -> None:
    amounts = data.draw(st.lists(st.integers(1, 3), min_size=len(symbols), max_size=len(symbols)))
    formula = Composition(dict(zip(symbols, amounts, strict=True))).reduced_formula
    low = data.draw(st.sampled_from([1, 2, 4]))
    options = SearchOptions(
        count=2,
        formula_units=(1, 2),
        volumes=(0.8, 1.2),
        operations=(low, 48),
        seed=data.draw(st.integers(0, 2**32)),
        attempts=50,
    )
    for crystal in search(formula, options, PyxtalCells()).crystals:
        check(crystal.structure, formula, options)
        group = SpaceGroup.from_int_number(crystal.spacegroup)
        points = {"P": 1, "A": 2, "B": 2, "C": 2, "I": 2, "R": 3, "F": 4}[group.symbol[0]]
        assert group.order / points >= low
        # a primitive cell: no smaller one describes it
        smaller = primitive(crystal.structure, 1e-3)
        assert smaller is not None
        assert len(smaller) == len(crystal.structure)


def test_the_same_again_and_one_by_one() -> None:
    options = SearchOptions(count=6, seed=3)
    one, other = (search("TiO2", options, PyxtalCells()) for _ in range(2))
    assert [c.structure for c in one.crystals] == [c.structure for c in other.crystals]
    for crystal in one.crystals:
        (made,) = again("O4Ti2", crystal.attempt, options, PyxtalCells()).crystals
        assert made == crystal
    assert [c.structure for c in search("TiO2", SearchOptions(count=6, seed=4), PyxtalCells()).crystals] != [
        c.structure for c in one.crystals
    ]


def test_space_groups_by_their_operations() -> None:
    """Against pymatgen's operations: those of the conventional cell, by its lattice points."""
    points = {"P": 1, "A": 2, "B": 2, "C": 2, "I": 2, "R": 3, "F": 4}
    groups = [SpaceGroup.from_int_number(number) for number in range(1, 231)]
    orders = np.array([group.order // points[group.symbol[0]] for group in groups])
    for low, high in ((1, 48), (2, 4), (3, 3), (12, 24), (48, 48)):
        assert space_groups(low, high).tolist() == (np.flatnonzero((low <= orders) & (orders <= high)) + 1).tolist()
    for number, order in enumerate(orders, start=1):
        assert operations_of(number) == order


# ---- soft spheres, separations, near-duplicates


def test_soft_spheres_push_atoms_apart_and_keep_the_symmetry() -> None:
    wyckoff = Structure.from_spacegroup(
        "P4/mmm", Lattice.tetragonal(6, 7), ["Na", "Cl"], [[0.1, 0.1, 0.1], [0.5, 0.5, 0.4]]
    )
    allowed = separation_matrix(
        [site.specie.symbol for site in wyckoff], {("Cl", "Cl"): 2.0, ("Cl", "Na"): 2.2, ("Na", "Na"): 2.4}
    )
    assert nearest_ratio(wyckoff, allowed) < 0.6
    relaxed = push_apart(wyckoff, allowed)
    assert nearest_ratio(relaxed, allowed) >= 1.0
    assert symmetry(relaxed).number == symmetry(wyckoff).number == 123
    assert relaxed.lattice == wyckoff.lattice
    assert push_apart(relaxed, allowed) is relaxed  # nothing to do


def test_soft_spheres_have_the_right_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    from gnome_torch.candidates.random_search import soft_spheres

    kept = {}

    def keep(function: Callable[[np.ndarray], tuple[float, np.ndarray]], start: np.ndarray, **_: object) -> object:
        kept.update(function=function, start=start)
        return type("Found", (), {"x": start})

    monkeypatch.setattr(soft_spheres, "minimize", keep)
    rng = np.random.default_rng(0)
    cell = Structure(Lattice.from_parameters(3.5, 3.9, 4.4, 80, 95, 105), ["Na", "Cl", "Na"], rng.random((3, 3)))
    push_apart(cell, np.full((3, 3), 3.0))
    value, gradient = kept["function"](kept["start"])
    assert value > 0
    for i in range(9):
        step = np.zeros(9)
        step[i] = 1e-5
        slope = (kept["function"](kept["start"] + step)[0] - kept["function"](kept["start"] - step)[0]) / 2e-5
        assert slope == pytest.approx(gradient[i], abs=1e-6)


def test_separations_come_from_radii_and_can_be_given() -> None:
    tabulated = minimum_separations(Composition("Li2O"))
    assert set(tabulated) == {("Li", "Li"), ("Li", "O"), ("O", "O")}
    assert tabulated["Li", "O"] == pytest.approx(0.75 * (1.28 + 0.66))
    assert tabulated["O", "O"] == pytest.approx(0.75 * 2 * 1.52)  # anions: van der Waals
    assert minimum_separations(Composition("O"))["O", "O"] == pytest.approx(0.75 * 2 * 0.66)  # the element
    free = Structure(Lattice.cubic(3.0), ["Cu"], [[0, 0, 0]])
    assert nearest_ratio(push_apart(free, np.zeros((1, 1))), np.zeros((1, 1))) == float("inf")
    given = minimum_separations(Composition("Li2O"), {"O-Li": 1.7, "O-O": 1.3})
    assert (given["Li", "O"], given["O", "O"], given["Li", "Li"]) == (1.7, 1.3, tabulated["Li", "Li"])


def test_distinct_knows_a_crystal_in_another_cell() -> None:
    distinct = Distinct()
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    caesium = Structure(Lattice.cubic(4.1), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert distinct.add(salt)
    assert distinct.add(caesium)
    other = salt.get_primitive_structure()
    other.scale_lattice(other.volume * 1.3)
    other.perturb(0.02)
    assert not distinct.add(other)
    assert not distinct.add(caesium.make_supercell([2, 1, 1], in_place=False))


# ---- buildcell


def test_the_seed_that_buildcell_gets(buildcell: Callable[..., Buildcell]) -> None:
    separations = {("Li", "Li"): 2.4, ("Li", "O"): 1.8, ("O", "O"): 2.6}
    options = SearchOptions(operations=(2, 4))
    seed = buildcell().input_of(Attempt(Composition("Li2O"), 2, 100.0, separations, options, "0-Li2O-7"))
    assert seed.splitlines() == [
        "#TARGVOL=49.0000-51.0000",
        "#SPECIES=Li%NUM=2,O%NUM=1",
        "#NFORM=2",
        "#SYMMOPS=2-4",
        "#SLACK=0.25",
        "#OVERLAP=0.1",
        "#SEED=0-Li2O-7",
        "#MINSEP=1.800 Li-Li=2.400 Li-O=1.800 O-O=2.600",
        "#COMPACT",
    ]


def test_cells_of_both_kinds(buildcell: Callable[..., Buildcell]) -> None:
    options = SearchOptions(count=3, volumes=(1.0, 1.0), formula_units=(2, 2))
    for how in ("", "cart"):
        for crystal in search("MgO", options, buildcell(how)).crystals:
            assert crystal.structure.composition == Composition("Mg2O2")
            assert crystal.volume == pytest.approx(1.0, abs=0.021)


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
    for broken in (
        "",
        "%BLOCK LATTICE_ABC\n1 2\n",
        text.replace("120.0", ""),
        text.replace("0.0 0.0 0.0", "0.0 x 0.0"),
        text.replace("%ENDBLOCK POS", "POS"),
    ):
        with pytest.raises(NoCellError):
            read_cell(broken)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("nothing", "output without a whole cell: 20"),
        ("half", "output without a whole cell: 20"),
        ("other atoms", "a cell of other atoms"),
        ("hang", "no cell within 0.3 s: 10"),
        ("nan", "output without a whole cell: 20"),
        ("volume", "a volume out of the range: 20"),
    ],
)
def test_a_buildcell_that_fails_with_status_0(how: str, reason: str, buildcell: Callable[..., Buildcell]) -> None:
    options = SearchOptions(count=1, formula_units=(1, 1), operations=(2, 4))
    pattern = f"MgO: no crystal in [12]0 attempts .*{re.escape(reason)}.*Mg-O 1.55.*15.2 to 45.5 cubic angstrom"
    with pytest.raises(SearchError, match=pattern):
        search("MgO", options, buildcell(how, time_limit=0.3 if how == "hang" else 10.0))


def test_the_generator_that_is_there(buildcell: Callable[..., Buildcell], monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(generator_of("auto"), Buildcell)
    assert isinstance(generator_of("pyxtal"), PyxtalCells)
    monkeypatch.setenv("PATH", "/nowhere")
    assert isinstance(generator_of("auto"), PyxtalCells)
    with pytest.raises(SearchError, match="no buildcell on the PATH: install AIRSS"):
        generator_of("airss")
    with pytest.raises(SearchError, match="choose one of auto, airss, pyxtal"):
        generator_of("calypso")


def test_buildcell_makes_the_same_again(buildcell: Callable[..., Buildcell]) -> None:
    options = SearchOptions(count=3, formula_units=(1, 2), volumes=(0.8, 1.2))
    for crystal in search("Li3N", options, buildcell()).crystals:
        (made,) = again("Li3N", crystal.attempt, options, buildcell()).crystals
        assert made == crystal
        assert f"#SEED=0-Li3N-{crystal.attempt}" in crystal.made_from


def test_bytes_that_are_no_text_do_no_harm(buildcell: Callable[..., Buildcell]) -> None:
    options = SearchOptions(count=2, formula_units=(1, 2), volumes=(0.8, 1.2))
    assert len(search("MgO", options, buildcell("bytes")).crystals) == 2


def test_a_program_that_starts_to_hang_is_given_up(buildcell: Callable[..., Buildcell]) -> None:
    """What there is by then is kept; the program's children end with it."""
    options = SearchOptions(count=50, formula_units=(2, 2), volumes=(0.9, 1.2))
    result = search("MgO", options, buildcell("hang:6", time_limit=0.5))
    assert 0 < len(result.crystals) <= 6
    assert result.rejected["no cell within 0.5 s"] == 10
    assert result.attempts == 16
    running = subprocess.run(["pgrep", "-f", str(STAND_IN)], capture_output=True, text=True, check=False)
    assert running.stdout == ""


def test_a_buildcell_that_cannot_be_run_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(GeneratorMissingError, match="cannot be run"):
        search("MgO", SearchOptions(count=1), Buildcell(tmp_path / "gone"))


@pytest.mark.skipif(shutil.which("buildcell") is None, reason="AIRSS's buildcell is not on the PATH")
def test_the_real_buildcell() -> None:
    options = SearchOptions(count=5, formula_units=(1, 2), operations=(2, 4))
    result = search("MgO", options, generator_of("airss"))
    for crystal in result.crystals:
        check(crystal.structure, "MgO", options)
        (made,) = again("MgO", crystal.attempt, options, generator_of("airss")).crystals
        assert made.structure == crystal.structure


def test_symmetry_is_what_was_asked_for() -> None:
    """Special positions can have more, and pushing can lose some: such attempts are dropped."""
    options = SearchOptions(count=25, operations=(2, 4))
    for crystal in search("MgO", options, PyxtalCells()).crystals:
        assert 2 <= operations_of(crystal.spacegroup) <= 4
    options = SearchOptions(count=5, operations=(8, 48), max_sites=26, formula_units=(1, 3), seed=3)
    for crystal in search("Mg2SiO4", options, PyxtalCells()).crystals:
        assert operations_of(symmetry(crystal.structure, 0.1).number) >= 8


# ---- where there is none, and what is written


def test_limits_that_leave_nothing() -> None:
    with pytest.raises(SearchError, match=r"NaCl: no crystal in 20 attempts \(atoms stay too near one another: 20\)"):
        search("NaCl", SearchOptions(count=1, volumes=(0.05, 0.1)), PyxtalCells())
    with pytest.raises(SearchError, match="Ca5P3HO13: 1 formula unit of 22 atoms exceed the 20 atoms of a cell"):
        search("Ca5P3O13H", SearchOptions(count=1), PyxtalCells())
    few = search("NaCl", SearchOptions(count=500, attempts=1, formula_units=(1, 1)), PyxtalCells())
    assert 0 < len(few.crystals) < 500  # there are not that many different ones of two atoms
    assert few.attempts == 500


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 0}, "count = 0: must be at least 1"),
        ({"formula_units": (4, 2)}, "formula_units = 4 to 2"),
        ({"volumes": (0.0, 1.0)}, "volumes = 0 to 1: must be positive"),
        ({"operations": (0, 4)}, "operations = 0 to 4"),
        ({"operations": (5, 5)}, "operations = 5 to 5: point groups have 1, 2, 3, 4, 6"),
        ({"slack": 1.0}, "slack = 1: must be from 0 to below 1"),
        ({"separations": {"O": 1.0}}, "separation 'O': write two elements"),
        ({"separations": {"O-Xx": 1.0}}, "separation 'O-Xx': write two elements"),
        ({"separations": {"O-O": -1.0}}, "separation O-O = -1: must be a distance"),
        ({"seed": -1}, "seed = -1"),
    ],
)
def test_options_that_make_no_sense(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SearchError, match=message):
        SearchOptions(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("formula", ["", "Xx2", "Li0.35CoO2", "hello", "D2O"])
def test_texts_that_are_no_composition(formula: str) -> None:
    with pytest.raises(SearchError):
        composition_of(formula)


@pytest.mark.parametrize("form", ["extxyz", "cif"])
def test_files(form: str, tmp_path: Path) -> None:
    options = SearchOptions(count=3)
    result = search("Li3N", options, PyxtalCells())
    plan = plan_of("Li3N", options, PyxtalCells().name, form)
    assert not is_complete(tmp_path, "Li3N")
    paths = write_search(result, tmp_path, plan)
    assert is_complete(tmp_path, "Li3N")
    assert is_written(tmp_path, plan)
    stranger = tmp_path / "Li3N-0123abcd.cif"
    stranger.write_text("not ours")
    assert not is_written(tmp_path, plan_of("Li3N", SearchOptions(count=4), PyxtalCells().name, form))
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write_search(result, tmp_path, plan)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first
    assert stranger.read_text() == "not ours"
    if form == "cif":
        assert [path.name for path in paths] == [f"Li3N-{c.attempt:05d}.cif" for c in result.crystals]
        read = [Structure.from_file(path) for path in paths]
    else:
        crystals = read_crystals(paths[0])
        assert [(c.attempt, c.units, c.spacegroup, c.generator) for c in crystals] == [
            (c.attempt, c.units, c.spacegroup, c.generator) for c in result.crystals
        ]
        read = [crystal.structure for crystal in crystals]
    for structure, crystal in zip(read, result.crystals, strict=True):
        assert StructureMatcher(scale=False, ltol=1e-4, stol=1e-4, angle_tol=0.01).fit(structure, crystal.structure)
    paths[0].unlink()
    assert not is_complete(tmp_path, "Li3N")
    assert not is_written(tmp_path, plan)
