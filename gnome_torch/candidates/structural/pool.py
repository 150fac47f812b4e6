"""Candidates from a directory that is there already, in the place of new substitutions.

A pool is made once (`gnome generate structural`, or any program that writes shards as `candidates.tables.shards`) and
drawn from in every round: a generation too large to repeat, another group's candidates, or a closed world whose every
answer is known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pymatgen.core import Composition

from gnome_torch.candidates.chemistry.elements import numbers_of
from gnome_torch.candidates.parents import Parent
from gnome_torch.candidates.structural.proposals import StructuralOptions, among
from gnome_torch.candidates.structural.selection import ORIGINS, Request, counted, selected
from gnome_torch.candidates.tables.checks import check_candidates, read_whole, sites_of_parents
from gnome_torch.candidates.tables.keys import composition_keys
from gnome_torch.candidates.tables.shards import (
    PARENTS,
    SCHEMA,
    ShardError,
    finish,
    one_line,
    shard_paths,
    write_shards,
)
from gnome_torch.plugins import PluginError, plugin, registered

SOURCES = "gnome_torch.sources"
"""Entry points of other packages: a name = a function of parents, a directory and the round's number."""


def draw(pool: Path, request: Request, directory: Path) -> dict[str, Any]:
    """Write the candidates of a pool that a round may choose from into a directory of shards; returns its summary.

    Of the options the rules on elements, sizes and contacts, the known compositions and `saps` are obeyed; substitution
    probabilities were the pool's own affair.

    Args:
        pool: finished directory of candidates.
        request: what may be drawn, and how much of it is kept.
        directory: where they go, in place of what was there.

    Raises:
        ShardError: the pool is missing, unfinished or torn, or is no directory of crystals; as `tables`.
    """
    counts: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    possible = _possible(pool, request, counts, refused)
    written = write_shards(counted(selected(possible, request.selection), counts), directory)
    crystals = read_whole(pool / PARENTS)
    summary = {
        "pool": str(pool),
        "parents": crystals.num_rows,
        "refused": dict(sorted(refused.items())),
        "duplicates": 0,
        **{name: counts[name] for name in ("proposed", "known", "tried", "passed", *ORIGINS)},
        "written": written,
    }
    finish(directory, crystals, summary)
    return summary


def _possible(pool: Path, request: Request, counts: Counter[str], refused: Counter[str]) -> Iterator[pa.Table]:
    """The candidates that a request allows; the others are counted, those that a rule refuses by the rule."""
    tried = pa.array(sorted(request.tried), pa.string())
    for table in tables(pool):
        verdict, known = _judged(table, request.options)
        allowed = verdict == ""
        fresh = ~pc.is_in(table["id"], tried).to_numpy()
        kept = table.filter(pa.array(allowed & ~known & fresh))
        refused.update(verdict[~allowed].tolist())
        counts["proposed"] += table.num_rows
        counts["known"] += int((allowed & known).sum())
        counts["tried"] += int((allowed & ~known & ~fresh).sum())
        counts["passed"] += kept.num_rows
        place = kept.schema.get_field_index("round")
        yield kept.set_column(place, "round", pa.array(np.full(kept.num_rows, request.round_number, np.int32)))


def source_of(name: str) -> Callable[[Iterable[Parent], Path, int], object]:
    """What another package registers to propose candidates: it writes a directory of them.

    Args:
        name: of an entry point.

    Raises:
        PluginError: there is none of this name, or it cannot be used.
    """
    found = plugin(SOURCES, name)
    if found is None:
        names = ", ".join(sorted(repr(entry.name) for entry in registered(SOURCES))) or "none is installed"
        raise PluginError(f"{name!r}: there is no candidate source of this name: {names}")
    if not callable(found):
        raise PluginError(f"{SOURCES}: {name!r} is not a function of parents, a directory and the round's number")
    return found


def check_pool(pool: Path) -> None:
    """See whether candidates can be drawn from a directory.

    Raises:
        ShardError: it is missing or unfinished, is no directory of crystals, or a file in it is torn.
    """
    for path in shard_paths(pool):
        try:
            names = pq.read_schema(path).names
        except (OSError, pa.ArrowException, MemoryError) as error:
            raise ShardError(f"{path}: not a whole Parquet file: {one_line(error)}") from None
        if names != SCHEMA.names or not (pool / PARENTS).is_file():
            raise ShardError(f"{pool}: holds no crystals as `gnome generate structural` writes them")


def tables(pool: Path) -> Iterator[pa.Table]:
    """The shards of a pool, each candidate of them complete and of its parent.

    Raises:
        ShardError: it is missing or unfinished, is no directory of crystals, a file in it is torn, or a candidate is
            not what its columns say.
    """
    check_pool(pool)
    parents = sites_of_parents(read_whole(pool / PARENTS), pool)
    for path in shard_paths(pool):
        table = read_whole(path)
        try:
            table = table.cast(SCHEMA)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            why = one_line(error)
            raise ShardError(f"{pool}: holds no crystals as `gnome generate structural` writes them: {why}") from None
        check_candidates(table, parents, pool)
        yield table


def _judged(table: pa.Table, options: StructuralOptions) -> tuple[np.ndarray, np.ndarray]:
    """The rule that refuses each candidate (or ""), (n,), and whether its composition is known, (n,)."""
    codes, rules, known = _judged_compositions(table["formula"], options)
    verdict = rules[codes]
    verdict[(verdict == "") & (_sites(table) > options.policy.max_sites)] = "too many atoms"
    verdict[(verdict == "") & (table["contact"].to_numpy() < options.policy.min_contact)] = "atoms too close"
    if not options.saps:
        partial = pc.equal(table["source"].cast(pa.string()), "saps").to_numpy()
        verdict[(verdict == "") & partial] = "part of the sites"
    return verdict, known[codes]


def _judged_compositions(
    formulas: pa.ChunkedArray, options: StructuralOptions
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number of each row's composition, (n,); of each composition the rule that refuses it (or ""), and if known."""
    encoded = pc.dictionary_encode(formulas).combine_chunks()
    if not len(formulas):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=object), np.zeros(0, dtype=bool)
    compositions = [Composition(formula) for formula in encoded.dictionary.to_pylist()]
    width = max(map(len, compositions))
    elements = np.zeros((len(compositions), width), dtype=np.uint8)
    amounts = np.zeros((len(compositions), width), dtype=np.int64)
    for row, composition in enumerate(compositions):
        elements[row, : len(composition)] = numbers_of([element.symbol for element in composition])
        amounts[row, : len(composition)] = [round(amount) for amount in composition.values()]
    rules = np.full(len(compositions), "", dtype=object)
    for rule, refused in options.policy.refusals(elements, amounts):
        rules[refused] = rule
    return encoded.indices.to_numpy(), rules, among(composition_keys(elements, amounts), options.known)


def _sites(table: pa.Table) -> np.ndarray:
    return np.asarray(pc.list_value_length(table["species"]).to_numpy())
