"""Energies from outside: what every source of them gives, record after record and batch after batch.

A source is stopped and goes on at the position of the last batch that was kept. Broken records come as rejects, beside
the others.

| source | module |
|---|---|
| files: CSV, pymatgen JSON, extended XYZ, ASE databases | energy_files.py |
| GNoME's release: a CSV file and a zip of CIF files | gnome_release.py |
| the Materials Project | materials_project.py |
| OPTIMADE providers | optimade/ |
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from pymatgen.core import Element, Structure

from gnome_torch.data.kinds import EnergyKind
from gnome_torch.data.origins import Origin
from gnome_torch.data.rejects import Reject
from gnome_torch.stability.plausibility import no_crystal


class SourceError(RuntimeError):
    """A source that cannot be read, or not further; one line that says which, where and what to do."""


@dataclass(frozen=True)
class OutsideRecord:
    """One composition or crystal with its energy.

    Attributes:
        key: name in its source.
        formula: of the crystal, or as it is written.
        structure: the crystal; None where only the formula is known.
        energy_per_atom: eV/atom, as the source gives it.
        kind: what it is measured from.
        correction_per_atom: what the source adds before any hull, eV/atom.
        parameters: `run_type` and `hubbards` of the calculation, as pymatgen's entries have them, and `potentials`,
            the titles of VASP's; None if not known.
        file: file that it was read from; empty for a source that is none.
        place: line or number in it.
        licence: of this record, where it is another than its source's.
    """

    key: str
    formula: str
    structure: Structure | None
    energy_per_atom: float
    kind: EnergyKind
    correction_per_atom: float = 0.0
    parameters: Mapping[str, Any] | None = None
    file: str = ""
    place: str = ""
    licence: str = ""

    @property
    def functional(self) -> str:
        """Functional of the calculation, with or without U; empty where it is not known."""
        run_type = str((self.parameters or {}).get("run_type") or "").replace(" ", "").upper()
        return re.sub(r"^PBE(?=$|\+)", "GGA", run_type.replace("+U", ""))


Position = int | str
"""Where a source goes on: a JSON value, of whose meaning the source alone knows."""


class Step(NamedTuple):
    """One record of a source.

    Attributes:
        position: where the source goes on after it: what its `batches` takes.
        done: share of the source that has been read; None when its end is not known.
        item: the record, or why it cannot be used.
    """

    position: Position
    done: float | None
    item: OutsideRecord | Reject


@dataclass(frozen=True)
class Batch:
    """Some records of a source, in its order; position and share as of the last of them; what the source warns of."""

    items: Sequence[OutsideRecord | Reject]
    position: Position | None
    done: float | None
    warnings: tuple[str, ...] = ()


class Source(Protocol):
    """Somewhere that energies come from."""

    @property
    def name(self) -> str:
        """Short, for records and messages."""

    @property
    def identity(self) -> Mapping[str, object]:
        """What makes two readings the same: JSON values; positions belong to one identity."""

    @property
    def origin(self) -> Origin:
        """Who has published it, and under which licence; may ask a server."""

    @property
    def corrected(self) -> bool:
        """Whether its energies hold MP2020 already, or come with it."""

    @property
    def potentials(self) -> str:
        """Release of VASP's potentials that it was computed with, such as PBE_54; empty where it is not known."""

    @property
    def unique_keys(self) -> bool:
        """Whether a key names one record for ever, so that a record of the same key replaces an older one."""

    @property
    def unchanging(self) -> bool:
        """Whether the same identity means the same records, so that it need not be read twice."""

    def batches(self, position: Position | None = None) -> Iterator[Batch]:
        """What comes after a position, from the beginning for None.

        Raises:
            SourceError: it cannot be read (further); everything before has been given.
        """


def in_batches(steps: Iterable[Step], size: int = 200) -> Iterator[Batch]:
    """Steps put together; what was read before an error comes before the error."""
    items: list[OutsideRecord | Reject] = []
    last: Step | None = None
    try:
        for last in steps:
            items.append(last.item)
            if len(items) == size:
                yield Batch(items, last.position, last.done)
                items = []
    except SourceError:
        if items and last is not None:
            yield Batch(items, last.position, last.done)
        raise
    if items and last is not None:
        yield Batch(items, last.position, last.done)


def crystal_record(
    key: str,
    structure: Structure,
    energy: float,
    kind: EnergyKind,
    correction: float = 0.0,
    parameters: Mapping[str, Any] | None = None,
) -> OutsideRecord:
    """The record of an ordered crystal; energy and correction in eV/atom.

    Raises:
        ValueError: it is disordered, empty or no crystal (an atom or a molecule in a box), holds something that is not
            an element, or the energy is not finite.
    """
    if not structure.is_ordered:
        raise ValueError("partly occupied sites")
    if len(structure) == 0 or not structure.volume > 0:
        raise ValueError("no crystal: it has no sites or no volume")
    if not math.isfinite(energy + correction):
        raise ValueError(f"its energy is {energy + correction}")
    if problem := no_crystal(structure):
        raise ValueError(problem)
    plain = structure.copy().remove_oxidation_states()
    strange = sorted({str(site.specie) for site in plain if not isinstance(site.specie, Element)})
    if strange:
        raise ValueError(f"{strange[0]} is not an element")
    return OutsideRecord(key, plain.reduced_formula, plain, energy, kind, correction, parameters)


def found_at(item: OutsideRecord | Reject, file: str, place: str) -> OutsideRecord | Reject:
    """A record that knows where it was found."""
    return replace(item, file=file, place=place) if isinstance(item, OutsideRecord) else item


def one_line(error: BaseException) -> str:
    """An error's message without line breaks; a missing key is said to be missing."""
    if isinstance(error, KeyError):
        return f"a part of it is missing: {error}"
    if isinstance(error, IndexError | AttributeError | TypeError | AssertionError):  # words about Python's own objects
        return "a part of it is missing, or is something else than it should be"
    if isinstance(error, MemoryError):
        return "it announces more than this machine can hold: it is torn, or something else than its name says"
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]}…"


def number_of(text: str) -> float | None:
    """A finite number, None for any other text."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
