"""Generation into a directory: the same candidates however it is run, stopped, continued, limited; shards as files."""

from __future__ import annotations

import errno
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pymatgen.core import Structure

from gnome_torch.candidates.chemistry.policy import ElementPolicy
from gnome_torch.candidates.parents import Parent, ParentError, parent_of
from gnome_torch.candidates.prototypes import prototypes
from gnome_torch.candidates.structural import generation
from gnome_torch.candidates.structural.generation import GenerationError, generate, plan, stream
from gnome_torch.candidates.structural.proposals import StructuralOptions
from gnome_torch.candidates.structural.selection import Request, Selection, best
from gnome_torch.candidates.structural.substitution import SubstitutionRules
from gnome_torch.candidates.tables.shards import (
    SCHEMA,
    ShardError,
    candidates_of,
    read_parents,
    read_shards,
    read_tables,
    write_shards,
)

OPTIONS = StructuralOptions(ElementPolicy(frozenset(["Li", "Na", "Mg", "Al", "Ti", "O", "F"])), SubstitutionRules(1e-4))


def parents(max_sites: int = 10) -> list[Parent]:
    found = []
    for key, structure in prototypes().items():
        try:
            found.append(parent_of(key, structure, max_sites))
        except ParentError:
            continue
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Candidates of the prototypes, generated at one go by one process."""
    directory = tmp_path_factory.mktemp("whole") / "out"
    generate(parents(), Request(OPTIONS), directory)
    return directory


def content(directory: Path) -> pa.Table:
    return pa.concat_tables(read_tables(directory)).combine_chunks()


def same(a: Path, b: Path) -> bool:
    return (
        content(a).to_pylist() == content(b).to_pylist()
        and (a / "summary.json").read_text() == (b / "summary.json").read_text()
    )


def test_the_directory_is_complete(whole: Path) -> None:
    summary = json.loads((whole / "summary.json").read_text())
    table = content(whole)
    assert table.schema.equals(SCHEMA)
    assert table.num_rows == summary["written"] == summary["passed"] > 1000
    assert summary["proposed"] == (
        summary["passed"]
        + summary["duplicates"]
        + summary["known"]
        + summary["tried"]
        + sum(summary["refused"].values())
    )
    assert sum(source == "saps" for source in table["source"].to_pylist()) == summary["saps"] > 100
    assert sum(summary["ions_from"].values()) == summary["parents"] == len(parents())
    assert len(set(table["id"].to_pylist())) == table.num_rows
    assert sorted(path.name for path in whole.iterdir()) == [
        ".lock", "candidates-00000.parquet", "parents.parquet", "plan.json", "summary.json"
    ]  # fmt: skip
    # parents stand beside the candidates: a shard needs nothing else to become crystals
    crystals = read_parents(whole)
    assert crystals["aflow:AB_cF8_225_a_b"] == prototypes()["aflow:AB_cF8_225_a_b"]
    for candidate in list(read_shards(whole))[::500]:
        crystal = candidate.structure(crystals[candidate.parent_id])
        assert isinstance(crystal, Structure)
        assert crystal.composition.reduced_formula == candidate.reduced_formula
    assert table["formula"].to_pylist()[:200] == [c.reduced_formula for c in list(read_shards(whole))[:200]]


def test_candidates_of_a_parent_stand_together(whole: Path) -> None:
    keys = content(whole)["parent_id"].to_pylist()
    assert sum(a != b for a, b in itertools.pairwise(keys)) == len(set(keys)) - 1


def test_any_number_of_workers_gives_the_same(whole: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int, int]] = []
    generate(parents()[::-1], Request(OPTIONS), tmp_path / "out", workers=3, progress=lambda *step: seen.append(step))
    assert same(whole, tmp_path / "out")
    done, total, _ = zip(*seen, strict=True)
    assert list(done) == list(range(1, total[0] + 1))


def test_the_stream_is_what_the_directory_holds(whole: Path) -> None:
    streamed = pa.concat_tables(stream(plan(parents(), OPTIONS)))
    assert streamed.to_pylist() == content(whole).to_pylist()


def test_a_second_run_does_nothing(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in whole.iterdir() if path.name != ".lock"}
    monkeypatch.setattr(generation, "_run_unit", lambda *_: pytest.fail("a unit was run again"))
    assert generate(parents(), Request(OPTIONS), whole)["written"] > 0
    assert {path.name: path.stat().st_mtime_ns for path in whole.iterdir() if path.name != ".lock"} == before


def test_an_interrupted_run_goes_on(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_unit, ran = generation._run_unit, []

    def stopping(*arguments: object) -> object:
        if len(ran) == 40:
            raise KeyboardInterrupt
        ran.append(arguments)
        return run_unit(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(generation, "_run_unit", stopping)
    with pytest.raises(KeyboardInterrupt):
        generate(parents(), Request(OPTIONS), tmp_path / "out")
    with pytest.raises(ShardError, match="run the generation again"):
        list(read_shards(tmp_path / "out"))
    monkeypatch.setattr(generation, "_run_unit", lambda *arguments: (ran.append(arguments), run_unit(*arguments))[1])
    generate(parents(), Request(OPTIONS), tmp_path / "out")
    assert len(ran) == len(plan(parents(), OPTIONS).units)  # nothing was done twice
    assert same(whole, tmp_path / "out")


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_generation import OPTIONS, parents
from gnome_torch.candidates.structural.generation import generate
from gnome_torch.candidates.structural.selection import Request
if __name__ == "__main__":
    generate(parents(), Request(OPTIONS), Path({out!r}), workers=2)
"""


