"""What is asked of a generation or of a pool, and which candidates to keep where there are more than wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gnome_torch.candidates.structural.proposals import StructuralOptions
from gnome_torch.candidates.tables.keys import mix


@dataclass(frozen=True)
class Selection:
    """Which candidates to keep when there are more than wanted.

    Attributes:
        limit: candidates at most; None for all.
        order: "probable" keeps those of the highest substitution probability, "random" a uniform sample.
        seed: of the sample.
    """

    limit: int | None = None
    order: Literal["probable", "random"] = "probable"
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Request:
    """The candidates that are wanted, wherever they come from.

    Attributes:
        options: what may be proposed.
        selection: which to keep if there are more than wanted.
        round_number: of the campaign, written with the candidates.
        tried: keys of candidates to leave out.
    """

    options: StructuralOptions
    selection: Selection = Selection()
    round_number: int = 0
    tried: Collection[str] = ()


def selected(tables: Iterable[pa.Table], selection: Selection) -> Iterator[pa.Table]:
    """The candidates to keep, in the order they came."""
    if selection.limit is None:
        yield from tables
        return
    kept: list[pa.Table] = []
    size = 0
    for table in tables:
        kept.append(table)
        size += table.num_rows
        if size > 2 * selection.limit + 100_000:  # memory: never many more than are wanted
            kept = best(kept, selection)
            size = selection.limit
    yield from best(kept, selection)


def best(tables: list[pa.Table], selection: Selection) -> list[pa.Table]:
    """The candidates of lowest rank; ties are broken by their keys, which are as good as random."""
    if not tables:
        return []
    keys = np.array([int(key[:16], 16) for table in tables for key in table["id"].to_pylist()], dtype=np.uint64)
    probability = np.concatenate([table["probability"].to_numpy() for table in tables])
    if selection.order == "random":
        order = np.argsort(mix(keys ^ mix(np.array(selection.seed))), kind="stable")
    else:
        order = np.lexsort((keys, -probability))
    wanted = np.zeros(len(keys), dtype=bool)
    wanted[order[: selection.limit]] = True
    ends = np.cumsum([table.num_rows for table in tables])
    return [table.filter(pa.array(wanted[end - table.num_rows : end])) for table, end in zip(tables, ends, strict=True)]


def counted(tables: Iterable[pa.Table], counts: Counter[str]) -> Iterator[pa.Table]:
    """The same tables; `counts` gets the candidates that went by ("written"), and how many are partly substituted."""
    for table in tables:
        counts["written"] += table.num_rows
        counts["saps"] += pc.sum(pc.equal(table["source"].cast(pa.string()), "saps")).as_py() or 0
        yield table
