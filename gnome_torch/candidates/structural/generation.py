"""The structural pipeline from parents to shards: one function, for the command line, for campaigns, for scripts.

    parents -> structure types -> units of work -> (propose, in any number of processes) -> parts, one file per unit
    parts of a structure type -> each candidate once -> limit -> shards, parents, summary

A part is written when its unit is done, so an interrupted generation goes on from there; units are cut the same way for
any number of workers, so the candidates are the same.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gnome_torch.candidates.parents import Parent
from gnome_torch.candidates.structural.proposals import (
    StructuralOptions,
    Unit,
    arranged,
    parent_ions,
    propose,
    site_choices,
    units,
)
from gnome_torch.candidates.structural.selection import ORIGINS, Request, Selection, counted, selected
from gnome_torch.candidates.structural.structure_types import StructureType, TypedParent, classify
from gnome_torch.candidates.tables.rows import Rows, Tally, joined, unique
from gnome_torch.candidates.tables.shards import (
    SUMMARY,
    candidate_table,
    finish,
    parents_table,
    read_summary,
    remove_candidates,
    write_json,
    write_shards,
    write_table,
)

FORMAT = 2
PLAN = "plan.json"
PARTS = "parts"
LOCK = ".lock"


class GenerationError(ValueError):
    """Candidates that cannot be generated; the message says why and what to do."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Parents sorted into structure types and cut into units of work.

    Attributes:
        types: structure types.
        parents: in the order in which `Rows.parent` counts them.
        units: what is worked on together, in the order of the types.
        options: what may be proposed.
        choices_left_out: choices of sites beyond the limits, summed over the units.
    """

    types: list[StructureType]
    parents: list[TypedParent]
    units: list[Unit]
    options: StructuralOptions
    choices_left_out: int


def plan(parents: Iterable[Parent], options: StructuralOptions) -> Plan:
    """Sort parents into structure types and cut the work into units.

    Raises:
        GenerationError: there is no parent, or two of one name.
    """
    crystals = list(parents)
    if not crystals:
        raise GenerationError("no parent crystal to substitute in")
    twice = [key for key, count in Counter(parent.id for parent in crystals).items() if count > 1]
    if twice:
        raise GenerationError(f"two parents are called {twice[0]}: give each its own name")
    types, typed = classify(crystals)
    typed = arranged(typed)
    work = list(units(types, typed, options))
    left_out = sum(site_choices(unit.slots, unit.permutations, options)[1] for unit in work)
    return Plan(types, typed, work, options, left_out)


def stream(work: Plan, round_number: int = 0) -> Iterator[pa.Table]:
    """All candidates, a table of `shards.SCHEMA` per structure type; memory holds one type at a time."""
    for _, some in groupby(work.units, key=lambda unit: unit.type.id):
        parts = [rows for unit in some if (rows := propose(unit, work.options)[0]) is not None]
        if parts:
            yield _table(work, unique(joined(parts)), round_number)


def _table(work: Plan, rows: Rows, round_number: int) -> pa.Table:
    prototype = work.types[work.parents[int(rows.parent[0])].type].id
    return candidate_table(rows, lambda index: work.parents[index].parent.id, prototype, round_number)


def generate(
    parents: Iterable[Parent],
    request: Request,
    directory: Path,
    *,
    refused: Sequence[tuple[str, str]] = (),
    workers: int = 1,
    overwrite: bool = False,
    progress: Callable[[int, int, int], None] | None = None,
) -> dict[str, Any]:
    """Generate candidates into a directory of shards, or go on where an earlier run of the same kind was stopped.

    Args:
        parents: crystals to substitute in.
        request: what may be proposed, and how much of it is kept.
        directory: where shards, parents and summary go; made if it is not there.
        refused: crystals that cannot be parents, with the reason; they go into the summary.
        workers: processes.
        overwrite: replace candidates of another kind that the directory holds.
        progress: called with units done, units in all, candidates so far.

    Returns:
        The summary: numbers by what became of the proposals.

    Raises:
        GenerationError: no parents; or the directory holds other candidates, cannot be written to, or is another
            process's.
    """
    work = plan(parents, request.options)
    identity = _identity(work, request)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _alone_in(directory):
            if _identity_in(directory) == identity and (directory / SUMMARY).exists():
                return read_summary(directory)
            _begin(directory, identity, overwrite)
            tally = _run_units(work, directory / PARTS, workers, progress)
            counts: Counter[str] = Counter()
            tables = _merged(work, directory / PARTS, request, tally)
            write_shards(counted(selected(tables, request.selection), counts), directory)
            finish(directory, _parents(work), _summary(work, request.selection, refused, tally, counts))
            shutil.rmtree(directory / PARTS)
    except OSError as error:
        raise GenerationError(
            f"{directory}: {error.strerror or error}; what is done is kept: mend that, and run the same again"
        ) from error
    return read_summary(directory)


# ---- identity of a directory


def _identity(work: Plan, request: Request) -> str:
    """Hash of all that decides what comes out."""
    policy, options = work.options.policy, work.options
    content = {
        "format": FORMAT,
        "policy": {key: _plain(value) for key, value in vars(policy).items()},
        "rules": asdict(options.rules),
        "saps": options.saps,
        "partial": asdict(options.partial),
        "assignments": options.assignments,
        "known": hashlib.sha256(options.known.tobytes()).hexdigest(),
        "selection": asdict(request.selection),
        "round": request.round_number,
        "tried": sorted(request.tried),
        "parents": [_fingerprint(item.parent) for item in work.parents],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _plain(value: object) -> object:
    """Sets and tuples of sets in an order that is always the same."""
    if isinstance(value, frozenset):
        return sorted(value)
    return sorted(sorted(item) for item in value) if isinstance(value, tuple) else value


def _fingerprint(parent: Parent) -> str:
    arrays = parent.numbers.tobytes() + parent.matrix.tobytes() + parent.frac_coords.tobytes()
    return hashlib.sha256(f"{parent.id}|{parent.states}|".encode() + arrays).hexdigest()


def _identity_in(directory: Path) -> str | None:
    try:
        return str(json.loads((directory / PLAN).read_text())["identity"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _begin(directory: Path, identity: str, overwrite: bool) -> None:
    """Keep the parts of a run of the same kind; make room for a run of another."""
    if _identity_in(directory) != identity:
        if not overwrite and any(path.name != LOCK for path in directory.iterdir()):
            raise GenerationError(
                f"{directory} is not empty, and what it holds was made from other parents or with other options: "
                "name another directory, or remove it"
            )
        remove_candidates(directory)
        shutil.rmtree(directory / PARTS, ignore_errors=True)
        write_json({"identity": identity}, directory / PLAN)
    (directory / PARTS).mkdir(exist_ok=True)


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Hold the directory for this process.

    Raises:
        GenerationError: another one holds it.
    """
    with (directory / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise GenerationError(f"another process is generating candidates in {directory}: wait for it") from None
        yield


# ---- units of work


def _run_units(work: Plan, parts: Path, workers: int, progress: Callable[[int, int, int], None] | None) -> Tally:
    """Work through all units whose part is not there yet; what became of all their proposals."""
    tally = Tally()
    done = 0

    def ended(part: Tally) -> None:
        nonlocal done
        done += 1
        tally.add(part)
        if progress:
            progress(done, len(work.units), tally.passed)

    todo = []
    for index, unit in enumerate(work.units):
        path = _part(parts, index)
        if path.exists():
            ended(_tally_in(path))
        else:
            todo.append((unit, path))
    if workers <= 1 or len(todo) <= 1:
        for unit, path in todo:
            ended(_run_unit(unit, work.options, path))
        return tally
    # spawned, not forked: pyarrow and numpy have threads
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin_worker, (work.options,)) as pool:
        futures = [pool.submit(_run_remembered, unit, path) for unit, path in todo]
        try:
            for future in as_completed(futures):
                ended(future.result())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return tally


