"""Stage 2, filter: candidates in, decisions out. What predicts and what knows the hull are passed in as functions.

predictions-SSSSS-RRRRRR.parquet   predictions of the candidates from row R of shard S on; a killed run goes on
                                   after the last
screened-SSSSS.parquet             every candidate of shard S: prediction, spread, distance to the hull, decision
screening.json                     how many of each; written last
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pymatgen.core import Composition, Structure
from scipy.special import ndtri

from gnome_torch.baseline import IQR_OF_NORMAL
from gnome_torch.candidates.tables.shards import (
    SUMMARY,
    candidates_of,
    decorations,
    shard_paths,
    write_json,
    write_table,
)
from gnome_torch.files import PARTIALS
from gnome_torch.records import Decorations, Prediction, Predictions

PART_ROWS = 4096
"""Candidates predicted between two saves: minutes on a CPU, seconds on a GPU."""

FORMULAS_AT_ONCE = 50_000
"""Compositions that the hull is asked for at once: some 200 MB."""

PLAN = "screening-plan.json"
REPORT = "screening.json"
DECISIONS = ("selected", "near", "far")
HOW = ("first look", "audit", "full")
"""How a prediction was made: by a cascade's first look alone, or in full, for the audit or because it was promising."""

Predict = Callable[[pa.Table], Predictions]
"""From a table of candidates (`candidates.tables.shards.SCHEMA`)."""

HullEnergies = Callable[[Sequence[str]], np.ndarray]
"""Energy of the hull, eV/atom of formation, (n,), at compositions given by their reduced formulas."""


@dataclass(frozen=True)
class Choice:
    """A candidate that goes to relaxation.

    Attributes:
        index: position in the input.
        distance: predicted distance to the hull, eV/atom (negative below it).
    """

    index: int
    distance: float


@dataclass(frozen=True)
class Ranking:
    """By what candidates are judged: distance to the hull, and how the spread of the ensemble enters.

    Attributes:
        rule: "predicted": the distance that the median predicts, GNoME's rule. "bound": that less `weight` standard
            deviations (a lower confidence bound). "thompson": that plus `weight` standard deviations times a standard
            normal draw. "random": by chance among those whose predicted distance the threshold lets pass.
        weight: of the standard deviation.
        seed: of the draws; the same candidate gets the same one.
    """

    rule: Literal["predicted", "bound", "thompson", "random"] = "predicted"
    weight: float = 1.0
    seed: int = 0

    def scores(self, ids: Sequence[str], distance: np.ndarray, iqr: np.ndarray, threshold: float) -> np.ndarray:
        """What takes the place of the distance in `select`, eV/atom, (n,): with it the threshold, and the order.

        Args:
            ids: keys of the candidates, n.
            distance: predicted, eV/atom, (n,).
            iqr: inter-quartile range of the ensemble, eV/atom, (n,).
            threshold: largest distance that is near, eV/atom.
        """
        if self.rule == "predicted":
            return distance
        deviation = self.weight * np.nan_to_num(iqr) / IQR_OF_NORMAL
        if self.rule == "bound":
            return distance - deviation
        uniform = np.array([_uniform(f"{self.seed}/{key}") for key in ids])
        if self.rule == "thompson":
            return distance + deviation * ndtri(uniform)
        return np.where(distance <= threshold, threshold - uniform, np.inf)


def _uniform(text: str) -> float:
    """A number between 0 and 1 that depends on a text alone."""
    return (int(hashlib.sha256(text.encode()).hexdigest()[:13], 16) + 0.5) / 16**13


