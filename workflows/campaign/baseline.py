"""The baseline of a campaign: what its potential says of crystals, computed once and kept in files.

baseline/THEORY/*.parquet    energies by name: candidates by their key, entries by theirs (and `KEY:initial`)
round-N/baseline.json        how they become formation energies for round N
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pymatgen.core import Structure

from gnome_torch.baseline import SCALES, Baseline, lowest_of_volumes
from gnome_torch.candidates.tables.shards import write_json, write_table
from gnome_torch.stability.formulas import fractions_of
from workflows.campaign.campaign import Campaign
from workflows.ground.continuation import Stopped, StopRequested, never
from workflows.relax import Theory

AT_ONCE = 256
"""Crystals computed between two saves: seconds."""

DIGITS = 6
"""Of an energy, eV/atom: what a potential says of one crystal in another batch differs beyond them."""


class Energies:
    """Energies of a potential, eV/atom at the best of `SCALES`, by the names of the crystals; they are kept on disk."""

    def __init__(self, theory: Theory, directory: Path) -> None:
        """Read what is there.

        Args:
            theory: the potential.
            directory: where its energies are.
        """
        self._theory, self._directory = theory, directory
        self._known: dict[str, float] = {}
        for path in sorted(directory.glob("*.parquet")):
            table = pq.read_table(path)
            self._known.update(zip(table["id"].to_pylist(), table["energy"].to_pylist(), strict=True))

    def of(self, names: Sequence[str]) -> np.ndarray:
        """Energies of crystals that have been computed, (n,); nan for one that could not be, or has not been."""
        return np.array([self._known.get(name, np.nan) for name in names], dtype=float)

    def compute(self, crystals: Iterable[tuple[str, Structure]], stopped: Stopped = never) -> int:
        """Compute those that are not there yet, and keep each part as it is done; how many were computed.

        Args:
            crystals: name and crystal of each, read one part at a time.
            stopped: looked at after each part.

        Raises:
            StopRequested: a signal has asked to stop; what was computed before is kept.
        """
        todo = ((name, structure) for name, structure in crystals if name not in self._known)
        done = 0
        while part := list(islice(todo, AT_ONCE)):
            self._compute_part(part)
            done += len(part)
            if stopped():
                raise StopRequested(f"crystal {part[-1][0]}")
        return done

    def _compute_part(self, part: Sequence[tuple[str, Structure]]) -> None:
        names = [name for name, _ in part]
        scaled = [_scaled(structure, scale) for _, structure in part for scale in SCALES]
        energies = self._theory.energies(scaled).reshape(len(part), len(SCALES))
        lowest = lowest_of_volumes(energies).round(DIGITS)
        digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:24]
        table = pa.table({"id": names, "energy": pa.array(lowest, pa.float64())})
        write_table(table, self._directory / f"{digest}.parquet")
        self._known.update(zip(names, lowest.tolist(), strict=True))


def _scaled(structure: Structure, scale: float) -> Structure:
    copy = structure.copy()
    copy.scale_lattice(structure.volume * scale)
    return copy


def energies_of(campaign: Campaign) -> Energies:
    """What the campaign's baseline has computed.

    Raises:
        SettingsError: its potential is not installed.
    """
    theory = campaign.baseline_theory
    return Energies(theory, campaign.settings.root / "baseline" / theory.id)


def fit_baseline(
    campaign: Campaign, number: int, names: Sequence[str], structures: Sequence[Structure], targets: Sequence[float]
) -> tuple[Baseline, np.ndarray]:
    """Fit the baseline of a round, write it down, and say what it leaves to the networks.

    Args:
        campaign: whose.
        number: of the round.
        names: of the crystals, n.
        structures: n of them.
        targets: their formation energies at the campaign's theory, eV/atom, (n,).

    Returns:
        The baseline, and the differences, eV/atom, (n,); nan for a crystal that its potential cannot compute.
    """
    energies = energies_of(campaign)
    energies.compute(zip(names, structures, strict=True))
    own = energies.of(names)
    fractions = fractions_of([structure.composition.formula.replace(" ", "") for structure in structures])
    wanted = np.asarray(targets, dtype=float)
    baseline = Baseline.fit(own, fractions, wanted)
    write_json(baseline.document(), campaign.places(number).baseline)
    return baseline, wanted - baseline.formation_energies(own, fractions)


def baseline_of(campaign: Campaign, number: int) -> Baseline:
    """The baseline of a round whose training set has been built."""
    return Baseline.from_document(json.loads(campaign.places(number).baseline.read_text()))


def formation_energies(baseline: Baseline, energies: Energies, names: Sequence[str], formulas: pa.Array) -> np.ndarray:
    """What a baseline says of crystals, eV/atom, (n,); nan where its potential could not compute one.

    Args:
        baseline: of the round.
        energies: of its potential.
        names: of the crystals, n.
        formulas: of the crystals, n.
    """
    encoded = formulas.dictionary_encode()
    fractions = fractions_of(encoded.dictionary.to_pylist())[encoded.indices.to_numpy(zero_copy_only=False)]
    return baseline.formation_energies(energies.of(names), fractions)
