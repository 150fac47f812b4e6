"""What is asked of a generation or of a pool, and which candidates to keep where there are more than wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gnome_torch.candidates.prototypes import AFLOW, TYPE
from gnome_torch.candidates.structural.proposals import StructuralOptions
from gnome_torch.candidates.tables.keys import mix

LIBRARY, ENTRIES, SAPS, OTHERS = ORIGINS = ("library", "entries", "saps", "others")
"""Where candidates come from: full substitution in a prototype of the library, or in another crystal; part of the sites
of either; anything else that a pool or another package's source holds."""


KEPT = 100_000  # candidates beyond those wanted that wait in memory to be compared


@dataclass(frozen=True)
class Selection:
    """Which candidates to keep when there are more than wanted.

    Attributes:
        limit: candidates at most; None for all.
        order: "probable" keeps those of the highest substitution probability, "random" a uniform sample. Where there
            are shares, prototypes of the library are ranked by the geometric mean over their elements instead.
        seed: of the sample.
        shares: of the limit that belong to candidates of each origin, in the order of `ORIGINS`; what one does not
            use goes to the others, in proportion. Empty: all compete with all.
    """

    limit: int | None = None
    order: Literal["probable", "random"] = "probable"
    seed: int = 0
    shares: tuple[float, ...] = ()


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
        if size > 2 * len(ORIGINS) * selection.limit + KEPT:
            kept = _filtered(kept, _ranked(kept, selection), [selection.limit] * len(ORIGINS))
            size = sum(table.num_rows for table in kept)
    yield from best(kept, selection)


def best(tables: list[pa.Table], selection: Selection) -> list[pa.Table]:
    """The candidates of lowest rank; ties are broken by their keys, which are as good as random."""
    if not tables or selection.limit is None:
        return tables
    ranked = _ranked(tables, selection)
    available = np.array([len(rows) for rows in ranked])
    return _filtered(tables, ranked, shared_out(selection.limit, selection.shares or (1.0,), available))


def _filtered(tables: list[pa.Table], ranked: Sequence[np.ndarray], quotas: Iterable[int]) -> list[pa.Table]:
    """The tables with the first rows of each origin alone, as many as its quota."""
    ends = np.cumsum([table.num_rows for table in tables])
    wanted = np.zeros(ends[-1], dtype=bool)
    for rows, quota in zip(ranked, quotas, strict=False):
        wanted[rows[:quota]] = True
    return [table.filter(pa.array(wanted[end - table.num_rows : end])) for table, end in zip(tables, ends, strict=True)]


def _ranked(tables: list[pa.Table], selection: Selection) -> list[np.ndarray]:
    """Rows of all tables, those to keep first: of each origin, or, where there are no shares, of all together."""
    keys = np.array([int(key[:16], 16) for table in tables for key in table["id"].to_pylist()], dtype=np.uint64)
    origins = np.zeros(len(keys), dtype=np.int64)
    probability = np.concatenate([table["probability"].to_numpy() for table in tables])
    if selection.shares:
        origins = np.concatenate([_origins(table) for table in tables])
        # every element of a prototype has been replaced, so that a product would have all binaries before any ternary
        n_elements = np.concatenate([_n_elements(table) for table in tables])
        probability = np.where(origins == ORIGINS.index(LIBRARY), probability ** (1 / n_elements), probability)
    if selection.order == "random":
        order = np.argsort(mix(keys ^ mix(np.array(selection.seed))), kind="stable")
    else:
        order = np.lexsort((keys, -probability))
    return [order[origins[order] == origin] for origin in range(len(ORIGINS) if selection.shares else 1)]


def _n_elements(table: pa.Table) -> np.ndarray:
    return np.asarray(pc.count_substring_regex(table["formula"], "[A-Z]").to_numpy())


def _origins(table: pa.Table) -> np.ndarray:
    """Place in `ORIGINS` of each candidate, (n,)."""
    source, parent = table["source"].cast(pa.string()), table["parent_id"].cast(pa.string())
    of_library = pc.or_(pc.starts_with(parent, AFLOW), pc.starts_with(parent, TYPE)).to_numpy()
    full, partial = (pc.equal(source, name).to_numpy() for name in ("substitution", "saps"))
    library, entries, saps, others = range(len(ORIGINS))
    return np.select([full & of_library, full, partial], [library, entries, saps], others)


def shared_out(limit: int, shares: Sequence[float], available: np.ndarray) -> np.ndarray:
    """How many of each kind are taken where `limit` are, (n_kinds,).

    Each kind has its share, as far as it has so many; what is left over is shared out among the others again. Rounded
    by the largest remainders, the earlier kind first.

    Args:
        limit: in all.
        shares: of each kind, not negative, in any unit. A kind of share 0 gets what nobody else uses.
        available: of each kind, (n_kinds,).
    """
    taken = np.zeros(len(available), dtype=np.int64)
    weights = np.array(shares, dtype=float)
    while (left := min(limit, int(available.sum())) - int(taken.sum())) > 0:
        open_ = taken < available
        if not weights[open_].any():  # those left have no share
            weights[open_] = 1.0
        parts = np.where(open_, weights, 0.0) / weights[open_].sum() * left
        more = np.floor(parts).astype(np.int64)
        largest = np.argsort(-(parts - more), kind="stable")[: left - int(more.sum())]
        more[largest] += 1
        taken = np.minimum(taken + more, available)
    return taken


def counted(tables: Iterable[pa.Table], counts: Counter[str]) -> Iterator[pa.Table]:
    """The same tables; `counts` gets the candidates that went by ("written"), and how many of each origin they are."""
    for table in tables:
        counts["written"] += table.num_rows
        counts.update(dict(zip(ORIGINS, np.bincount(_origins(table), minlength=len(ORIGINS)).tolist(), strict=True)))
        yield table
