"""The comparison in a closed world, in a corner of it: what it counts is true, and a second run only prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "discovery.py"
CORNER = {"Al", "Ag", "Au"}


def smoke(out: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, BENCHMARK, "--smoke", "--out", out],
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | {"GNOME_HOME": str(out / "home")},
        cwd=BENCHMARK.parents[1],
    )


def test_a_corner_of_the_alloys(tmp_path: Path) -> None:
    done = smoke(tmp_path)
    assert done.returncode == 0, done.stderr
    (directory,) = [path for path in tmp_path.iterdir() if path.name.startswith("alloys")]
    rows = pq.read_table(BENCHMARK.parent / "worlds" / "alloys" / "results.parquet").to_pylist()
    rows = [
        row for row in rows if {e.symbol for e in Composition(row["formula"])} <= CORNER and row["energy"] is not None
    ]
    # the truth is pymatgen's
    entries = [PDEntry(row["formula"], row["energy"] * Composition(row["formula"]).num_atoms) for row in rows]
    diagram = PhaseDiagram(entries)
    stable = {e.composition.reduced_formula for e in diagram.stable_entries if not e.is_element}
    candidates = {row["key"] for row in rows if row["candidate"]}
    records = {path.name: json.loads(path.read_text()) for path in directory.glob("*-0.json")}
    assert set(records) == {"random-0.json", "loop-0.json"}
    for record in records.values():
        assert record["phases"] == len(stable)
        assert record["candidates"] == len(candidates)
        relaxed = [some["relaxed"] for some in record["rounds"]]
        assert relaxed[0] == round(0.1 * len(candidates))
        assert sum(relaxed) <= 0.3 * len(candidates)
        assert sum(some["hits"] for some in record["rounds"]) == record["found"] <= len(stable)
    first = [record["rounds"][0] for record in records.values()]  # every strategy begins with the same data
    assert first[0]["hits"] == first[1]["hits"]
    assert first[0]["on_the_hull_then"] == first[1]["on_the_hull_then"]
    assert "| loop |" in (directory / "discovery.md").read_text()
    assert (directory / "discovery.svg").stat().st_size > 1000
    # what was run is not run again
    before = {path: path.stat().st_mtime_ns for path in directory.glob("*-0.json")}
    again = smoke(tmp_path)
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "[1 of" not in again.stdout
