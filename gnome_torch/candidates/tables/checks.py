"""Whether tables of candidates that another program wrote, or that a disk has torn, are what their columns say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from math import gcd
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pymatgen.core import Composition, Element

from gnome_torch.candidates.tables.shards import PARENTS, ShardError, one_line

PARENT_COLUMNS = {
    "id": pa.string(),
    "numbers": pa.list_(pa.uint8()),
    "lattice": pa.list_(pa.float64()),
    "frac_coords": pa.list_(pa.float64()),
}
"""Columns of the table of parents that candidates are made with."""
NUMBERS = ("volume", "probability", "contact")


def read_whole(path: Path) -> pa.Table:
    """A Parquet file with all of its content looked at.

    Raises:
        ShardError: it is torn, or is none.
    """
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        table.validate(full=True)
    except (OSError, pa.ArrowException, MemoryError) as error:
        raise ShardError(f"{path}: not a whole Parquet file: {one_line(error)}") from None
    return table


def sites_of_parents(table: pa.Table, where: Path) -> dict[str, int]:
    """Sites of each parent, by its key.

    Args:
        table: of `parents.parquet`.
        where: the directory, for the message.

    Raises:
        ShardError: a column is missing or of another type, or a parent is no crystal.
    """
    if missing := [name for name in PARENT_COLUMNS if name not in table.column_names]:
        raise ShardError(f"{where / PARENTS}: no column {missing[0]!r}")
    try:
        table = table.select(list(PARENT_COLUMNS)).cast(pa.schema(list(PARENT_COLUMNS.items())))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ShardError(f"{where / PARENTS}: {one_line(error)}") from None
    found: dict[str, int] = {}
    for row in table.to_pylist():
        if problem := _problem_of_parent(row):
            raise ShardError(f"{where / PARENTS}: parent {row['id']!r}: {problem}")
        found[row["id"]] = len(row["numbers"])
    return found


def _problem_of_parent(row: Mapping[str, list[float] | None]) -> str:
    """Why a row is no crystal; "" where it is one."""
    if any(row[name] is None for name in PARENT_COLUMNS):
        return "an empty cell"
    numbers, lattice, places = (np.array(row[name], dtype=float) for name in ("numbers", "lattice", "frac_coords"))
    if not (numbers.size and ((numbers >= 1) & (numbers <= len(Element))).all()):
        return "its atomic numbers are none"
    if lattice.size != 9 or not np.isfinite(lattice).all() or not abs(np.linalg.det(lattice.reshape(3, 3))) > 0:
        return "its lattice is none"
    if places.size != 3 * numbers.size or not np.isfinite(places).all():
        return f"{places.size} coordinates for {numbers.size} atoms"
    return ""


def check_candidates(table: pa.Table, parents: Mapping[str, int], where: Path) -> None:
    """Make sure that every candidate is complete, fits its parent, and has the formula of its species.

    Args:
        table: of the schema of candidates.
        parents: sites of each parent, by its key.
        where: the directory, for the message.

    Raises:
        ShardError: one is not; the message names the first.
    """
    for name in table.column_names:
        if table[name].null_count or (name == "species" and pc.list_flatten(table[name]).null_count):
            raise ShardError(f"{where}: column {name!r} has empty cells")
    for name in NUMBERS:
        values = table[name].to_numpy()
        _refuse(table, ~np.isfinite(values) | (values <= 0 if name == "volume" else values < 0), where, f"its {name}")
    keys = table["parent_id"].cast(pa.string())
    _refuse(table, ~pc.is_in(keys, pa.array(list(parents), pa.string())).to_numpy(), where, "its parent")
    names, sizes = pa.array(list(parents), pa.string()), np.array(list(parents.values()), dtype=np.int64)
    expected = sizes[pc.index_in(keys, names).to_numpy()] if table.num_rows else np.zeros(0, dtype=np.int64)
    lengths = pc.list_value_length(table["species"]).to_numpy()
    _refuse(table, lengths != expected, where, "its number of sites")
    _check_formulas(table, lengths, where)


def _refuse(table: pa.Table, wrong: np.ndarray, where: Path, what: str) -> None:
    """Name the first candidate that something is wrong with."""
    if wrong.any():
        raise ShardError(f"{where}: candidate {table['id'][int(wrong.argmax())]}: {what} is wrong or missing")


def _check_formulas(table: pa.Table, lengths: np.ndarray, where: Path) -> None:
    """Compare the formula of each candidate with its species; each pair of both is looked at once."""
    if not table.num_rows:
        return
    species = pc.list_flatten(table["species"]).cast(pa.string()).combine_chunks().dictionary_encode()
    symbols = species.dictionary.to_pylist()
    unknown = [symbol for symbol in symbols if not Element.is_valid_symbol(symbol)]
    if unknown:
        raise ShardError(f"{where}: species {unknown[0]!r} is not an element")
    codes = species.indices.to_numpy(zero_copy_only=False)
    formulas = pc.dictionary_encode(table["formula"].cast(pa.string()).combine_chunks())
    texts, which = formulas.dictionary.to_pylist(), formulas.indices.to_numpy(zero_copy_only=False)
    ends = np.cumsum(lengths)
    for size in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == size)
        sorted_codes = np.sort(codes[(ends[rows] - size)[:, None] + np.arange(size)], axis=1)
        pairs = np.column_stack([which[rows], sorted_codes])
        _, first = np.unique(pairs, axis=0, return_index=True)
        for row in first.tolist():
            found = Counter(symbols[code] for code in sorted_codes[row].tolist())
            if _amounts(texts[pairs[row, 0]]) != _smallest(found):
                raise ShardError(
                    f"{where}: candidate {table['id'][int(rows[row])]}: its formula is {texts[pairs[row, 0]]!r}, its "
                    f"species are {Composition(found).reduced_formula}"
                )


@lru_cache(maxsize=1 << 16)
def _amounts(formula: str) -> dict[str, int]:
    """Amounts of the elements of a formula, in smallest whole numbers; none for a text that is no formula."""
    try:
        found = Composition(formula).get_el_amt_dict()
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return _smallest({symbol: int(amount) for symbol, amount in found.items()})


def _smallest(amounts: Mapping[str, int]) -> dict[str, int]:
    divisor = gcd(*amounts.values()) or 1
    return {symbol: amount // divisor for symbol, amount in amounts.items()}
