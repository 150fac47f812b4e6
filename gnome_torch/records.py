"""Frozen dataclasses that pass between the stages of the loop.

Units everywhere: eV, eV/atom, angstrom, cubic angstrom. Nothing here imports torch, FireWorks or MongoDB.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pymatgen.core import Composition, Structure


def content_hash(content: Mapping[str, object]) -> str:
    """Key of a record: the first 24 hex digits of the SHA-256 of its canonical JSON."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:24]


def structure_key(structure: Structure) -> str:
    """Content hash of a crystal as it is written: cell and coordinates to 1e-5, species in their order.

    Two descriptions of one crystal (another cell, another order of sites) have different keys: this names a
    calculation's input, it does not compare crystals.
    """
    return content_hash(
        {
            # + 0.0 turns -0.0 into 0.0, which JSON would write differently
            "lattice": (structure.lattice.matrix.round(5) + 0.0).tolist(),
            "frac_coords": (structure.frac_coords.round(5) % 1.0 + 0.0).tolist(),
            "species": [site.species_string for site in structure],
        }
    )


@dataclass(frozen=True)
class Lineage:
    """Where a crystal comes from.

    Attributes:
        source: how it was made: "prototype", "element", "file", "substitution", "saps", "random" or "outside".
        parent_id: entry or prototype whose geometry it has; None for a crystal read from outside.
        substitution: human-readable replacement, for instance "Ca->Mg; Ti->Al".
        round: round of the campaign that proposed it; 0 for its first data.
        model_id: ensemble whose prediction selected it; None for first data.
    """

    source: str
    parent_id: str | None = None
    substitution: str = ""
    round: int = 0
    model_id: str | None = None


@dataclass(frozen=True)
class Candidate:
    """A crystal that has been proposed and not yet computed: its parent's geometry with other species.

    Attributes:
        id: content hash of parent, species and volume.
        parent_id: key of the parent crystal.
        species: element symbol on each site of the parent, in the parent's order.
        volume: reference volume of the cell, cubic angstrom.
        lineage: where it comes from.
        probability: substitution probability (between 0 and 1) that proposed it.
        contact: shortest distance at the reference volume, in units of the sum of the two covalent radii.
    """

    id: str
    parent_id: str
    species: tuple[str, ...]
    volume: float
    lineage: Lineage
    probability: float = 1.0
    contact: float = 1.0

    @property
    def reduced_formula(self) -> str:
        """As pymatgen writes it."""
        return Composition(self.counts).reduced_formula

    @property
    def counts(self) -> dict[str, int]:
        """Atoms of each element in the cell."""
        counts: dict[str, int] = {}
        for symbol in self.species:
            counts[symbol] = counts.get(symbol, 0) + 1
        return counts

    def structure(self, parent: Structure) -> Structure:
        """The crystal itself, at its reference volume.

        Args:
            parent: the crystal named by `parent_id`.
        """
        crystal = Structure(parent.lattice, list(self.species), parent.frac_coords)
        crystal.scale_lattice(self.volume)
        return crystal


@dataclass(frozen=True)
class Prediction:
    """What an ensemble says of one candidate.

    Attributes:
        candidate_id: the candidate.
        formation_energy: eV/atom: median over the members of the minimum over the volumes.
        iqr: inter-quartile range over the members, eV/atom.
        volume_scale: volume of the minimum as a fraction of the reference volume (median over the members).
    """

    candidate_id: str
    formation_energy: float
    iqr: float
    volume_scale: float


@dataclass(frozen=True, eq=False)
class Decorations:
    """Candidates with the geometry of one parent, as arrays: what the networks see of them.

    Attributes:
        parent: the crystal; its elements do not matter.
        numbers: atomic number on each of its sites, (n, n_sites).
        volumes: reference volume of the cell, cubic angstrom, (n,).
    """

    parent: Structure
    numbers: np.ndarray
    volumes: np.ndarray

    def __post_init__(self) -> None:
        name, n_sites = self.parent.formula, len(self.parent)
        if self.numbers.shape != (len(self.volumes), n_sites):
            raise ValueError(
                f"candidates of {name}: species {self.numbers.shape}, {len(self.volumes)} volumes, {n_sites} sites"
            )
        if not np.all(np.isfinite(self.volumes) & (self.volumes > 0)):
            raise ValueError(f"candidates of {name}: a volume that is not positive")

    def __len__(self) -> int:
        return len(self.volumes)