@dataclass(frozen=True)
class Criteria:
    """What decides which predicted candidates go on.

    Attributes:
        threshold: largest predicted distance that is near the hull, eV/atom.
        limit: candidates chosen at most; None for all.
        ranking: how the spread enters the choice.
        per_system: candidates of one chemical system chosen at most; None for all.
        per_composition: candidates of one composition chosen at most.
        confirm: reduced formula -> candidates of that composition that are chosen before all others, the most
            promising ones, however far they are predicted from the hull.
    """

    threshold: float = 0.05
    limit: int | None = None
    ranking: Ranking = Ranking()
    per_system: int | None = None
    per_composition: int = 1
    confirm: Mapping[str, int] = field(default_factory=dict)

    def choices(self, table: pa.Table, codes: np.ndarray, distance: np.ndarray) -> list[Choice]:
        """Choose among predicted candidates.

        Args:
            table: with `id`, `formula` and `iqr`.
            codes: number of each row's composition, (n,).
            distance: predicted, eV/atom, (n,); infinite for those that cannot be chosen.
        """
        iqr = table["iqr"].to_numpy()
        scores = self.ranking.scores(table["id"].to_pylist(), distance, iqr, self.threshold)
        unique = pc.dictionary_encode(table["formula"]).combine_chunks().dictionary.to_pylist()
        systems = None
        if self.per_system is not None:
            systems = np.array([Composition(formula).chemical_system for formula in unique])[codes]
        first = self._confirmations(unique, codes, scores)
        per = (self.per_system, self.per_composition)
        others = select(codes, scores, np.zeros(len(scores)), self.threshold, None, systems, *per)
        chosen = [*first, *(choice.index for choice in others if choice.index not in first)]
        return [Choice(index, float(distance[index])) for index in chosen[: self.limit]]

    def _confirmations(self, formulas: Sequence[str], codes: np.ndarray, scores: np.ndarray) -> list[int]:
        """Rows of the candidates that are to confirm what is on the hull."""
        wanted = np.array([self.confirm.get(formula, 0) for formula in formulas], dtype=np.int64)[codes]
        rows = np.flatnonzero((wanted > 0) & np.isfinite(scores))
        rows = rows[np.argsort(scores[rows], kind="stable")]
        return [int(row) for row in rows[_place_among_equals(codes[rows]) < wanted[rows]]]


@dataclass(frozen=True)
class Cascade:
    """A cheap first look, which spares most candidates the full prediction.

    Attributes:
        first_look: the cheaper prediction.
        margin: candidates up to this far beyond the threshold at first look get the full prediction, eV/atom.
        audit: share of the others that gets it too: they tell how many good ones the first look has lost.
    """

    first_look: Predict
    margin: float = 0.1
    audit: float = 0.02

    def __post_init__(self) -> None:
        if not self.margin >= 0 or not 0 <= self.audit <= 1:
            raise ValueError(f"{self.limits}: the margin must not be negative, the audit from 0 to 1")

    @property
    def limits(self) -> str:
        """Margin and audit, as a screening's plan on disk has them."""
        return f"Cascade(margin={self.margin!r}, audit={self.audit!r})"


@dataclass(frozen=True)
class Predictor:
    """What predicts the candidates of a screening.

    Attributes:
        predict: the full prediction.
        identity: JSON content that fixes what `predict` (and, with a cascade, its first look and the hull) says:
            predictions on disk that another one has made are thrown away.
        cascade: a first look that spares most candidates the full prediction; None: all get it.
    """

    predict: Predict
    identity: Mapping[str, object]
    cascade: Cascade | None = None


@dataclass(frozen=True)
class Screened:
    """Result of a screening.

    Attributes:
        candidates: how many there were.
        near: predicted within the threshold.
        chosen: those that go on, the most promising first: candidate (or whatever was read), prediction, distance
            (eV/atom).
        recall: estimated share of those within the threshold that a cascade has kept; None without cascade.
        full: candidates that got the full prediction.
    """

    candidates: int
    near: int
    chosen: list[tuple[Any, Prediction, float]]
    recall: float | None
    full: int


