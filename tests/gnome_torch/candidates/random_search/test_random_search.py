"""Random crystals of a composition: what every generator owes, and what happens where there is no crystal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, Lattice, Structure
from pymatgen.symmetry.groups import SpaceGroup

from gnome_torch.candidates.random_search.buildcell import Buildcell
from gnome_torch.candidates.random_search.cells import PyxtalCells, operations_of, space_groups
from gnome_torch.candidates.random_search.files import is_complete, is_written, plan_of, read_crystals, write_search
from gnome_torch.candidates.random_search.options import (
    SearchError,
    SearchOptions,
    composition_of,
)
from gnome_torch.candidates.random_search.search import again, generator_of, search
from gnome_torch.candidates.random_search.separations import (
    minimum_separations,
    separation_matrix,
)
from gnome_torch.candidates.random_search.soft_spheres import nearest_ratio, push_apart
from gnome_torch.similarity import Distinct
from gnome_torch.symmetry import primitive, symmetry

ELEMENTS = ("Li", "Na", "Mg", "Al", "Si", "Fe", "O", "N", "S", "Cl")
Check = Callable[[Structure, str, SearchOptions], None]


# ---- what every generator owes


@pytest.mark.parametrize("name", ["pyxtal", "airss"])
@pytest.mark.parametrize("formula", ["MgO", "Li3N", "SrTiO3"])
def test_crystals_keep_what_was_asked_for(
    name: str, formula: str, buildcell: Callable[..., Buildcell], check: Check
) -> None:
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
def test_any_composition(check: Check, symbols: list[str], data: st.DataObject) -> None:
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


def test_the_generator_that_is_there(buildcell: Callable[..., Buildcell], monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(generator_of("auto"), Buildcell)
    assert isinstance(generator_of("pyxtal"), PyxtalCells)
    monkeypatch.setenv("PATH", "/nowhere")
    assert isinstance(generator_of("auto"), PyxtalCells)
    with pytest.raises(SearchError, match="no buildcell on the PATH: install AIRSS"):
        generator_of("airss")
    with pytest.raises(SearchError, match="choose one of auto, airss, pyxtal"):
        generator_of("calypso")


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


@pytest.mark.parametrize("formula", ["", "Xx2", "Li0.35CoO2", "hello"])
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
