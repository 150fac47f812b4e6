"""Candidates from a directory that is there already, in the place of new substitutions.

A pool is made once (`gnome generate structural`, or any program that writes the shards of `candidates.shards`) and
drawn from in every round: a generation too large to repeat, another group's candidates, or a closed world whose every
answer is known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pymatgen.core import Composition

from gnome_torch.candidates.chemistry.elements import numbers_of
from gnome_torch.candidates.parents import Parent
from gnome_torch.candidates.structural.generation import Selection, selected
from gnome_torch.candidates.structural.proposals import StructuralOptions, among
from gnome_torch.candidates.tables.keys import composition_keys
from gnome_torch.candidates.tables.shards import (
    PARENTS,
    SCHEMA,
    ShardError,
    finish,
    read_tables,
    shard_paths,
    write_shards,
)
from gnome_torch.plugins import PluginError, plugin, registered

SOURCES = "gnome_torch.sources"
"""Entry points of other packages: a name = a function of parents, a directory and the round's number."""


def draw(
    pool: Path,
    options: StructuralOptions,
    directory: Path,
    selection: Selection,
    *,
    round_number: int = 0,
    tried: Collection[str] = (),
) -> dict[str, Any]:
    """Write the candidates of a pool that a round may choose from into a directory of shards; returns its summary.

    Of the options the rules on elements, sizes and contacts, the known compositions and `saps` are obeyed; substitution
    probabilities were the pool's own affair.

    Args:
        pool: finished directory of candidates.
        options: what may be proposed.
        directory: where they go, in place of what was there.
        selection: which to keep if there are more than wanted.
        round_number: of the campaign, written with the candidates.
        tried: keys of candidates to leave out.

    Raises:
        ShardError: the pool is missing or unfinished, or is no directory of crystals.
    """
    counts: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    before = pa.array(sorted(tried), pa.string())

    def rest() -> Iterator[pa.Table]:
        for table in tables(pool):
            counts["proposed"] += table.num_rows
            codes, rules, known = _judged(table["formula"], options)
            verdict = rules[codes]
            verdict[(verdict == "") & (_sites(table) > options.policy.max_sites)] = "too many atoms"
            verdict[(verdict == "") & (table["contact"].to_numpy() < options.policy.min_contact)] = "atoms too close"
            partial = pc.equal(table["source"].cast(pa.string()), "saps").to_numpy()
            if not options.saps:
                verdict[(verdict == "") & partial] = "part of the sites"
            refused.update(verdict[verdict != ""].tolist())
            fresh = ~pc.is_in(table["id"], before).to_numpy()
            counts["known"] += int(((verdict == "") & known[codes]).sum())
            possible = (verdict == "") & ~known[codes]
            counts["tried"] += int((possible & ~fresh).sum())
            kept = table.filter(pa.array(possible & fresh))
            counts["passed"] += kept.num_rows
            place = kept.schema.get_field_index("round")
            yield kept.set_column(place, "round", pa.array(np.full(kept.num_rows, round_number, np.int32)))

    def counted(some: Iterator[pa.Table]) -> Iterator[pa.Table]:
        for table in some:
            counts["saps"] += pc.sum(pc.equal(table["source"].cast(pa.string()), "saps")).as_py() or 0
            yield table

    written = write_shards(counted(selected(rest(), selection)), directory)
    crystals = pq.read_table(pool / PARENTS)
    names = ("proposed", "known", "tried", "passed", "saps")
    summary = {
        "pool": str(pool),
        "parents": crystals.num_rows,
        "refused": dict(sorted(refused.items())),
        "duplicates": 0,
        **{name: counts[name] for name in names},
        "written": written,
    }
    finish(directory, crystals, summary)
    return summary


def source_of(name: str) -> Callable[[Iterable[Parent], Path, int], Any]:
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
        raise PluginError(f"{SOURCES}: {name!r} is no function of parents, a directory and the round's number")
    return found


def check_pool(pool: Path) -> None:
    """See whether candidates can be drawn from a directory.

    Raises:
        ShardError: it is missing or unfinished, or is no directory of crystals.
    """
    for path in shard_paths(pool):
        if pq.read_schema(path).names != SCHEMA.names or not (pool / PARENTS).is_file():
            raise ShardError(f"{pool}: holds no crystals as `gnome generate structural` writes them")


def tables(pool: Path) -> Iterator[pa.Table]:
    """The shards of a pool.

    Raises:
        ShardError: it is missing or unfinished, or is no directory of crystals.
    """
    check_pool(pool)
    for table in read_tables(pool):
        try:
            yield table.cast(SCHEMA)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ShardError(f"{pool}: holds no crystals as `gnome generate structural` writes them: {error}") from None


def _judged(formulas: pa.ChunkedArray, options: StructuralOptions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number of each row's composition, (n,); of each composition the rule that refuses it (or ""), and if known."""
    encoded = pc.dictionary_encode(formulas).combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):  # of no rows
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