def select(
    formulas: Sequence[Any] | np.ndarray,
    predicted: Sequence[float] | np.ndarray,
    hull: Sequence[float] | np.ndarray,
    threshold: float = 0.05,
    limit: int | None = None,
    systems: Sequence[Any] | np.ndarray | None = None,
    per_system: int | None = None,
    per_composition: int = 1,
) -> list[Choice]:
    """Candidates predicted near or below the hull, the most promising first.

    GNoME's rule: predicted distance to the current hull at most 50 meV/atom, and only the structure of lowest
    predicted energy of each composition. Where more of a composition are wanted, the further ones are ranked by how far
    they are above its lowest: they matter as far as the prediction may have the two the wrong way round. Ties are
    broken by the order of the input.

    Args:
        formulas: reduced formulas, or numbers that stand for them, (n,).
        predicted: formation energies, eV/atom, (n,).
        hull: energy of the hull at each composition, eV/atom, (n,).
        threshold: largest predicted distance, eV/atom.
        limit: at most this many; None for all.
        systems: chemical system of each candidate, or a number that stands for it, (n,); wanted for `per_system`.
        per_system: at most this many of one chemical system; None for all.
        per_composition: at most this many of one composition.

    Raises:
        ValueError: inputs of different lengths.
    """
    if not len(formulas) == len(predicted) == len(hull):
        raise ValueError(f"{len(formulas)} formulas, {len(predicted)} predictions, {len(hull)} hull energies")
    distance = np.asarray(predicted, dtype=float) - np.asarray(hull, dtype=float)
    near = np.flatnonzero(distance <= threshold)
    ranked = near[np.argsort(distance[near], kind="stable")]
    _, first, code = np.unique(np.asarray(formulas)[ranked], return_index=True, return_inverse=True)
    place = _place_among_equals(code)
    above = distance[ranked] - np.minimum(distance[ranked[first]], 0.0)[code]  # the lowest of the composition
    score = np.where(place == 0, distance[ranked], above)
    kept = np.flatnonzero((place < per_composition) & (score <= threshold))
    best = ranked[kept[np.argsort(score[kept], kind="stable")]]
    if per_system is not None:
        best = best[_place_among_equals(np.asarray(systems)[best]) < per_system]
    return [Choice(int(i), float(distance[i])) for i in best[:limit]]


