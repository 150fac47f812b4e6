"""Candidates drawn from a directory: what may be chosen in a round, against the rules one by one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pymatgen.core import Composition

from gnome_torch.candidates.chemistry.policy import ElementPolicy
from gnome_torch.candidates.formulas.compositions import CompositionLimits, compositions
from gnome_torch.candidates.formulas.shards import write_compositions
from gnome_torch.candidates.parents import parent_of
from gnome_torch.candidates.prototypes import prototypes
from gnome_torch.candidates.structural.generation import generate
from gnome_torch.candidates.structural.pool import draw
from gnome_torch.candidates.structural.proposals import StructuralOptions, known_compositions
from gnome_torch.candidates.structural.selection import Request, Selection
from gnome_torch.candidates.structural.substitution import SubstitutionRules
from gnome_torch.candidates.tables.shards import ShardError, read_parents, read_shards, read_summary, shard_paths
from gnome_torch.records import Candidate

METALS = frozenset(["Cu", "Ag", "Au", "Pd"])
OPTIONS = StructuralOptions(ElementPolicy(METALS, max_sites=8), SubstitutionRules(3e-4))


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pool") / "candidates"
    parents = [parent_of(key, crystal) for key, crystal in prototypes().items() if 2 <= len(crystal) <= 8]
    generate(parents, Request(OPTIONS), directory)
    return directory


def drawn(pool: Path, directory: Path, request: Request) -> list[Candidate]:
    summary = draw(pool, request, directory)
    assert summary == read_summary(directory)
    found = list(read_shards(directory))
    assert summary["written"] == len(found)
    lost = sum(summary["refused"].values()) + summary["known"] + summary["tried"]
    assert summary["proposed"] == lost + summary["passed"] == read_summary(pool)["written"]
    assert summary["saps"] == sum(some.lineage.source == "saps" for some in found)
    return found


def test_all_of_it_with_its_crystals(pool: Path, tmp_path: Path) -> None:
    found = drawn(pool, tmp_path / "round", Request(OPTIONS, round_number=3))
    assert found == [replace(some, lineage=replace(some.lineage, round=3)) for some in read_shards(pool)]
    assert len(found) > 100
    assert drawn(pool, tmp_path / "round", Request(OPTIONS, round_number=3)) == found
    crystals = read_parents(tmp_path / "round")
    assert all(some.structure(crystals[some.parent_id]).composition for some in found[::20])


def test_every_rule_is_the_one_written_down(pool: Path, tmp_path: Path) -> None:
    everything = list(read_shards(pool))
    tried = {some.id for some in everything[::7]}
    known = {some.reduced_formula for some in everything[::11]}
    policy = ElementPolicy(
        METALS - {"Ag"}, systems=(frozenset(["Cu", "Au"]), frozenset(["Au", "Pd"])), max_sites=6, min_contact=0.9
    )
    options = replace(OPTIONS, policy=policy, saps=False, known=known_compositions(known))
    expected = [
        some.id
        for some in everything
        if some.id not in tried
        and some.reduced_formula not in known
        and {*some.species} <= METALS - {"Ag"}
        and ({*some.species} <= {"Cu", "Au"} or {*some.species} <= {"Au", "Pd"})
        and len(some.species) <= 6
        and some.contact >= 0.9
        and some.lineage.source != "saps"
    ]
    assert [some.id for some in drawn(pool, tmp_path / "round", Request(options, tried=tried))] == expected
    assert 0 < len(expected) < len(everything) / 2


def test_a_sample_and_a_second_draw(pool: Path, tmp_path: Path) -> None:
    """A draw takes the place of the one before; nothing may be left to choose."""
    summary = draw(pool, Request(OPTIONS, Selection(10, "random", 1)), tmp_path / "round")
    assert summary["written"] == 10
    every = {Composition(some.reduced_formula).reduced_formula for some in read_shards(pool)}
    options = replace(OPTIONS, known=known_compositions(every))
    assert drawn(pool, tmp_path / "round", Request(options)) == []


def test_what_is_no_pool(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="no finished candidates"):
        draw(tmp_path / "nothing", Request(OPTIONS), tmp_path / "round")
    assert not list((tmp_path / "round").glob("*.json"))
    blocks = compositions(ElementPolicy(METALS), CompositionLimits(2, 4, 2, 0))
    write_compositions(blocks, tmp_path / "formulas")
    with pytest.raises(ShardError, match="holds no crystals"):
        draw(tmp_path / "formulas", Request(OPTIONS), tmp_path / "round")
    assert np.all([not path.name.endswith("summary.json") for path in (tmp_path / "round").iterdir()])


def test_a_pool_with_nothing_in_it(pool: Path, tmp_path: Path) -> None:
    shutil.copytree(pool, tmp_path / "pool")
    for path in shard_paths(tmp_path / "pool"):
        pq.write_table(pq.read_table(path).slice(0, 0), path)
    summary = draw(tmp_path / "pool", Request(OPTIONS), tmp_path / "round")
    assert (summary["proposed"], summary["written"]) == (0, 0)


def replaced(name: str, value: Any) -> Callable[[pa.Table], pa.Table]:
    """Writes another value into a column of the third candidate."""

    def change(table: pa.Table) -> pa.Table:
        column = table[name].to_pylist()
        column[2] = value
        place = table.schema.get_field_index(name)
        return table.set_column(place, name, pa.array(column).cast(table.schema.field(name).type))

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (replaced("volume", float("nan")), "its volume is wrong or missing"),
        (replaced("volume", -10.0), "its volume is wrong or missing"),
        (replaced("contact", float("inf")), "its contact is wrong or missing"),
        (replaced("probability", None), "column 'probability' has empty cells"),
        (replaced("id", None), "column 'id' has empty cells"),
        (replaced("species", [None, None]), "column 'species' has empty cells"),
        (replaced("parent_id", "nobody"), "its parent is wrong or missing"),
        (replaced("species", ["Cu"]), "its number of sites is wrong or missing"),
        (replaced("formula", "CuAu7"), "its formula is 'CuAu7', its species are "),
        (replaced("formula", "Salt"), "its formula is 'Salt', its species are "),
    ],
)
def test_candidates_that_are_not_what_they_say(
    pool: Path, tmp_path: Path, change: Callable[[pa.Table], pa.Table], reason: str
) -> None:
    shutil.copytree(pool, tmp_path / "pool")
    path = shard_paths(tmp_path / "pool")[0]
    pq.write_table(change(pq.read_table(path)), path)
    with pytest.raises(ShardError, match=reason) as caught:
        draw(tmp_path / "pool", Request(OPTIONS), tmp_path / "round")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("numbers", [0, 0], "its atomic numbers are none"),
        ("numbers", [], "its atomic numbers are none"),
        ("numbers", None, "an empty cell"),
        ("lattice", [1.0] * 9, "its lattice is none"),
        ("lattice", [1.0, 2.0], "its lattice is none"),
        ("frac_coords", [0.0], "1 coordinates for"),
        ("frac_coords", [float("nan")] * 6, "coordinates for|its number of sites"),
        ("id", None, "an empty cell"),
    ],
)
def test_parents_that_are_none(pool: Path, tmp_path: Path, column: str, value: Any, reason: str) -> None:
    shutil.copytree(pool, tmp_path / "pool")
    path = tmp_path / "pool" / "parents.parquet"
    table = pq.read_table(path)
    values = table[column].to_pylist()
    values[0] = value
    changed = pa.array(values).cast(table.schema.field(column).type)
    pq.write_table(table.set_column(table.schema.get_field_index(column), column, changed), path)
    with pytest.raises(ShardError, match=rf"parents.parquet: parent .*({reason})"):
        draw(tmp_path / "pool", Request(OPTIONS), tmp_path / "round")
    pq.write_table(table.drop_columns([column]), path)
    with pytest.raises(ShardError, match=f"no column '{column}'"):
        draw(tmp_path / "pool", Request(OPTIONS), tmp_path / "round")


def test_a_bit_that_has_turned_over(pool: Path, tmp_path: Path) -> None:
    """In the middle of the numbers, where nothing but a checksum tells."""
    shutil.copytree(pool, tmp_path / "pool")
    path = shard_paths(tmp_path / "pool")[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ShardError, match="not a whole Parquet file"):
        draw(tmp_path / "pool", Request(OPTIONS), tmp_path / "round")


def test_columns_of_other_types_are_said(pool: Path, tmp_path: Path) -> None:
    shutil.copytree(pool, tmp_path / "pool")
    for path in shard_paths(tmp_path / "pool"):
        table = pq.read_table(path)
        place = table.schema.get_field_index("volume")
        pq.write_table(table.set_column(place, "volume", pa.array(["large"] * table.num_rows)), path)
    with pytest.raises(ShardError, match=r"pool: holds no crystals .*large"):
        draw(tmp_path / "pool", Request(OPTIONS), tmp_path / "round")
