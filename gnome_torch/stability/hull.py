"""The convex hull of formation energies: what is stable, and into what the rest decomposes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Composition
from scipy.optimize import linprog

from gnome_torch.records import Entry, HullPoint, content_hash

# eV/atom; distance below which an entry counts as on the hull (google-deepmind/materials_discovery)
STABLE_TOLERANCE = 5e-5


class MixedTheoryError(ValueError):
    """Entries of different levels of theory were put together."""


class MissingReferenceError(ValueError):
    """An element has no entry of its own, so formation energies are undefined."""


def one_theory(entries: Iterable[Entry]) -> str | None:
    """The theory that all entries share, None for no entries.

    Raises:
        MixedTheoryError: there is more than one; the message names two.
    """
    theories = sorted({entry.theory for entry in entries})
    if len(theories) > 1:
        raise MixedTheoryError(
            f"energies of {theories[0]} and {theories[1]} cannot share a hull or a training set: "
            "select entries of one theory"
        )
    return theories[0] if theories else None


@dataclass(frozen=True)
class _Phase:
    """Lowest entry of one composition."""

    entry_id: str
    formula: str
    fractions: dict[str, float]
    formation_energy: float  # eV/atom


class Hull:
    """Lower convex hull of all entries of one theory.

    The energy of the hull at a composition is a linear program: amounts of phases that add up to the composition at
    the lowest energy, solved by HiGHS (scipy).

    Args:
        entries: at least one entry of every element that occurs.

    Raises:
        MixedTheoryError: entries of several theories.
        MissingReferenceError: an element without an entry of its own; the message names them all.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        entries = list(entries)
        self.theory = one_theory(entries)
        self.references = _references(entries)
        lowest: dict[str, _Phase] = {}
        for entry in entries:
            phase = _Phase(
                entry.id,
                entry.reduced_formula,
                _fractions(entry.composition),
                self.formation_energy(entry.composition, entry.energy_per_atom),
            )
            best = lowest.get(phase.formula)
            if best is None or (phase.formation_energy, phase.entry_id) < (best.formation_energy, best.entry_id):
                lowest[phase.formula] = phase
        # a compound above its elements never takes part in a decomposition
        self._phases = [p for p in lowest.values() if p.formation_energy <= 0.0 or len(p.fractions) == 1]
        self._cache: dict[str, float] = {}

    @property
    def elements(self) -> frozenset[str]:
        """Elements that have a reference."""
        return frozenset(self.references)

    def fingerprint(self) -> str:
        """Content hash of everything that fixes the hull's energies."""
        phases = {phase.formula: round(phase.formation_energy, 9) for phase in self._phases}
        return content_hash({"theory": self.theory, "phases": phases})

    def formation_energy(self, composition: Composition, energy_per_atom: float) -> float:
        """Formation energy, eV/atom, from a corrected energy, eV/atom.

        Raises:
            MissingReferenceError: the composition holds an element without reference.
        """
        fractions = _fractions(composition)
        _check_references(fractions, self.references)
        return energy_per_atom - sum(x * self.references[symbol] for symbol, x in fractions.items())

    def energy(self, composition: Composition) -> float:
        """Energy of the hull at a composition, eV/atom (formation energy)."""
        formula = composition.reduced_formula
        if formula not in self._cache:
            self._cache[formula] = self._decompose(_fractions(composition))[0]
        return self._cache[formula]

    def point(self, entry: Entry) -> HullPoint:
        """Where one entry stands; the entry may be one of the hull's own or a new one."""
        if self.theory is not None:
            one_theory([entry, Entry("", entry.structure, 0.0, 0.0, self.theory)])
        fractions = _fractions(entry.composition)
        formation_energy = self.formation_energy(entry.composition, entry.energy_per_atom)
        hull_energy, decomposition = self._decompose(fractions)
        separation = None
        if len(fractions) > 1:
            separation = formation_energy - self._decompose(fractions, without=entry.reduced_formula)[0]
        distance = formation_energy - hull_energy
        return HullPoint(
            formation_energy, max(distance, 0.0) if abs(distance) < 1e-7 else distance, separation, decomposition
        )

    def _decompose(self, fractions: Mapping[str, float], without: str | None = None) -> tuple[float, dict[str, float]]:
        """Lowest energy (eV/atom) at a composition, and the fraction of atoms in each phase."""
        _check_references(fractions, self.references)
        symbols = sorted(fractions)
        phases = [p for p in self._phases if p.formula != without and p.fractions.keys() <= fractions.keys()]
        conservation = np.array([[phase.fractions.get(symbol, 0.0) for phase in phases] for symbol in symbols])
        energies = np.array([phase.formation_energy for phase in phases])
        result = linprog(energies, A_eq=conservation, b_eq=[fractions[s] for s in symbols], method="highs")
        if not result.success:
            raise RuntimeError(f"hull at {dict(fractions)}: the linear program failed: {result.message}")
        amounts = {p.entry_id: float(x) for p, x in zip(phases, result.x, strict=True) if x > 1e-8}
        return float(result.fun), amounts


def _fractions(composition: Composition) -> dict[str, float]:
    total = composition.num_atoms
    return {element.symbol: amount / total for element, amount in composition.items()}


def _references(entries: Iterable[Entry]) -> dict[str, float]:
    """Energy of the lowest entry of each element, eV/atom."""
    references: dict[str, float] = {}
    needed: set[str] = set()
    for entry in entries:
        symbols = {element.symbol for element in entry.composition}
        needed |= symbols
        if len(symbols) == 1:
            symbol = symbols.pop()
            references[symbol] = min(references.get(symbol, np.inf), entry.energy_per_atom)
    _check_references(needed, references)
    return references


def _check_references(symbols: Iterable[str], references: Mapping[str, float]) -> None:
    missing = sorted(set(symbols) - references.keys())
    if missing:
        raise MissingReferenceError(
            f"no entry of the pure element {', '.join(missing)}: add one of the same theory before computing a hull"
        )