def _place_among_equals(values: np.ndarray) -> np.ndarray:
    """How often each value has come before, (n,)."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(values) else np.zeros(0, dtype=np.int64)
    places = np.arange(len(values)) - np.repeat(starts, np.diff(np.r_[starts, len(values)]))
    result = np.empty(len(values), dtype=np.int64)
    result[order] = places
    return result


def by_parent(parents: Mapping[str, Structure], predict: Callable[[Sequence[Decorations]], Predictions]) -> Predict:
    """A prediction of tables from one of decorated parents; the candidates of one parent need not be together.

    Args:
        parents: crystal of every key of a parent.
        predict: as `gnome_torch.inference.predict`.
    """

    def predict_table(table: pa.Table) -> Predictions:
        grouped = decorations(table, parents)
        found = predict([some for _, some in grouped])
        rows = np.concatenate([rows for rows, _ in grouped]) if grouped else np.zeros(0, dtype=np.int64)
        place = np.argsort(rows)
        return Predictions(found.energy[place], found.iqr[place], found.volume_scale[place])

    return predict_table


def screen(
    candidates: Path,
    directory: Path,
    predictor: Predictor,
    hull_energies: HullEnergies,
    criteria: Criteria = Criteria(),
    *,
    progress: Callable[[int], None] | None = None,
    read: Callable[[pa.Table], Iterable[Any]] = candidates_of,
) -> Screened:
    """Predict all candidates of a directory, decide, and write both down.

    Args:
        candidates: finished directory of `candidates.tables.shards`.
        directory: where the results go. Predictions that are there already, of the same identity, are kept.
        predictor: what predicts, and in how many steps.
        hull_energies: of the current hull.
        criteria: which go on.
        progress: called with the number of candidates predicted so far, also those of an earlier run.
        read: from rows of the shards to what is chosen; by default crystals. The shards of whatever else need the
            columns `id` and `formula`.

    Raises:
        ShardError: the candidates are missing, unfinished or broken.
    """
    cascade = predictor.cascade
    # a cascade predicts in full what lies near this threshold
    limits = [cascade.limits, criteria.threshold] if cascade else None
    _start(candidates, directory, dict(predictor.identity, cascade=limits))
    predict_part = _predict_part(predictor, hull_energies, criteria.threshold)
    done = 0
    for part in _parts(candidates):
        path = directory / part.name
        if not _holds(path, part):
            table = part.read()
            write_table(_columns(table, *predict_part(table)), path)
        done += part.rows
        if progress:
            progress(done)
    return _decide(candidates, directory, hull_energies, criteria, cascade, read)


@dataclass(frozen=True)
class _Part:
    """Some rows of one shard."""

    shard: int
    path: Path
    first: int
    rows: int

    @property
    def name(self) -> str:
        return f"predictions-{self.shard:05d}-{self.first:06d}.parquet"

    def read(self, columns: list[str] | None = None) -> pa.Table:
        return pq.read_table(self.path, columns=columns).slice(self.first, self.rows)


def _parts(candidates: Path) -> Iterator[_Part]:
    for shard, path in enumerate(shard_paths(candidates)):
        rows = pq.read_metadata(path).num_rows
        for first in range(0, rows, PART_ROWS):
            yield _Part(shard, path, first, min(PART_ROWS, rows - first))


def _holds(path: Path, part: _Part) -> bool:
    """Whether a file has predictions of the candidates of a part, whole and in order."""
    try:
        done = pq.read_table(path, columns=["id"])["id"]
    except (OSError, pa.ArrowInvalid):
        return False
    return bool(done.equals(part.read(["id"])["id"]))


def _start(candidates: Path, directory: Path, identity: Mapping[str, object]) -> None:
    """Throw away what an earlier run of another identity has left."""
    shard_paths(candidates)  # finished?
    proposed = hashlib.sha256((candidates / SUMMARY).read_bytes()).hexdigest()[:24]
    plan = {**identity, "candidates": proposed, "part_rows": PART_ROWS}
    directory.mkdir(parents=True, exist_ok=True)
    for path in directory.glob(PARTIALS):  # of a killed run
        path.unlink(missing_ok=True)
    try:
        same = json.loads((directory / PLAN).read_text()) == plan
    except (OSError, ValueError):
        same = False
    if not same:
        for pattern in (PLAN, REPORT, "predictions-*.parquet", "screened-*.parquet"):
            for path in directory.glob(pattern):
                path.unlink()
        write_json(plan, directory / PLAN)


def _predict_part(
    predictor: Predictor, hull_energies: HullEnergies, threshold: float
) -> Callable[[pa.Table], tuple[Predictions, np.ndarray]]:
    """A function of a table: predictions, and how each was made, (n,): numbers of `HOW`."""
    cascade = predictor.cascade

    def in_full(table: pa.Table) -> tuple[Predictions, np.ndarray]:
        return predictor.predict(table), np.full(table.num_rows, HOW.index("full"))

    if cascade is None:
        return in_full

    def in_two_steps(table: pa.Table) -> tuple[Predictions, np.ndarray]:
        rough = cascade.first_look(table)
        codes, floors = _floors(table["formula"], hull_energies)
        promising = rough.energy - floors[codes] <= threshold + cascade.margin
        # the sample depends on the candidates alone, so a repeated run takes the same
        seed = int(hashlib.sha256("".join(table["id"].to_pylist()).encode()).hexdigest()[:16], 16)
        audited = ~promising & (np.random.default_rng(seed).random(table.num_rows) < cascade.audit)
        rows = np.flatnonzero(promising | audited)
        exact = predictor.predict(table.take(rows))
        merged = [np.array(getattr(rough, name), dtype=float) for name in ("energy", "iqr", "volume_scale")]
        for column, values in zip(merged, (exact.energy, exact.iqr, exact.volume_scale), strict=True):
            column[rows] = values
        return Predictions(*merged), np.where(promising, HOW.index("full"), audited.astype(int))

    return in_two_steps


def _columns(table: pa.Table, predictions: Predictions, made_by: np.ndarray) -> pa.Table:
    return pa.table(
        {
            "id": table["id"],
            "formula": table["formula"],
            "formation_energy": predictions.energy,
            "iqr": predictions.iqr,
            "volume_scale": predictions.volume_scale,
            "prediction": pa.DictionaryArray.from_arrays(pa.array(made_by.astype(np.int8)), pa.array(HOW)),
        }
    )


def _floors(formulas: pa.ChunkedArray, hull_energies: HullEnergies) -> tuple[np.ndarray, np.ndarray]:
    """Number of each row's composition, (n,), and the energy of the hull at each composition, eV/atom."""
    encoded = pc.dictionary_encode(formulas).combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):  # of no rows
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    unique = encoded.dictionary.to_pylist()
    some = [unique[first : first + FORMULAS_AT_ONCE] for first in range(0, len(unique), FORMULAS_AT_ONCE)]
    floors = np.concatenate([np.asarray(hull_energies(formulas), dtype=float) for formulas in some])
    return encoded.indices.to_numpy(), floors


