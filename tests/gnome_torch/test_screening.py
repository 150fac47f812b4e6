"""The selection rule, and the screening of shards: the whole against one pass by hand, restarts, a cascade's recall."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from gnome_torch import screening
from gnome_torch.candidates.chemistry.elements import numbers_of
from gnome_torch.candidates.parents import parent_of
from gnome_torch.candidates.tables import shards
from gnome_torch.records import Decorations, Predictions
from gnome_torch.screening import Cascade, Choice, Criteria, Predictor, Ranking, by_parent, screen, select

SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.61), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
METAL = Structure(Lattice.hexagonal(3.2, 5.2), ["Mg", "Mg"], [[0, 0, 0], [1 / 3, 2 / 3, 0.5]])
PARENTS = {"salt": SALT, "metal": METAL}


def test_threshold_lowest_of_each_composition_and_order() -> None:
    formulas = ["MgO", "MgO", "Li2O", "LiO", "Al2O3"]
    predicted = [-2.90, -2.95, -2.00, -1.00, -3.49]
    hull = [-3.00, -3.00, -2.01, -1.30, -3.40]
    chosen = select(formulas, predicted, hull, threshold=0.05 + 1e-9)
    assert [c.index for c in chosen] == [4, 2, 1]
    assert [c.distance for c in chosen] == pytest.approx([-0.09, 0.01, 0.05])
    assert select(formulas, predicted, hull, threshold=0.05 + 1e-9, limit=1) == chosen[:1]


def test_the_threshold_itself_passes_and_ties_go_to_the_first() -> None:
    assert select(["A", "A"], [0.05, 0.05], [0.0, 0.0], threshold=0.05) == [Choice(0, 0.05)]
    assert select([], [], []) == []
    with pytest.raises(ValueError, match="1 formulas, 2 predictions"):
        select(["A"], [0.0, 1.0], [0.0])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ABCD"), st.integers(-3, 3), st.integers(-2, 0)), max_size=12))
def test_selection_is_the_written_rule(rows: list[tuple[str, int, int]]) -> None:
    """One loop over the candidates, as the paper puts it."""
    best: dict[str, tuple[int, int]] = {}
    for index, (formula, energy, hull) in enumerate(rows):
        if energy - hull <= 1 and (formula not in best or energy - hull < best[formula][0]):
            best[formula] = (energy - hull, index)
    chosen = select([r[0] for r in rows], [float(r[1]) for r in rows], [float(r[2]) for r in rows], threshold=1.0)
    assert [(c.distance, c.index) for c in chosen] == sorted(best.values())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ABCDEF"), st.integers(-9, 9)), max_size=20), st.integers(1, 3))
def test_so_many_of_a_system(rows: list[tuple[str, int]], limit: int) -> None:
    """The best of each composition, and no more of a chemical system than are allowed: one loop."""
    systems = [formula in "ABC" for formula, _ in rows]
    kept, counts = [], [0, 0]
    for choice in select([f for f, _ in rows], [float(e) for _, e in rows], [0.0] * len(rows), threshold=9.0):
        system = systems[choice.index]
        if counts[system] < limit:
            kept.append(choice)
        counts[system] += 1
    given = [f for f, _ in rows], [float(e) for _, e in rows], [0.0] * len(rows)
    assert select(*given, threshold=9.0, systems=systems, per_system=limit) == kept


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ABCD"), st.integers(-9, 9)), max_size=20), st.integers(1, 3))
def test_so_many_of_a_composition(rows: list[tuple[str, int]], number: int) -> None:
    """The lowest by its distance, the others by how far they are above it or above the hull: one loop."""
    scored = []
    for index, (formula, distance) in enumerate(rows):
        lower = [(d, i) for i, (f, d) in enumerate(rows) if f == formula and (d, i) < (distance, index)]
        if len(lower) < number:
            above = distance - min(0, min(lower)[0]) if lower else distance
            if distance <= 4 and above <= 4:
                scored.append((above, distance, index))
    given = [f for f, _ in rows], [float(d) for _, d in rows], [0.0] * len(rows)
    chosen = select(*given, threshold=4.0, per_composition=number)
    assert [c.index for c in chosen] == [index for *_, index in sorted(scored)]


def test_what_is_to_be_confirmed_goes_first() -> None:
    """The most promising crystals of a composition, however far they are predicted, and within the limit."""
    formulas = ["MgO", "MgO", "MgO", "CaO", "CaO", "Li2O"]
    distance = np.array([0.3, 0.2, np.inf, 0.01, 0.02, -0.1])
    table = pa.table({"id": list("abcdef"), "formula": formulas, "iqr": np.zeros(6)})
    codes = np.array([0, 0, 0, 1, 1, 2])

    def chosen(**options: Any) -> list[int]:
        return [choice.index for choice in Criteria(**options).choices(table, codes, distance)]

    assert chosen() == [5, 3]
    assert chosen(confirm={"MgO": 2}) == [1, 0, 5, 3]
    assert chosen(confirm={"MgO": 9, "SiO2": 3}) == [1, 0, 5, 3]  # there are no more; what was not computed is none
    assert chosen(confirm={"MgO": 1, "Li2O": 1}) == [5, 1, 3]
    assert chosen(confirm={"MgO": 2}, limit=3) == [1, 0, 5]
    assert chosen(confirm={"MgO": 2}, per_composition=0) == [1, 0]
    assert chosen(per_composition=2) == [5, 3, 4]


def test_how_the_spread_enters() -> None:
    ids = [f"candidate {i}" for i in range(20_000)]
    distance, iqr = np.linspace(-0.1, 0.1, 20_000), np.full(20_000, 0.02698)  # a deviation of 0.02
    assert np.array_equal(Ranking().scores(ids, distance, iqr, 0.05), distance)
    assert Ranking("bound", 2.0).scores(ids, distance, iqr, 0.05) == pytest.approx(distance - 0.04)
    draws = Ranking("thompson", 1.0, seed=3).scores(ids, distance, iqr, 0.05) - distance
    assert abs(draws.mean()) < 0.001
    assert draws.std() == pytest.approx(0.02, rel=0.03)
    assert np.percentile(np.abs(draws), 95) == pytest.approx(0.0392, rel=0.03)
    # the same candidate draws the same, whoever stands beside it; another seed draws another
    some = Ranking("thompson", 1.0, seed=3).scores(ids[5:7], distance[5:7], iqr[5:7], 0.05)
    assert np.array_equal(some - distance[5:7], draws[5:7])
    other = Ranking("thompson", 1.0, seed=4).scores(ids, distance, iqr, 0.05) - distance
    assert abs(np.corrcoef(draws, other)[0, 1]) < 0.03
    # one member alone has no spread
    assert np.array_equal(Ranking("bound").scores(ids[:2], distance[:2], np.array([np.nan, 0.0]), 0.05), distance[:2])


def test_by_chance_means_among_those_that_pass() -> None:
    ids = [str(i) for i in range(4000)]
    distance = np.linspace(-0.1, 0.1, 4000)
    scores = Ranking("random", seed=1).scores(ids, distance, np.zeros(4000), 0.05)
    chosen = [c.index for c in select(ids, scores, np.zeros(4000), 0.05, limit=1000)]
    assert distance[chosen].max() <= 0.05
    assert distance[chosen].mean() == pytest.approx(-0.025, abs=0.005)
    assert len({*chosen}) == 1000


@pytest.fixture
def candidates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """170 candidates of two parents, mixed, in shards of 60, to be predicted 25 at a time."""
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 60)
    monkeypatch.setattr(screening, "PART_ROWS", 25)
    rng = np.random.default_rng(0)
    symbols = np.array(["Li", "Na", "K", "Mg", "O", "F", "Cl"])
    rows: list[dict[str, Any]] = []
    for i in range(170):
        parent = "salt" if rng.random() < 0.7 else "metal"
        species = rng.choice(symbols, len(PARENTS[parent]))
        formula = Structure(PARENTS[parent].lattice, species, PARENTS[parent].frac_coords).reduced_formula
        rows.append(
            {"id": f"c{i}", "parent_id": parent, "formula": formula, "species": species.tolist(), "volume": 20.0 + i}
            | {"source": "saps", "substitution": "", "prototype": "p", "round": 1, "probability": 0.5, "contact": 1.0}
        )
    directory = tmp_path / "candidates"
    table = pa.Table.from_pylist(rows, schema=shards.SCHEMA)
    shards.write_shards([table.slice(0, 100), table.slice(100)], directory)
    parents = shards.parents_table([(parent_of(key, crystal), "", "", "p") for key, crystal in PARENTS.items()])
    shards.finish(directory, parents, {"written": 170})
    return directory


def energy_of(some: Decorations) -> np.ndarray:
    """A made-up energy that knows every site and the volume, eV/atom, (n,)."""
    sites = np.sin(np.arange(1, some.numbers.shape[1] + 1) * some.numbers).mean(axis=1)
    return np.asarray(sites * 0.3 + 0.2 * np.sin(some.volumes))


def predict(decorated: Sequence[Decorations]) -> Predictions:
    energy = np.concatenate([energy_of(some) for some in decorated]) if decorated else np.zeros(0)
    return Predictions(energy, np.abs(energy) / 10, np.ones(len(energy)))


def hull_energies(formulas: Sequence[str]) -> np.ndarray:
    return np.array([-0.1 * len(formula) / 10 for formula in formulas])


def all_predicted(candidates: Path) -> tuple[list[str], list[str], np.ndarray, np.ndarray]:
    """One candidate at a time: ids, formulas, energies and hull."""
    rows = list(shards.read_shards(candidates))
    energies = np.concatenate(
        [energy_of(Decorations(PARENTS[c.parent_id], numbers_of(c.species)[None], np.array([c.volume]))) for c in rows]
    )
    formulas = [c.reduced_formula for c in rows]
    return [c.id for c in rows], formulas, energies, hull_energies(formulas)


def test_equals_one_pass_by_hand(candidates: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    out = tmp_path / "out"
    crystals = shards.read_parents(candidates)
    whole = Predictor(by_parent(crystals, predict), {})
    result = screen(candidates, out, whole, hull_energies, Criteria(threshold=0.05, limit=9), progress=seen.append)
    ids, formulas, energies, hull = all_predicted(candidates)
    expected = select(formulas, energies, hull, 0.05, 9)
    assert [c.id for c, _, _ in result.chosen] == [ids[choice.index] for choice in expected]
    assert [d for _, _, d in result.chosen] == pytest.approx([choice.distance for choice in expected])
    assert [p.formation_energy for _, p, _ in result.chosen] == pytest.approx([energies[c.index] for c in expected])
    assert (result.candidates, result.full, result.recall) == (170, 170, None)
    assert result.near == int((energies - hull <= 0.05).sum())
    assert seen[-1] == 170
    assert len(seen) == 8  # shards of 60, 60 and 50 in parts of 25

    table = pa.concat_tables(pq.read_table(p) for p in sorted(out.glob("screened-*.parquet")))
    assert table["id"].to_pylist() == ids
    np.testing.assert_allclose(table["distance"].to_numpy(), energies - hull)
    decisions = table["decision"].to_pylist()
    assert [decisions[choice.index] for choice in expected] == ["selected"] * 9
    assert decisions.count("selected") + decisions.count("near") == result.near
    report = json.loads((out / "screening.json").read_text())
    assert (report["candidates"], report["selected"], report["near"]) == (170, 9, result.near - 9)


def test_a_killed_run_goes_on_after_the_last_part(candidates: Path, tmp_path: Path) -> None:
    calls: list[int] = []

    class Killed(BaseException):
        pass

    def dies_at(number: int) -> screening.Predict:
        whole = by_parent(PARENTS, predict)

        def predict_table(table: pa.Table) -> Predictions:
            calls.append(table.num_rows)
            if len(calls) == number:
                raise Killed
            return whole(table)

        return predict_table

    def screened(name: str, dies: int, ensemble: str = "e1") -> screening.Screened:
        predictor = Predictor(dies_at(dies), {"ensemble": ensemble})
        return screen(candidates, tmp_path / name, predictor, hull_energies)

    with pytest.raises(Killed):
        screened("out", 5)
    result = screened("out", 0)
    assert len(calls) == 5 + 4  # the first four of eight were kept
    whole = screened("other", 0)
    assert result == whole
    assert screened("out", 1) == whole  # nothing is predicted again
    before = len(calls)
    # a torn part, and one of other candidates, are predicted again
    parts = sorted((tmp_path / "out").glob("predictions-*.parquet"))
    parts[2].write_bytes(parts[2].read_bytes()[:100])
    parts[5].write_bytes(parts[4].read_bytes())
    assert screened("out", 0) == whole
    assert len(calls) - before == 2
    before = len(calls)
    screened("out", 0, ensemble="e2")
    assert len(calls) - before == 8  # another ensemble starts over


def test_a_cascade_loses_what_its_first_look_misjudges(candidates: Path, tmp_path: Path) -> None:
    whole = by_parent(PARENTS, predict)
    full: list[int] = []

    def counted(table: pa.Table) -> Predictions:
        full.append(table.num_rows)
        return whole(table)

    def run(shift: float, audit: float, name: str) -> screening.Screened:
        def first_look(table: pa.Table) -> Predictions:
            rough = whole(table)
            return Predictions(rough.energy + shift, rough.iqr, rough.volume_scale)

        predictor = Predictor(counted, {}, Cascade(first_look, 0.1, audit))
        return screen(candidates, tmp_path / name, predictor, hull_energies)

    plain = screen(candidates, tmp_path / "plain", Predictor(whole, {}), hull_energies)
    good = run(0.02, 0.1, "good")
    assert [c.id for c, _, _ in good.chosen] == [c.id for c, _, _ in plain.chosen]
    assert good.recall == 1.0
    plan = json.loads((tmp_path / "good" / screening.PLAN).read_text())
    assert plan["cascade"] == ["Cascade(margin=0.1, audit=0.1)", 0.05]  # a stored format
    assert good.full == sum(full) < 140
    ids, _, energies, hull = all_predicted(candidates)
    near = energies - hull <= 0.05
    kept = near & (energies + 0.25 - hull <= 0.15)
    audited = run(0.25, 1.0, "bad")  # the first look is far too high; everything is audited, so nothing is lost
    assert audited.recall == pytest.approx(kept.sum() / near.sum())
    assert audited.near == near.sum()
    # the threshold decides what is predicted in full: another one starts over
    audited_whole = Predictor(whole, {}, Cascade(whole, 0.1, 1.0))
    again = screen(candidates, tmp_path / "bad", audited_whole, hull_energies, Criteria(threshold=0.2))
    assert again.near == int((energies - hull <= 0.2).sum())
    assert run(9.0, 1.0, "hopeless").recall == 0.0
    blind = run(0.25, 0.0, "blind")
    assert blind.recall is None
    assert blind.near == kept.sum()
    table = pa.concat_tables(pq.read_table(p) for p in sorted((tmp_path / "blind").glob("screened-*.parquet")))
    assert set(table["prediction"].to_pylist()) == {"full", "first look"}
    assert {i for i, d in zip(ids, table["decision"].to_pylist(), strict=True) if d != "far"} == {
        i for i, k in zip(ids, kept, strict=True) if k
    }


def test_no_candidates(tmp_path: Path) -> None:
    directory = tmp_path / "candidates"
    shards.write_shards([], directory)
    shards.finish(directory, shards.parents_table([]), {})
    result = screen(directory, tmp_path / "out", Predictor(by_parent({}, predict), {}), hull_energies)
    assert (result.candidates, result.near, result.chosen) == (0, 0, [])


def test_bad_candidates(candidates: Path, tmp_path: Path) -> None:
    with pytest.raises(shards.ShardError, match=r"its parent .* is not in parents"):
        screen(candidates, tmp_path / "a", Predictor(by_parent({"salt": SALT}, predict), {}), hull_energies)
    mistaken = by_parent({"salt": SALT, "metal": SALT}, predict)
    with pytest.raises(shards.ShardError, match="candidates of metal: not all have its 8 sites"):
        screen(candidates, tmp_path / "b", Predictor(mistaken, {}), hull_energies)
    (candidates / shards.SUMMARY).unlink()
    with pytest.raises(shards.ShardError, match="no finished candidates"):
        screen(candidates, tmp_path / "c", Predictor(by_parent(PARENTS, predict), {}), hull_energies)
