"""The convex hull of formation energies: what is stable, and into what the rest decomposes.

Nothing is computed when the hull is made: entries become rows of arrays, found by the set of their elements. A question
about a composition is a linear program over the phases within its elements (`programs.solve`), thousands at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from pymatgen.core import Composition, Element

from gnome_torch.records import HullPoint, content_hash
from gnome_torch.stability.formulas import (
    N_NUMBERS,
    amounts_of,
    composition_keys,
    elements_of,
    fractions_of,
    numbers_of,
    symbols_of,
)
from gnome_torch.stability.programs import solve

# eV/atom; distance below which an entry counts as on the hull (google-deepmind/materials_discovery)
STABLE_TOLERANCE = 5e-5

_ROWS_AT_ONCE = 2_000_000
"""Phases of all programs solved together, at most: what bounds the memory of a question."""

_MANY_ELEMENTS = 12
"""From here on all systems are looked through instead of all subsets of the elements."""


class Computed(Protocol):
    """What has a place on a hull: an `Entry`, or an `EntryEnergy`."""

    @property
    def id(self) -> str:
        """By which it is named in decompositions."""

    @property
    def reduced_formula(self) -> str:
        """As pymatgen writes it."""

    @property
    def energy_per_atom(self) -> float:
        """Corrected, eV/atom."""

    @property
    def theory(self) -> str:
        """Level of theory; those of a hull share one."""


class MixedTheoryError(ValueError):
    """Entries of different levels of theory were put together."""


class MissingReferenceError(ValueError):
    """An element has no entry of its own, so formation energies are undefined."""


def one_theory(entries: Iterable[Computed]) -> str | None:
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


def against_zero(formula: str, energy: float) -> str | None:
    """Why an energy, eV/atom, cannot be a formation energy of this formula: an element's is never below 0.

    None where nothing speaks against it.

    Raises:
        FormulaError: a text that is no formula.
    """
    if not energy < -STABLE_TOLERANCE or len({z for z, _ in amounts_of(formula)}) > 1:
        return None
    return (
        f"{formula} at {energy:g} eV/atom: formation energies are measured from the elements, so none of an element is "
        "below 0; leave it out, or give total energies as such"
    )


@dataclass(frozen=True, eq=False)
class Decompositions:
    """What the hull says of n compositions.

    Attributes:
        energy: of the hull, eV/atom of formation, (n,).
        energy_without: of the hull without any entry of the composition itself, (n,); 0 for an element, which has
            nothing to separate into (pymatgen's convention).
        own: phase of the same composition, (n,); -1 for none.
        phases: phases that the composition decomposes into without its own, (n, k); -1 where there are fewer.
        amounts: their parts of the atoms, (n, k).
    """

    energy: np.ndarray
    energy_without: np.ndarray
    own: np.ndarray
    phases: np.ndarray
    amounts: np.ndarray


class Hull:
    """Lower convex hull of all entries of one theory, exact at every composition.

    Of each composition only the lowest entry matters, and of compounds only those below their elements.

    Example:
        hull = Hull.of_formation_energies(["MgO", "Al2O3"], [-3.0, -3.4])
        hull.energies(["MgAl2O4", "Mg2Al"])   # eV/atom, also where no entry has these elements
        hull.decompositions(["MgAl2O4"])
    """

    def __init__(self, entries: Iterable[Computed]) -> None:
        """Take entries of one theory.

        Args:
            entries: at least one entry of every element that occurs; none for an empty hull.

        Raises:
            MixedTheoryError: entries of several theories.
            MissingReferenceError: an element without an entry of its own; the message names them all.
        """
        entries = list(entries)
        self.theory = one_theory(entries)
        self._reset()
        self._add(
            fractions_of(entry.reduced_formula for entry in entries),
            np.array([entry.energy_per_atom for entry in entries], dtype=float),
            [entry.id for entry in entries],
        )

    @classmethod
    def of_formation_energies(
        cls, formulas: Sequence[str], energies: Sequence[float] | np.ndarray, ids: Sequence[str] | None = None
    ) -> Hull:
        """A hull of formulas with formation energies. Every element has its reference at 0, whatever is listed.

        An element listed above 0 is a phase above its reference.

        Args:
            formulas: at least one.
            energies: eV/atom of formation, (n,).
            ids: name of each entry; by default its formula.

        Raises:
            FormulaError: a text that is no formula.
            ValueError: other lengths, an energy that is not finite, or an element below 0.
        """
        fractions, names = fractions_of(formulas), list(formulas if ids is None else ids)
        values = np.array(energies, dtype=float)
        if not len(fractions) == len(values) == len(names):
            raise ValueError(
                f"{len(fractions)} formulas, {len(values)} energies and {len(names)} ids: give one of each"
            )
        present = fractions > 0
        alone = present.sum(axis=1) == 1
        for row in np.flatnonzero(alone & (values < 0)).tolist():
            if problem := against_zero(formulas[row], values[row]):
                raise ValueError(problem)
            values[row] = 0.0  # rounded
        at_zero = present[alone & (values == 0)].any(axis=0)
        absent = np.flatnonzero(present.any(axis=0) & ~at_zero).tolist()
        rows = [np.eye(N_NUMBERS)[z] for z in absent]
        names += [Element.from_Z(z).symbol for z in absent]
        hull = cls([])
        hull._add(np.vstack([fractions, *rows]), np.concatenate([values, np.zeros(len(rows))]), names)
        return hull

    def _reset(self) -> None:
        self._room = np.zeros((0, N_NUMBERS))  # fractions of the phases, and of those to come
        self._fractions = self._room  # of each phase
        self._energy = np.zeros(0)  # eV/atom, as given
        self._formation = np.zeros(0)  # eV/atom
        self._ids: list[str] = []
        self._at: dict[tuple[int, int], int] = {}  # composition -> phase
        self._within: dict[int, list[int]] = {}  # elements -> compounds that have just these
        self._reference = np.full(N_NUMBERS, np.nan)  # eV/atom
        self._element = np.full(N_NUMBERS, -1)  # phase of each element
        self._candidates: dict[int, np.ndarray] = {}

    def add(self, entries: Iterable[Computed]) -> None:
        """Add entries of the same theory; only what they touch is renewed.

        Raises:
            MixedTheoryError: another theory.
            MissingReferenceError: an element that neither the hull nor the entries have on its own; nothing is added.
            ValueError: an energy that is not finite.
        """
        entries = list(entries)
        if not entries:
            return
        theory = one_theory(entries)
        if self.theory is not None and theory != self.theory:
            raise MixedTheoryError(
                f"energies of {theory} cannot enter a hull of {self.theory}: select entries of one theory"
            )
        self._add(
            fractions_of(entry.reduced_formula for entry in entries),
            np.array([entry.energy_per_atom for entry in entries], dtype=float),
            [entry.id for entry in entries],
        )
        self.theory = theory

    def _add(self, fractions: np.ndarray, energies: np.ndarray, ids: Sequence[str]) -> None:
        bad = [name for name, finite in zip(ids, np.isfinite(energies), strict=True) if not finite]
        if bad:
            raise ValueError(f"entries whose energies are not finite: {', '.join(bad[:5])}; leave them out")
        alone = (fractions > 0).sum(axis=1) == 1
        known = ~np.isnan(self._reference) | (fractions[alone] > 0).any(axis=0)
        _check_references((fractions > 0).any(axis=0) & ~known)

        new = self._merge(fractions, energies, ids)
        first = len(self._ids)
        self._ids.extend(ids[row] for row in new)
        self._grow(fractions[new])
        self._energy = np.concatenate([self._energy, energies[new]])
        self._formation = np.concatenate([self._formation, np.full(len(new), np.nan)])
        for phase, elements in enumerate(elements_of(fractions[new]), start=first):
            if elements.bit_count() > 1:
                self._within.setdefault(elements, []).append(phase)
            else:
                self._element[elements.bit_length() - 1] = phase
        self._settle()

    def _merge(self, fractions: np.ndarray, energies: np.ndarray, ids: Sequence[str]) -> list[int]:
        """Lower the phases that are there to the new energies; returns the rows whose compositions are new.

        Of each composition the lowest counts, of equals the first id.
        """
        keys = composition_keys(fractions)
        ranks = np.argsort(np.argsort(np.array(ids, dtype=object), kind="stable"), kind="stable")
        taken: list[int] = []
        seen: set[tuple[int, int]] = set()
        for row in np.lexsort((ranks, energies)).tolist():
            if keys[row] not in seen:
                seen.add(keys[row])
                taken.append(row)
        taken.sort()
        new: list[int] = []
        for row in taken:
            phase = self._at.get(keys[row])
            if phase is None:
                self._at[keys[row]] = len(self._ids) + len(new)
                new.append(row)
            elif (energies[row], ids[row]) < (self._energy[phase], self._ids[phase]):
                self._energy[phase] = energies[row]
                self._ids[phase] = ids[row]
                self._formation[phase] = np.nan
        return new

    def _settle(self) -> None:
        """Bring references and formation energies up to date, and forget what was worked out of those that change."""
        there = np.flatnonzero(self._element >= 0)
        references = self._reference.copy()
        references[there] = self._energy[self._element[there]]
        changed = np.flatnonzero((references != self._reference) & ~np.isnan(references))
        self._reference = references
        stale = np.isnan(self._formation) | (self._fractions[:, changed] > 0).any(axis=1)
        baseline = self._fractions[stale] @ np.nan_to_num(references)
        self._formation[stale] = self._energy[stale] - baseline
        touched = set(elements_of(self._fractions[stale]))
        for elements in list(self._candidates):
            if any(some & ~elements == 0 for some in touched):
                del self._candidates[elements]

    def _grow(self, fractions: np.ndarray) -> None:
        """Add rows of phases; the rows that are there are copied now and then only."""
        n = len(self._fractions) + len(fractions)
        if n > len(self._room):
            # the first ones as many as they are; entries that come one by one find room
            room = np.zeros((n if len(self._room) == 0 else n + n // 2, N_NUMBERS))
            room[: len(self._fractions)] = self._fractions
            self._room = room
        self._room[len(self._fractions) : n] = fractions
        self._fractions = self._room[:n]

    def __len__(self) -> int:
        """Compositions that have an entry."""
        return len(self._ids)

    @property
    def elements(self) -> frozenset[str]:
        """Elements that have a reference."""
        return frozenset(Element.from_Z(z).symbol for z in np.flatnonzero(self._element >= 0).tolist())

    @property
    def references(self) -> dict[str, float]:
        """Energy of the lowest entry of each element, eV/atom."""
        return {
            Element.from_Z(z).symbol: float(self._reference[z]) for z in np.flatnonzero(self._element >= 0).tolist()
        }

    def id_of(self, phase: int) -> str:
        """Entry of a phase of `Decompositions`: the lowest of its composition."""
        return self._ids[phase]

    def formula_of(self, phase: int) -> str:
        """Reduced formula of a phase."""
        row = self._fractions[phase]
        amounts = {Element.from_Z(z).symbol: float(row[z]) for z in np.flatnonzero(row).tolist()}
        return str(
            Composition(Composition(amounts).get_integer_formula_and_factor(max_denominator=1000)[0]).reduced_formula
        )

    def fingerprint(self) -> str:
        """Content hash of everything that fixes the hull's energies."""
        rows = sorted(
            (key, round(float(e), 9)) for key, e in zip(self._at, self._formation[list(self._at.values())], strict=True)
        )
        return content_hash({"theory": self.theory, "phases": [[*key, energy] for key, energy in rows]})

    def formation_energy(self, composition: Composition, energy_per_atom: float) -> float:
        """Formation energy, eV/atom, from a corrected energy, eV/atom.

        Raises:
            MissingReferenceError: the composition holds an element without reference.
        """
        return float(self.formation_energies(_fractions([composition]), np.array([energy_per_atom]))[0])

    def formation_energies(self, fractions: np.ndarray, energies: np.ndarray) -> np.ndarray:
        """Formation energies, eV/atom, (n,), from corrected energies.

        Args:
            fractions: of the atoms, by atomic number, (n, 119).
            energies: eV/atom, (n,).

        Raises:
            MissingReferenceError: an element without reference.
        """
        _check_references((fractions > 0).any(axis=0) & np.isnan(self._reference))
        return np.asarray(energies - fractions @ np.nan_to_num(self._reference))

    def energies(self, formulas: Sequence[str]) -> np.ndarray:
        """Energy of the hull at compositions, eV/atom of formation, (n,).

        Raises:
            FormulaError: a text that is no formula.
            MissingReferenceError: an element without reference.
        """
        return self.decompositions(formulas).energy

    def energy(self, composition: Composition) -> float:
        """Energy of the hull at a composition, eV/atom of formation."""
        return float(self.decompositions(_fractions([composition])).energy[0])

    def points(self, entries: Iterable[Computed]) -> list[HullPoint]:
        """Where entries stand; they may be the hull's own or new ones.

        Raises:
            MixedTheoryError: an entry of another theory.
            MissingReferenceError: an element without reference.
        """
        entries = list(entries)
        theory = one_theory(entries)
        if entries and self.theory is not None and theory != self.theory:
            raise MixedTheoryError(f"an entry of {theory} has no place on a hull of {self.theory}")
        fractions = fractions_of(entry.reduced_formula for entry in entries)
        energies = np.array([entry.energy_per_atom for entry in entries], dtype=float)
        formation = self.formation_energies(fractions, energies)
        found = self.decompositions(fractions)
        points = []
        for row, energy in enumerate(formation.tolist()):
            distance, without = energy - float(found.energy[row]), float(found.energy_without[row])
            points.append(
                HullPoint(
                    formation_energy=energy,
                    e_above_hull=max(distance, 0.0) if abs(distance) < 1e-9 else distance,
                    phase_separation_energy=energy - without,
                    decomposition={self._ids[phase]: amount for phase, amount in self.decomposition(found, row)},
                )
            )
        return points

    def point(self, entry: Computed) -> HullPoint:
        """Where one entry stands."""
        return self.points([entry])[0]

    def lowest_energies(self, found: Decompositions) -> np.ndarray:
        """Formation energy of the lowest entry of each composition, eV/atom, (n,); nan where there is none."""
        lowest = np.full(len(found.own), np.nan)
        lowest[found.own >= 0] = self._formation[found.own[found.own >= 0]]
        return lowest

    def missing_elements(self, formula: str) -> list[str]:
        """Elements of a formula that have no reference."""
        return [Element.from_Z(z).symbol for z, _ in amounts_of(formula) if self._element[z] < 0]

    def decomposition(self, found: Decompositions, row: int) -> list[tuple[int, float]]:
        """Phases on the hull of all entries that a composition consists of, with their parts of the atoms."""
        own = int(found.own[row])
        if own >= 0 and not found.energy[row] < self._formation[own]:
            return [(own, 1.0)]
        return self.separation(found, row)

    def separation(self, found: Decompositions, row: int) -> list[tuple[int, float]]:
        """The same without the entries of the composition itself."""
        pairs = zip(found.phases[row].tolist(), found.amounts[row].tolist(), strict=True)
        return sorted(((phase, amount) for phase, amount in pairs if amount > 1e-8), key=lambda pair: -pair[1])

    def decompositions(self, compositions: Sequence[str] | np.ndarray) -> Decompositions:
        """What the hull says of compositions, whether its entries have their elements together or not.

        Args:
            compositions: formulas, (n,), or fractions of the atoms by atomic number, (n, 119).

        Raises:
            FormulaError: a text that is no formula.
            MissingReferenceError: an element without reference; the message names them all.
        """
        fractions = compositions if isinstance(compositions, np.ndarray) else fractions_of(compositions)
        _check_references((fractions > 0).any(axis=0) & np.isnan(self._reference))
        keys = composition_keys(fractions)
        place: dict[tuple[int, int], int] = {}
        for row, key in enumerate(keys):
            place.setdefault(key, row)
        rows = np.array(list(place.values()), dtype=np.int64)
        number = {key: i for i, key in enumerate(place)}
        every = np.array([number[key] for key in keys], dtype=np.int64)
        found = self._decompositions(fractions[rows], list(place))
        return Decompositions(
            *(getattr(found, name)[every] for name in ("energy", "energy_without", "own", "phases", "amounts"))
        )

    def _decompositions(self, fractions: np.ndarray, keys: list[tuple[int, int]]) -> Decompositions:
        """Of different compositions."""
        n = len(fractions)
        width = int((fractions > 0).sum(axis=1).max(initial=1))
        own = np.array([self._at.get(key, -1) for key in keys], dtype=np.int64)
        phases, amounts = np.full((n, width), -1), np.zeros((n, width))
        without = np.full(n, np.nan)
        systems = elements_of(fractions)
        for rows in self._batches(systems):
            d = systems[rows[0]].bit_count()
            candidates = [self._phases_within(systems[row]) for row in rows]
            longest = max(map(len, candidates))
            a, c = np.zeros((len(rows), longest, d)), np.full((len(rows), longest), np.inf)
            x = np.empty((len(rows), d))
            index = np.full((len(rows), longest), -1)
            for i, (row, some) in enumerate(zip(rows, candidates, strict=True)):
                numbers = numbers_of(systems[row])
                a[i, : len(some)] = self._fractions[some[:, None], numbers]
                c[i, : len(some)] = self._formation[some]
                c[i, :d] = 0.0  # exactly
                x[i] = fractions[row, numbers]
                index[i, : len(some)] = some
            c[(index == own[rows][:, None]) & (index >= 0)] = np.inf  # the composition's own entries leave
            solved = solve(a, c, x)
            without[rows] = solved.energy
            phases[rows, :d] = np.take_along_axis(index, solved.phases, axis=1)
            amounts[rows, :d] = solved.amounts
        energy = without.copy()
        alone = np.flatnonzero(np.isnan(without))  # elements: the hull is at their reference
        energy[alone], phases[alone, 0], amounts[alone, 0] = 0.0, own[alone], 1.0
        without[alone] = 0.0
        has_own = own >= 0
        energy[has_own] = np.minimum(energy[has_own], self._formation[own[has_own]])
        return Decompositions(energy, without, own, phases, amounts)

    def _batches(self, systems: list[int]) -> Iterator[np.ndarray]:
        """Rows of compounds with as many elements and about as many phases."""
        sizes = np.array([len(self._phases_within(s)) if s.bit_count() > 1 else 0 for s in systems], dtype=np.int64)
        d = np.array([s.bit_count() for s in systems], dtype=np.int64)
        order = np.lexsort((sizes, d))
        order = order[d[order] > 1]
        start = 0
        while start < len(order):
            first = order[start]
            stop = start + 1
            # programs are padded to the longest: stop where that would waste half, or the memory is full
            while (
                stop < len(order)
                and d[order[stop]] == d[first]
                and sizes[order[stop]] <= 2 * sizes[first] + 16
                and (stop + 1 - start) * sizes[order[stop]] * d[first] <= _ROWS_AT_ONCE
            ):
                stop += 1
            yield order[start:stop]
            start = stop

    def _phases_within(self, elements: int) -> np.ndarray:
        """Phases that compounds of these elements can decompose into, the elements first."""
        found = self._candidates.get(elements)
        if found is None:
            inside = [phase for system in self._systems_within(elements) for phase in self._within[system]]
            compounds = np.array(inside, dtype=np.int64)
            # a compound above its elements never takes part in a decomposition
            compounds = compounds[self._formation[compounds] <= 0.0]
            found = np.concatenate([self._element[numbers_of(elements)], compounds])
            if len(self._candidates) > 200_000:
                self._candidates.clear()
            self._candidates[elements] = found
        return found

    def _systems_within(self, elements: int) -> Iterator[int]:
        """Systems of compounds within some elements."""
        if elements.bit_count() > _MANY_ELEMENTS:
            yield from (system for system in self._within if system & ~elements == 0)
            return
        subset = elements
        while subset:
            if subset in self._within:
                yield subset
            subset = (subset - 1) & elements


def _fractions(compositions: Sequence[Composition]) -> np.ndarray:
    """Fractions of the atoms by atomic number, (n, 119)."""
    fractions = np.zeros((len(compositions), N_NUMBERS))
    for row, composition in enumerate(compositions):
        for symbol, amount in composition.get_el_amt_dict().items():
            fractions[row, Element(symbol).Z] = amount
    return fractions / fractions.sum(axis=1, keepdims=True)


def _check_references(missing: np.ndarray) -> None:
    """Refuse elements without an entry of their own, given as (119,) bool."""
    if missing.any():
        symbols = symbols_of(sum(1 << z for z in np.flatnonzero(missing).tolist()))
        raise MissingReferenceError(
            f"no entry of the pure element {', '.join(sorted(symbols))}: "
            "add one of the same theory before computing a hull"
        )
