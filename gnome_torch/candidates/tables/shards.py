"""Candidates as Parquet: what was proposed is kept on disk, never one database document each.

A directory of candidates holds

    candidates-00000.parquet, …   the candidates, 100,000 to a file, those of one parent together
    parents.parquet               the crystals they name as parents
    summary.json                  what became of everything that was proposed; written last: without it the directory
                                  is unfinished
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pymatgen.core import Composition, Element, Lattice, Structure

from gnome_torch.candidates.chemistry.balance import merged
from gnome_torch.candidates.chemistry.elements import element_table
from gnome_torch.candidates.parents import Parent
from gnome_torch.candidates.tables.keys import candidate_ids, composition_keys
from gnome_torch.candidates.tables.rows import Rows
from gnome_torch.files import PARTIALS, whole_path, write_whole
from gnome_torch.records import Candidate, Decorations, Lineage

ROWS_PER_SHARD = 100_000
SUMMARY = "summary.json"
PARENTS = "parents.parquet"
_NAMES = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("parent_id", _NAMES),
        ("formula", pa.string()),
        ("species", pa.list_(pa.dictionary(pa.int8(), pa.string()))),  # element on each site, in the parent's order
        ("volume", pa.float64()),  # of the cell, cubic angstrom
        ("source", _NAMES),  # substitution or saps
        ("substitution", pa.string()),
        ("prototype", _NAMES),  # the parent that stands for the structure type
        ("round", pa.int32()),
        ("probability", pa.float64()),
        ("contact", pa.float64()),  # shortest distance over the sum of covalent radii
    ]
)


class ShardError(ValueError):
    """A directory of candidates that cannot be used; the message names it."""


def candidate_table(rows: Rows, parent_of: Callable[[int], str], prototype: str, round_number: int) -> pa.Table:
    """Rows of one structure type as a table of `SCHEMA`.

    Args:
        rows: the candidates.
        parent_of: key of the parent that a number in `rows.parent` stands for.
        prototype: name of the structure type.
        round_number: of the campaign.
    """
    used, index = np.unique(rows.parent, return_inverse=True)
    ids = [parent_of(i) for i in used.tolist()]
    n, n_sites = rows.numbers.shape
    symbols = pa.array(element_table().symbols.tolist(), pa.string())
    species = pa.DictionaryArray.from_arrays(pa.array(rows.numbers.astype(np.int8).ravel()), symbols)
    keys = candidate_ids((ids[parent] for parent in index.tolist()), rows.numbers, rows.volume)
    columns = [
        pa.array(keys, pa.string()),
        pa.DictionaryArray.from_arrays(pa.array(index, pa.int32()), pa.array(ids, pa.string())),
        _formulas(rows),
        pa.ListArray.from_arrays(pa.array(np.arange(n + 1, dtype=np.int32) * n_sites), species),
        pa.array(rows.volume),
        pa.DictionaryArray.from_arrays(pa.array(rows.partial.astype(np.int32)), pa.array(["substitution", "saps"])),
        _substitutions(rows),
        pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, dtype=np.int32)), pa.array([prototype])),
        pa.array(np.full(n, round_number, dtype=np.int32)),
        pa.array(rows.probability),
        pa.array(rows.contact),
    ]
    return pa.table(dict(zip(SCHEMA.names, columns, strict=True)), schema=SCHEMA)


def reduced_formulas(numbers: np.ndarray, amounts: np.ndarray) -> pa.Array:
    """Reduced formulas as pymatgen writes them, for many compositions at once.

    Elements in the order of electronegativity; two last ones of similar electronegativity, among three or more, are a
    polyanion and go into brackets (Ca3(PO4)2); diatomic gases and peroxides keep their two (O2, Na2O2).

    Args:
        numbers: atomic numbers, (n, k), each element once per row, 0 where a row has fewer.
        amounts: atoms of each, (n, k).
    """
    table = element_table()
    # nothing first, then by electronegativity and symbol: the last columns are filled in every row
    place = np.lexsort((table.symbols, np.where(np.arange(len(table.symbols)) == 0, -1.0, table.electronegativity)))
    rank = np.argsort(place)
    order = np.argsort(rank[numbers], axis=1, kind="stable")
    z = np.take_along_axis(numbers, order, axis=1).astype(np.int64)
    n = np.take_along_axis(amounts, order, axis=1).astype(np.int64)
    n = n // np.gcd.reduce(n, axis=1)[:, None]
    n_elements = (z > 0).sum(axis=1)
    brackets = np.ones(len(z), dtype=np.int64)
    if z.shape[1] > 2:
        x = table.electronegativity[z]
        alike = (n_elements > 2) & (x[:, -1] - x[:, -2] < 1.65)
        brackets = np.where(alike, np.gcd(n[:, -1], n[:, -2]), 1)
        n[:, -2:] //= brackets[:, None]
    pieces = []
    for column in range(z.shape[1]):
        last, opens = column == z.shape[1] - 1, column == z.shape[1] - 2
        inside = brackets if last or opens else np.ones_like(brackets)
        codes, inverse = np.unique(z[:, column] << 40 | n[:, column] << 20 | inside, return_inverse=True)
        texts = [_piece(code >> 40, code >> 20 & 0xFFFFF, code & 0xFFFFF, last) for code in codes.tolist()]
        pieces.append(pa.array(texts, pa.string()).take(pa.array(inverse)))
    formulas = pc.binary_join_element_wise(*pieces, "", null_handling="skip")
    special = Composition.special_formulas
    unusual = pc.index_in(formulas, value_set=pa.array(list(special), pa.string()))
    return pc.coalesce(pa.array(list(special.values()), pa.string()).take(unusual), formulas)


def _piece(number: int, amount: int, brackets: int, last: bool) -> str | None:
    """One element of a formula, with its part of a polyanion's brackets."""
    if number == 0:
        return None
    text = f"{element_table().symbols[number]}{amount if amount > 1 else ''}"
    if brackets == 1:
        return text
    return f"{text}){brackets}" if last else f"({text}"


