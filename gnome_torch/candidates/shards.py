"""Candidates as Parquet shards: what was proposed is kept on disk, never one database document each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gnome_torch.records import Candidate, Lineage

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("parent_id", pa.string()),
        ("formula", pa.string()),
        ("species", pa.list_(pa.dictionary(pa.int16(), pa.string()))),
        ("volume", pa.float64()),  # cubic angstrom
        ("source", pa.string()),
        ("substitution", pa.string()),
        ("round", pa.int32()),
        ("probability", pa.float64()),
        ("contact", pa.float64()),
    ]
)


def write_shards(candidates: Iterable[Candidate], directory: Path, rows_per_shard: int = 100_000) -> int:
    """Write `candidates-00000.parquet`, … into a new directory, and return the number of candidates.

    The directory appears under its name only when it is complete; one that is there already is replaced.

    Args:
        candidates: the stream; only one shard of it is in memory at a time.
        directory: where the shards go.
        rows_per_shard: candidates per file.
    """
    partial = directory.with_name(f"{directory.name}.partial-{os.getpid()}")
    partial.mkdir(parents=True, exist_ok=True)
    stream = iter(candidates)
    total = index = 0
    while (rows := list(islice(stream, rows_per_shard))) or index == 0:
        pq.write_table(_table(rows), partial / f"candidates-{index:05d}.parquet")
        total += len(rows)
        index += 1
    _replace_directory(partial, directory)
    return total


def read_shards(directory: Path) -> Iterator[Candidate]:
    """The candidates of a directory of shards, in the order they were written.

    Raises:
        FileNotFoundError: there is no such directory, or no shard in it.
    """
    files = sorted(directory.glob("candidates-*.parquet"))
    if not files:
        raise FileNotFoundError(f"no candidate shards in {directory}: run the generate stage of this round again")
    for file in files:
        for row in pq.read_table(file).to_pylist():
            lineage = Lineage(row["source"], row["parent_id"], row["substitution"], row["round"])
            yield Candidate(
                id=row["id"],
                parent_id=row["parent_id"],
                species=tuple(row["species"]),
                volume=row["volume"],
                lineage=lineage,
                probability=row["probability"],
                contact=row["contact"],
            )


def _table(rows: list[Candidate]) -> pa.Table:
    columns = {
        "id": [c.id for c in rows],
        "parent_id": [c.parent_id for c in rows],
        "formula": [c.reduced_formula for c in rows],
        "species": [list(c.species) for c in rows],
        "volume": [c.volume for c in rows],
        "source": [c.lineage.source for c in rows],
        "substitution": [c.lineage.substitution for c in rows],
        "round": [c.lineage.round for c in rows],
        "probability": [c.probability for c in rows],
        "contact": [c.contact for c in rows],
    }
    return pa.table({name: pa.array(columns[name], type=SCHEMA.field(name).type) for name in SCHEMA.names})


def _replace_directory(source: Path, target: Path) -> None:
    """Rename `source` to `target`, moving away what is there: a reader sees the old shards or the new ones."""
    if target.exists():
        old = target.with_name(f"{target.name}.old-{os.getpid()}")
        target.rename(old)
        source.rename(target)
        for file in old.iterdir():
            file.unlink()
        old.rmdir()
    else:
        source.rename(target)