def test_kill_9_loses_nothing(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent), out=str(out)))
    process = subprocess.Popen([sys.executable, "-W", "ignore", str(script)], start_new_session=True)
    deadline = time.monotonic() + 120
    while len(list(out.glob("parts/*.parquet"))) < 10 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None
    workers = psutil.Process(process.pid).children(recursive=True)
    assert workers
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive  # nobody goes on without the process that gave the orders
    assert len(list(out.glob("parts/*.parquet"))) >= 10
    generate(parents(), Request(OPTIONS), out)
    assert same(whole, out)


@pytest.mark.parametrize("order", ["probable", "random"])
def test_a_limit_keeps_the_right_ones(whole: Path, tmp_path: Path, order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    selection = Selection(150, order)  # type: ignore[arg-type]
    generate(parents(), Request(OPTIONS, selection), tmp_path / "some")
    kept, everything = content(tmp_path / "some"), content(whole)
    assert kept.num_rows == 150
    rows = {row["id"]: row for row in everything.to_pylist()}
    assert all(rows[row["id"]] == row for row in kept.to_pylist())
    probability = np.sort(everything["probability"].to_numpy())[::-1]
    if order == "probable":
        assert np.sort(kept["probability"].to_numpy())[::-1].tolist() == probability[:150].tolist()
    else:
        assert np.median(kept["probability"].to_numpy()) == pytest.approx(np.median(probability), rel=0.5)
        again = Selection(150, "random", seed=1)
        generate(parents(), Request(OPTIONS, again), tmp_path / "other")
        assert set(content(tmp_path / "other")["id"].to_pylist()) != set(kept["id"].to_pylist())


def test_a_limit_does_not_depend_on_how_memory_is_kept(tmp_path: Path) -> None:
    tables = list(stream(plan(parents(8), OPTIONS)))
    for order in ("probable", "random"):
        selection = Selection(100, order)  # type: ignore[arg-type]
        at_once = pa.concat_tables(best(tables, selection))["id"].to_pylist()
        kept: list[pa.Table] = []
        for table in tables:
            kept = best([*kept, table], selection)
        assert pa.concat_tables(kept)["id"].to_pylist() == at_once


def test_what_was_tried_is_left_out(whole: Path, tmp_path: Path) -> None:
    tried = content(whole)["id"].to_pylist()[::10]
    summary = generate(parents(), Request(OPTIONS, round_number=3, tried=tried), tmp_path / "out")
    assert summary["tried"] == len(tried)
    table = content(tmp_path / "out")
    assert set(table["id"].to_pylist()) == set(content(whole)["id"].to_pylist()) - set(tried)
    assert set(table["round"].to_pylist()) == {3}


def test_other_candidates_are_not_overwritten_unless_asked(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    generate(parents(4), Request(OPTIONS), out)
    with pytest.raises(GenerationError, match="made from other parents or with other options"):
        generate(parents(), Request(OPTIONS), out)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    with pytest.raises(GenerationError, match="not empty"):
        generate(parents(), Request(OPTIONS), tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years"
    (out / "notes.txt").write_text("mine")
    generate(parents(), Request(OPTIONS), out, overwrite=True)
    assert same(whole, out)
    assert (out / "notes.txt").read_text() == "mine"


def test_a_directory_that_cannot_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    real, written = generation.write_table, []

    def full(table: pa.Table, path: Path) -> None:
        if len(written) == 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        real(table, path)

    monkeypatch.setattr(generation, "write_table", full)
    with pytest.raises(GenerationError, match="No space left on device; what is done is kept"):
        generate(parents(), Request(OPTIONS), out)
    assert sorted((out / "parts").iterdir()) == sorted(written)


def test_two_processes_in_one_directory(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with generation._alone_in(out), pytest.raises(GenerationError, match="another process"):
        generate(parents(4), Request(OPTIONS), out)


def test_no_parents(tmp_path: Path) -> None:
    with pytest.raises(GenerationError, match="no parent crystal"):
        generate([], Request(OPTIONS), tmp_path / "out")
    one = parents(4)[0]
    with pytest.raises(GenerationError, match="two parents are called"):
        generate([one, one], Request(OPTIONS), tmp_path / "out")


def test_nothing_may_come_of_it(tmp_path: Path) -> None:
    nothing = StructuralOptions(ElementPolicy(frozenset({"Li", "O"}), max_sites=2))
    summary = generate(parents(4), Request(nothing), tmp_path / "out")
    assert summary["written"] == len(list(read_shards(tmp_path / "out")))
    xenon = StructuralOptions(ElementPolicy(frozenset({"Xe"})))
    empty = generate(parents(4), Request(xenon), tmp_path / "empty")
    assert empty["written"] == 0
    assert list(read_shards(tmp_path / "empty")) == []


def tables(sizes: list[int], table: pa.Table) -> Iterator[pa.Table]:
    start = 0
    for size in sizes:
        yield table.slice(start, size)
        start += size


def test_shards_have_their_size_whatever_comes(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gnome_torch.candidates.tables.shards.ROWS_PER_SHARD", 100)
    table = content(whole).slice(0, 730)
    assert write_shards(tables([3, 0, 250, 1, 400, 76], table), tmp_path) == 730
    files = sorted(tmp_path.glob("candidates-*.parquet"))
    assert [pq.read_metadata(file).num_rows for file in files] == [100] * 7 + [30]
    (tmp_path / "summary.json").write_text("{}")
    assert [c.id for c in read_shards(tmp_path)] == table["id"].to_pylist()
    assert list(candidates_of(table)) == list(read_shards(tmp_path))


def test_shards_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="no finished candidates in it"):
        list(read_shards(tmp_path / "none"))