def _formulas(rows: Rows) -> pa.Array:
    """Reduced formulas of the rows; each composition is written out once."""
    elements, amounts = _compositions(rows)
    _, first, inverse = np.unique(composition_keys(elements, amounts)[:, 0], return_index=True, return_inverse=True)
    return reduced_formulas(elements[first], amounts[first]).take(pa.array(inverse))


def _compositions(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Atomic numbers and amounts, each element once, (n, n_groups); rows of equal counts are merged together."""
    elements = np.zeros(rows.news.shape, dtype=np.uint8)
    amounts = np.zeros(rows.news.shape, dtype=np.int64)
    # rows with the same counts go together; they come in few kinds (equal ratios are equal counts: all rows have the
    # sites of one structure type)
    code = composition_keys(np.arange(1, rows.counts.shape[1] + 1)[None], rows.counts.astype(np.int64))[:, 0]
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    for index, row in enumerate(first):
        some = inverse == index
        elements[some], amounts[some] = merged(rows.news[some], rows.counts[row].astype(np.int64))
    return elements, amounts


def _substitutions(rows: Rows) -> pa.Array:
    """What was replaced, as text: "Ca->Mg; O->F (2 of 6 sites)"; empty where everything stays."""
    symbols = element_table().symbols
    last = (rows.counts > 0).sum(axis=1) - 1  # of a partial choice: the sites on which the ion stays
    rest = np.take_along_axis(rows.counts, last[:, None], axis=1)[:, 0].astype(np.int64)
    stays = np.take_along_axis(rows.olds, last[:, None], axis=1)[:, 0]
    texts = []
    for group in range(rows.olds.shape[1]):
        old, new, count = rows.olds[:, group], rows.news[:, group], rows.counts[:, group].astype(np.int64)
        parted = rows.partial & (old == stays) & (group < last)
        changed = old != new
        code = old.astype(np.int64) * 128 + new
        code = np.where(parted, code + (count << 16) + ((count + rest) << 32), code)
        code[~changed] = 0
        values, inverse = np.unique(code, return_inverse=True)
        names = []
        for value in values.tolist():
            text = f"{symbols[value % 65536 // 128]}->{symbols[value % 128]}" if value else None
            if value >> 16:
                text = f"{text} ({value >> 16 & 0xFFFF} of {value >> 32} sites)"
            names.append(text)
        texts.append(pa.array(names, pa.string()).take(pa.array(inverse)))
    # (of rows in which everything is null, the join returns none at all: pyarrow 26)
    unchanged = pa.array((rows.olds == rows.news).all(axis=1))
    texts[0] = pc.if_else(unchanged, "", texts[0])
    return pc.binary_join_element_wise(*texts, "; ", null_handling="skip")


def write_shards(tables: Iterable[pa.Table], directory: Path, schema: pa.Schema = SCHEMA) -> int:
    """Write tables of candidates into a directory, in place of the candidates it held; returns their number.

    Only one shard is in memory at a time. The directory counts as unfinished until `finish`.

    Args:
        tables: of the schema, in the order in which they are to be read.
        directory: where they go; made if it is not there.
        schema: columns of the tables.
    """
    directory.mkdir(parents=True, exist_ok=True)
    remove_candidates(directory)
    index = total = size = 0
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        total += table.num_rows
        size += table.num_rows
        while size >= ROWS_PER_SHARD:
            together = pa.concat_tables(waiting)
            write_table(together.slice(0, ROWS_PER_SHARD), directory / f"candidates-{index:05d}.parquet")
            index += 1
            size -= ROWS_PER_SHARD
            waiting = [together.slice(ROWS_PER_SHARD)]
    if size or index == 0:
        last = pa.concat_tables(waiting) if waiting else schema.empty_table()
        write_table(last, directory / f"candidates-{index:05d}.parquet")
    return total


def remove_candidates(directory: Path) -> None:
    """Remove what this module writes, and what a killed process left half-written; nothing else."""
    (directory / SUMMARY).unlink(missing_ok=True)  # first: without it the rest does not count
    for pattern in ("candidates-*.parquet", PARENTS, PARTIALS):
        for path in directory.glob(pattern):
            path.unlink()


def finish(directory: Path, parents: pa.Table, summary: Mapping[str, object]) -> None:
    """Write the parents and, last, the summary.

    Args:
        directory: with its shards.
        parents: as `parents_table` makes it.
        summary: anything that JSON can hold.
    """
    write_table(parents, directory / PARENTS)
    write_json(summary, directory / SUMMARY)


def write_table(table: pa.Table, path: Path) -> None:
    """Write a Parquet file; it appears under its name when it is complete."""
    with whole_path(path) as partial:
        pq.write_table(table, partial, compression="zstd", write_page_checksum=True)


def write_json(content: Mapping[str, object], path: Path) -> None:
    """Write a JSON file; it appears under its name when it is complete."""
    write_whole(path, json.dumps(content, indent=2) + "\n")


def read_summary(directory: Path) -> dict[str, Any]:
    """The summary of a finished directory of candidates.

    Raises:
        ShardError: there is none, or it is torn.
    """
    try:
        summary = json.loads((directory / SUMMARY).read_text())
    except OSError:
        raise ShardError(f"{directory}: no finished candidates in it; run the generation again, it goes on") from None
    except (ValueError, RecursionError):
        summary = None
    if not isinstance(summary, dict):
        raise ShardError(f"{directory / SUMMARY}: no summary of candidates: run the generation again")
    return summary


def read_tables(directory: Path) -> Iterator[pa.Table]:
    """The shards of a finished directory, one after the other.

    Raises:
        ShardError: the directory is missing or unfinished, or a file in it is torn.
    """
    for path in shard_paths(directory):
        yield _table(path)


def _table(path: Path) -> pa.Table:
    """A Parquet file, with its checksums where it has them.

    Raises:
        ShardError: it is torn, or is none.
    """
    try:
        return pq.read_table(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException, MemoryError) as error:
        raise ShardError(f"{path}: not a whole Parquet file: {one_line(error)}") from None


def one_line(error: BaseException) -> str:
    """What a library says of a file, in a line of bounded length."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def shard_paths(directory: Path) -> list[Path]:
    """The files of a finished directory, in their order.

    Raises:
        ShardError: the directory is missing or unfinished.
    """
    read_summary(directory)
    return sorted(directory.glob("candidates-*.parquet"))


def read_shards(directory: Path) -> Iterator[Candidate]:
    """The candidates of a finished directory, in the order they were written.

    Raises:
        ShardError: the directory is missing or unfinished.
    """
    for table in read_tables(directory):
        yield from candidates_of(table)


def candidates_of(table: pa.Table) -> Iterator[Candidate]:
    """Candidates of a table of `SCHEMA`, in its order."""
    for batch in table.to_batches(max_chunksize=10_000):
        for row in batch.to_pylist():
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


def decorations(table: pa.Table, parents: Mapping[str, Structure]) -> list[tuple[np.ndarray, Decorations]]:
    """Candidates of a table of `SCHEMA` as arrays: for each parent the rows, (n,), and what is on its sites.

    Raises:
        ShardError: a parent is missing, or a candidate does not fit it; the message names them.
    """
    table = table.unify_dictionaries().combine_chunks()
    if table.num_rows == 0:
        return []
    species = table["species"].chunk(0)
    elements = species.flatten()
    # the table of elements in the files has nothing at 0
    known = np.array([Element(symbol).Z if symbol else 0 for symbol in elements.dictionary.to_pylist()], dtype=np.uint8)
    numbers = known[elements.indices.to_numpy(zero_copy_only=False)]
    first = species.offsets.to_numpy() - species.offsets[0].as_py()
    volumes = table["volume"].to_numpy()
    parent_ids = table["parent_id"].chunk(0)
    codes = parent_ids.indices.to_numpy(zero_copy_only=False)
    order = np.argsort(codes, kind="stable")
    found = []
    for rows in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        key = parent_ids.dictionary[int(codes[rows[0]])].as_py()
        if key not in parents:
            raise ShardError(f"candidate {table['id'][int(rows[0])]}: its parent {key} is not in {PARENTS}")
        sites = first[rows + 1] - first[rows]
        if np.any(sites != len(parents[key])):
            raise ShardError(f"candidates of {key}: not all have its {len(parents[key])} sites")
        try:
            some = Decorations(parents[key], numbers[first[rows][:, None] + np.arange(sites[0])], volumes[rows])
        except ValueError as error:
            raise ShardError(f"parent {key}: {error}") from error
        found.append((rows, some))
    return found


def parents_table(parents: Sequence[tuple[Parent, str, str, str]]) -> pa.Table:
    """Parents as a table.

    Args:
        parents: crystal, ions it was taken to consist of, rule that gave them, prototype.
    """
    crystals = [parent for parent, *_ in parents]
    return pa.table(
        {
            "id": pa.array([parent.id for parent in crystals], pa.string()),
            "formula": pa.array([parent.structure.reduced_formula for parent in crystals], pa.string()),
            "ions": pa.array([ions for _, ions, _, _ in parents], pa.string()),
            "ions_from": pa.array([rule for _, _, rule, _ in parents], pa.string()),
            "prototype": pa.array([prototype for *_, prototype in parents], pa.string()),
            "numbers": pa.array([parent.numbers.tolist() for parent in crystals], pa.list_(pa.uint8())),
            "lattice": pa.array([parent.matrix.ravel().tolist() for parent in crystals], pa.list_(pa.float64())),
            "frac_coords": pa.array(
                [parent.frac_coords.ravel().tolist() for parent in crystals], pa.list_(pa.float64())
            ),
        }
    )


def read_parents(directory: Path) -> dict[str, Structure]:
    """Parents of a finished directory of candidates: key -> crystal.

    Raises:
        ShardError: the directory is missing or unfinished, or the file of the parents is torn.
    """
    read_summary(directory)
    rows = _table(directory / PARENTS).select(["id", "numbers", "lattice", "frac_coords"]).to_pylist()
    return {
        row["id"]: Structure(
            Lattice(np.reshape(row["lattice"], (3, 3))), row["numbers"], np.reshape(row["frac_coords"], (-1, 3))
        )
        for row in rows
    }
