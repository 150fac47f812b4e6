"""The baseline of a campaign: what its potential says of crystals, computed once and kept in files.

baseline/THEORY/points-*.parquet     single points by name: candidates by their key, entries by theirs
baseline/THEORY/approached-*.parquet crystals after a few steps of relaxation, with their energies; of entries the
crystals that their relaxations began from, as `KEY:initial`
round-N/baseline.json                how energies become formation energies for round N
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pymatgen.core import Lattice, Structure

from gnome_torch.baseline import SCALES, Baseline, lowest_of_volumes
from gnome_torch.candidates.tables.shards import write_json, write_table
from gnome_torch.stability.formulas import fractions_of
from workflows.campaign.campaign import Campaign
from workflows.ground.continuation import Stopped, StopRequested, never
from workflows.relax import Theory

POINTS_AT_ONCE, APPROACHES_AT_ONCE = 256, 16
"""Crystals computed between two saves: seconds."""

STEPS = 10
"""Of the first relaxation. From there the energy falls by 1 meV/atom more (median over 13 fluorides and alloys, CHGNet,
from 141 meV/atom above the end; the mean is 74, of 250: three open structures were not nearly done)."""

DIGITS = 6
"""Of an energy, eV/atom: what a potential says of one crystal in another batch differs beyond them."""

INITIAL = ":initial"
"""End of the name of a crystal that a relaxation began from."""


@dataclass(frozen=True, eq=False)
class Approached:
    """A crystal after a few steps of relaxation.

    Attributes:
        energy: eV/atom; nan where it could not be computed.
        structure: the crystal; None for one that could not be computed.
    """

    energy: float
    structure: Structure | None


UNKNOWN = Approached(float("nan"), None)


class Judgements:
    """What a potential says of crystals, by their names; kept on disk, so that each is computed once."""

    def __init__(self, theory: Theory, directory: Path) -> None:
        """Read what is there.

        Args:
            theory: the potential.
            directory: where its energies are.
        """
        self._theory, self._directory = theory, directory
        self._points: dict[str, tuple[float, float]] = {}  # energy, and the volume's scale
        self._approached: dict[str, Approached] = {}
        for row in _rows(directory, "points", ("id", "energy", "scale")):
            self._points[row["id"]] = row["energy"], row["scale"]
        for row in _rows(directory, "approached", ("id", "energy", "numbers", "lattice", "frac_coords")):
            self._approached[row["id"]] = _read(row)

    def points(self, names: Sequence[str]) -> np.ndarray:
        """Energies at the best of `SCALES`, eV/atom, (n,); nan for what could not be, or has not been, computed."""
        return np.array([self._points.get(name, (np.nan, 1.0))[0] for name in names], dtype=float)

    def approached(self, name: str) -> Approached:
        """A crystal after its first steps; without energy if it could not be, or has not been, computed."""
        return self._approached.get(name, UNKNOWN)

    def has_approached(self, name: str) -> bool:
        """Whether the first steps of a crystal have been computed, or tried."""
        return name in self._approached

    def compute_points(self, crystals: Iterable[tuple[str, Structure]], stopped: Stopped = never) -> int:
        """Compute what is not there yet, and keep each part as it is done; how many were computed.

        Args:
            crystals: name and crystal of each, read one part at a time.
            stopped: looked at after each part.

        Raises:
            StopRequested: a signal has asked to stop; what was computed before is kept.
        """
        todo = ((name, structure) for name, structure in crystals if name not in self._points)
        return sum(self._compute_points(part) for part in _parts(todo, POINTS_AT_ONCE, stopped))

    def _compute_points(self, part: Sequence[tuple[str, Structure]]) -> int:
        scaled = [_scaled(structure, scale) for _, structure in part for scale in SCALES]
        energies = self._theory.energies(scaled).reshape(len(part), len(SCALES))
        names, lowest = [name for name, _ in part], lowest_of_volumes(energies).round(DIGITS)
        scales = SCALES[np.where(np.isnan(energies), np.inf, energies).argmin(axis=1)]
        self._write("points", names, {"energy": pa.array(lowest, pa.float64()), "scale": pa.array(scales)})
        self._points.update(zip(names, zip(lowest.tolist(), scales.tolist(), strict=True), strict=True))
        return len(part)

    def approach(self, crystals: Iterable[tuple[str, Structure]], stopped: Stopped = never) -> int:
        """Take the first steps of crystals, from the best of the volumes where that is known; as `compute_points`."""
        todo = ((name, structure) for name, structure in crystals if name not in self._approached)
        return sum(self._approach(part) for part in _parts(todo, APPROACHES_AT_ONCE, stopped))

    def _approach(self, part: Sequence[tuple[str, Structure]]) -> int:
        names = [name for name, _ in part]
        found = []
        for name, structure in part:
            start = _scaled(structure, self._points.get(name, (np.nan, 1.0))[1])
            energy, end = self._theory.approach(start, STEPS)
            found.append(Approached(round(energy, DIGITS), end))
        crystals = [some.structure for some in found]
        columns = {
            "energy": pa.array([some.energy for some in found], pa.float64()),
            "numbers": [list(crystal.atomic_numbers) if crystal else [] for crystal in crystals],
            "lattice": [crystal.lattice.matrix.ravel().tolist() if crystal else [] for crystal in crystals],
            "frac_coords": [crystal.frac_coords.ravel().tolist() if crystal else [] for crystal in crystals],
        }
        self._write("approached", names, columns)
        self._approached.update(zip(names, found, strict=True))
        return len(part)

    def _write(self, kind: str, names: Sequence[str], columns: dict[str, object]) -> None:
        digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:24]
        write_table(pa.table({"id": list(names), **columns}), self._directory / f"{kind}-{digest}.parquet")


def _rows(directory: Path, kind: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """What the files of a kind hold; of a file that is broken nothing: what it held is computed again."""
    for path in sorted(directory.glob(f"{kind}-*.parquet")):
        with suppress(OSError, pa.ArrowException):
            yield from pq.read_table(path, columns=list(columns)).to_pylist()


def _read(row: dict[str, Any]) -> Approached:
    if not row["numbers"]:
        return UNKNOWN
    lattice = Lattice(np.reshape(row["lattice"], (3, 3)))
    return Approached(row["energy"], Structure(lattice, row["numbers"], np.reshape(row["frac_coords"], (-1, 3))))


def _parts(
    crystals: Iterable[tuple[str, Structure]], size: int, stopped: Stopped
) -> Iterator[list[tuple[str, Structure]]]:
    """Parts of some crystals; after each one is done, a look whether to stop."""
    iterator = iter(crystals)
    while part := list(islice(iterator, size)):
        yield part
        if stopped():
            raise StopRequested(f"crystal {part[-1][0]}")


def _scaled(structure: Structure, scale: float) -> Structure:
    copy = structure.copy()
    copy.scale_lattice(structure.volume * scale)
    return copy


def judgements_of(campaign: Campaign) -> Judgements:
    """What the campaign's baseline has computed.

    Raises:
        SettingsError: its potential is not installed.
    """
    theory = campaign.baseline_theory
    return Judgements(theory, campaign.settings.root / "baseline" / theory.id)


@dataclass(frozen=True, eq=False)
class Differences:
    """What a baseline leaves to the networks.

    Attributes:
        names: of the crystals, n.
        structures: the crystals as networks see them: of starts, what is left of them after the first steps.
        left: formation energies less what the baseline says, eV/atom, n.
    """

    names: Sequence[str]
    structures: Sequence[Structure]
    left: Sequence[float]


def fit_baseline(campaign: Campaign, number: int, data: Sequence[tuple[str, Structure, float]]) -> Differences:
    """Fit the baseline of a round, and write it down.

    Args:
        campaign: whose.
        number: of the round.
        data: name, crystal, and formation energy at the campaign's theory (eV/atom) of each.

    Returns:
        What it leaves; crystals that its potential cannot compute are left out.
    """
    judgements = judgements_of(campaign)
    judgements.compute_points((name, structure) for name, structure, _ in data if not name.endswith(INITIAL))
    judgements.approach((name, structure) for name, structure, _ in data if name.endswith(INITIAL))
    names, targets = [name for name, *_ in data], np.array([energy for *_, energy in data])
    own = known_energies(judgements, names)
    fractions = fractions_of([structure.composition.reduced_formula for _, structure, _ in data])
    baseline = Baseline.fit(own, fractions, targets)
    write_json(baseline.document(), campaign.places(number).baseline)
    left = targets - baseline.formation_energies(own, fractions)
    seen = [judgements.approached(name).structure or structure for name, structure, _ in data]
    rows = [row for row in zip(names, seen, left.tolist(), strict=True) if np.isfinite(row[2])]
    return Differences(*(list(column) for column in zip(*rows, strict=True)))


def known_energies(judgements: Judgements, names: Sequence[str]) -> np.ndarray:
    """Energies that a baseline is fitted to, eV/atom, (n,): of starts after the first steps, of others as they are."""
    points = judgements.points(names)
    return np.array(
        [
            judgements.approached(name).energy if name.endswith(INITIAL) else point
            for name, point in zip(names, points.tolist(), strict=True)
        ]
    )


def baseline_of(campaign: Campaign, number: int) -> Baseline:
    """The baseline of a round whose training set has been built."""
    return Baseline.from_document(json.loads(campaign.places(number).baseline.read_text()))


def computed_before(campaign: Campaign, number: int, judgements: Judgements) -> list[tuple[str, Structure, float]]:
    """What the theory had relaxed before a round: key, crystal, and the potential's own energy of it, eV/atom.

    Args:
        campaign: whose.
        number: of the round.
        judgements: of the baseline's potential; what it has not computed yet, it computes now.
    """
    closed = campaign.store.rounds.get(campaign.name, number - 1)["closed"]
    data = campaign.store.learning.training_data(campaign.theory_id, campaign.settings.elements, closed, "none")
    judgements.compute_points((name, structure) for name, structure, _ in data)
    energies = judgements.points([name for name, *_ in data]).tolist()
    return [(name, structure, energy) for (name, structure, _), energy in zip(data, energies, strict=True)]