_OPTIONS: list[StructuralOptions] = []  # of the process that a pool has started: sent once, not with every unit


def _begin_worker(options: StructuralOptions) -> None:
    """Leave Ctrl-C to the parent process, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _OPTIONS[:] = [options]


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _run_remembered(unit: Unit, path: Path) -> Tally:
    return _run_unit(unit, _OPTIONS[0], path)


def _run_unit(unit: Unit, options: StructuralOptions, path: Path) -> Tally:
    rows, tally = propose(unit, options)
    table = pa.table({}) if rows is None else _rows_to_table(rows)
    content = json.dumps(vars(tally)).encode()
    write_table(table.replace_schema_metadata({"tally": content}), path)
    return tally


def _part(parts: Path, index: int) -> Path:
    return parts / f"{index:06d}.parquet"


def _tally_in(path: Path) -> Tally:
    content = json.loads(pq.read_schema(path).metadata[b"tally"])
    return Tally(**{**content, "refused": Counter(content["refused"])})


def _rows_to_table(rows: Rows) -> pa.Table:
    columns = {}
    for item in fields(Rows):
        array = getattr(rows, item.name)
        flat = pa.array(np.ascontiguousarray(array).ravel())
        columns[item.name] = flat if array.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, array.shape[1])
    return pa.table(columns)


def _table_to_rows(table: pa.Table) -> Rows:
    columns = []
    for item in fields(Rows):
        column = table[item.name].combine_chunks()
        if pa.types.is_fixed_size_list(column.type):
            array = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, column.type.list_size)
        else:
            array = column.to_numpy(zero_copy_only=False)
        columns.append(array)
    return Rows(*columns)


# ---- from parts to shards


def _merged(work: Plan, parts: Path, request: Request, tally: Tally) -> Iterator[pa.Table]:
    """The candidates of each structure type, each once, without those tried before."""
    numbered, tried = enumerate(work.units), pa.array(sorted(set(request.tried)), pa.string())
    for _, some in groupby(numbered, key=lambda item: item[1].type.id):
        tables = [pq.read_table(_part(parts, index)) for index, _ in some]
        rows = [_table_to_rows(table) for table in tables if table.num_rows]
        if not rows:
            continue
        together = joined(rows)
        best = unique(together)
        tally.duplicates += len(together) - len(best)
        table = _table(work, best, request.round_number)
        if request.tried:
            fresh = table.filter(pc.invert(pc.is_in(table["id"], tried)))
            tally.tried += table.num_rows - fresh.num_rows
            table = fresh
        tally.passed -= len(together) - table.num_rows
        yield table


def _parents(work: Plan) -> pa.Table:
    rows = []
    for item in work.parents:
        ions = parent_ions(item, work.options)
        rows.append((item.parent, " ".join(ions.ions), ions.rule, work.types[item.type].id))
    return parents_table(rows)


def _summary(
    work: Plan, selection: Selection, refused: Sequence[tuple[str, str]], tally: Tally, counts: Counter[str]
) -> dict[str, Any]:
    return {
        "parents": len(work.parents),
        "prototypes": len(work.types),
        "ions_from": dict(Counter(parent_ions(item, work.options).rule for item in work.parents).most_common()),
        "parents_refused": [{"id": key, "reason": reason} for key, reason in refused],
        "proposed": tally.proposed,
        "refused": dict(sorted(tally.refused.items())),
        "known": tally.known,
        "duplicates": tally.duplicates,
        "tried": tally.tried,
        "passed": tally.passed,
        "choices_left_out": work.choices_left_out,
        "selection": asdict(selection),
        "written": counts["written"],
        **{origin: counts[origin] for origin in ORIGINS},
    }