def _decide(
    candidates: Path,
    directory: Path,
    hull_energies: HullEnergies,
    criteria: Criteria,
    cascade: Cascade | None,
    read: Callable[[pa.Table], Iterable[Any]],
) -> Screened:
    parts = list(_parts(candidates))
    names = ["id", "formula", "formation_energy", "iqr", "prediction"]
    columns = [pq.read_table(directory / part.name, columns=names) for part in parts]
    table = pa.concat_tables(columns).unify_dictionaries() if columns else None
    if table is None:
        nothing = Screened(0, 0, [], None, 0)
        _report(directory, nothing, dict.fromkeys(DECISIONS, 0), criteria.threshold)
        return nothing
    codes, floors = _floors(table["formula"], hull_energies)
    energies = table["formation_energy"].to_numpy()
    first_look, audited = (pc.equal(table["prediction"].cast(pa.string()), how).to_numpy() for how in HOW[:2])
    # a first look that was not good enough does not select
    distance = np.where(first_look, np.inf, energies - floors[codes])
    choices = criteria.choices(table, codes, distance)
    near = distance <= criteria.threshold
    decision = np.where(near, 1, 2)
    decision[[choice.index for choice in choices]] = 0

    _write_decisions(directory, parts, floors[codes], decision)
    recall = None
    if cascade is not None:
        kept, lost = int((near & ~audited).sum()), int((near & audited).sum())
        recall = kept / (kept + lost / cascade.audit) if kept + lost and cascade.audit else None
    screened = Screened(
        candidates=len(energies),
        near=int(near.sum()),
        chosen=_chosen(directory, parts, choices, read),
        recall=recall,
        full=int((~first_look).sum()),
    )
    counts = dict(zip(DECISIONS, np.bincount(decision, minlength=3).tolist(), strict=True))
    _report(directory, screened, counts, criteria.threshold)
    return screened


def _write_decisions(directory: Path, parts: list[_Part], floors: np.ndarray, decision: np.ndarray) -> None:
    """One file for each shard: its predictions with hull, distance and decision."""
    start = 0
    for shard in sorted({part.shard for part in parts}):
        tables = [pq.read_table(directory / part.name) for part in parts if part.shard == shard]
        table = pa.concat_tables(tables).unify_dictionaries()
        rows = slice(start, start + table.num_rows)
        decided = pa.DictionaryArray.from_arrays(pa.array(decision[rows].astype(np.int8)), pa.array(DECISIONS))
        table = table.append_column("hull_energy", pa.array(floors[rows]))
        table = table.append_column("distance", pa.array(table["formation_energy"].to_numpy() - floors[rows]))
        write_table(table.append_column("decision", decided), directory / f"screened-{shard:05d}.parquet")
        start += len(decided)


def _chosen(
    directory: Path, parts: list[_Part], choices: Sequence[Choice], read: Callable[[pa.Table], Iterable[Any]]
) -> list[tuple[Any, Prediction, float]]:
    """The chosen candidates, read from their shards."""
    starts = np.concatenate([[0], np.cumsum([part.rows for part in parts])])
    indices = np.array([choice.index for choice in choices], dtype=np.int64)
    places = np.searchsorted(starts, indices, side="right") - 1
    found: dict[int, tuple[Any, Prediction, float]] = {}
    for place in np.unique(places).tolist():
        part, mine = parts[place], np.flatnonzero(places == place)
        rows = indices[mine] - starts[place]
        predictions = pq.read_table(directory / part.name).take(rows).to_pylist()
        for which, candidate, row in zip(mine.tolist(), read(part.read().take(rows)), predictions, strict=True):
            prediction = Prediction(row["id"], row["formation_energy"], row["iqr"], row["volume_scale"])
            found[which] = candidate, prediction, choices[which].distance
    return [found[which] for which in range(len(choices))]


def _report(directory: Path, screened: Screened, counts: Mapping[str, int], threshold: float) -> None:
    report = {
        "candidates": screened.candidates,
        **counts,
        "predicted_in_full": screened.full,
        "cascade_recall": screened.recall,
        "threshold": threshold,
    }
    write_json(report, directory / REPORT)