@dataclass(frozen=True, eq=False)
class Predictions:
    """What an ensemble says of many candidates, in their order.

    Attributes:
        energy: formation energy, eV/atom, (n,): median over the members of the minimum over the volumes.
        iqr: inter-quartile range over the members, eV/atom, (n,).
        volume_scale: volume of the minimum as a fraction of the reference volume (median over the members), (n,).
    """

    energy: np.ndarray
    iqr: np.ndarray
    volume_scale: np.ndarray


@dataclass(frozen=True)
class Relaxation:
    """Result of one relaxation.

    Attributes:
        structure: relaxed crystal.
        energy: total energy of the cell, eV, uncorrected.
        converged: whether forces and cell reached the tolerance.
        steps: ionic steps taken, when known.
        initial_energy: total energy of the cell before the first step, eV, uncorrected; None when unknown.
        parameters: `run_type` and `hubbards` of the calculation, which its corrections depend on; None when unknown.
        details: what else is worth keeping, as JSON: forces and stress at the end, magnetisation, pseudopotentials.
    """

    structure: Structure
    energy: float
    converged: bool
    steps: int | None = None
    initial_energy: float | None = None
    parameters: Mapping[str, Any] | None = None
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """One relaxed crystal with its energy at one theory.

    Attributes:
        id: content hash of what was computed (input crystal and theory), so that a repeated run has the same key.
        structure: relaxed crystal.
        energy: total energy of the cell, eV, uncorrected.
        correction: total correction of the cell, eV, added to `energy` before any hull.
        theory: key of the theory, which stands for all its settings; entries of different theories are never compared.
        lineage: where it comes from.
    """

    id: str
    structure: Structure
    energy: float
    correction: float
    theory: str
    lineage: Lineage = field(default_factory=lambda: Lineage("file"))

    @property
    def composition(self) -> Composition:
        """Of the cell."""
        return self.structure.composition

    @property
    def reduced_formula(self) -> str:
        """As pymatgen writes it."""
        return str(self.structure.composition.reduced_formula)

    @property
    def energy_per_atom(self) -> float:
        """Corrected energy, eV/atom."""
        return (self.energy + self.correction) / len(self.structure)

    def without_crystal(self) -> EntryEnergy:
        """What a hull needs of it."""
        n = len(self.structure)
        return EntryEnergy(self.id, self.reduced_formula, self.energy / n, self.correction / n, self.theory)


@dataclass(frozen=True)
class EntryEnergy:
    """What a hull needs of an entry: its energy without its crystal, which a known composition may not even have.

    Attributes:
        id: key of the entry.
        reduced_formula: of its composition.
        uncorrected: energy as it was calculated, eV/atom.
        correction: added to it before any hull, eV/atom.
        theory: key of the theory, which stands for all its settings.
    """

    id: str
    reduced_formula: str
    uncorrected: float
    correction: float
    theory: str

    @property
    def energy_per_atom(self) -> float:
        """Corrected energy, eV/atom."""
        return self.uncorrected + self.correction


@dataclass(frozen=True)
class KnownCrystal:
    """A computed crystal without its geometry: what is asked before one is read.

    Attributes:
        key: of its entry.
        formula: reduced.
        prototype: label of its prototype; None where no symmetry was found.
        e_above_hull: distance to the hull of its own theory, eV/atom.
    """

    key: str
    formula: str
    prototype: str | None
    e_above_hull: float


@dataclass(frozen=True)
class HullPoint:
    """Stability of one composition at one energy.

    Attributes:
        formation_energy: eV/atom, from the lowest entry of each element.
        e_above_hull: distance to the convex hull, eV/atom; 0 on the hull.
        phase_separation_energy: energy against the hull without any entry of this composition, eV/atom;
            negative for a stable compound. Of an element its formation energy (nothing is left to separate into).
        decomposition: entry id -> fraction of atoms, on the hull of all entries.
    """

    formation_energy: float
    e_above_hull: float
    phase_separation_energy: float
    decomposition: Mapping[str, float]
