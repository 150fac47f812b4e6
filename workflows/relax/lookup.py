"""Relaxations that are answered from a table of known results: closed worlds, and everything but the computing itself.

The table is Parquet, a row a result:

    key             of the crystal that goes in (`gnome_torch.records.structure_key`), or its reduced formula
    energy          eV/atom, uncorrected; null for a relaxation that fails
    initial_energy  of the crystal that goes in, eV/atom, uncorrected; null or no such column: not known
    structure       the relaxed crystal, as JSON (pymatgen's `to_json`); null or no such column: as it goes in
    failure         why it fails; null or no such column for all others
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from jobflow import job
from pydantic import Field, field_validator
from pymatgen.core import Element, Structure

from gnome_torch.records import Relaxation, structure_key
from gnome_torch.stability.corrections import CorrectionScheme
from workflows.ground.strict import SettingsError
from workflows.relax.base import Theory, TheoryBase


class LookupTheory(TheoryBase):
    """Known results in the place of a calculation."""

    name: Literal["lookup"] = "lookup"
    table: str = Field(description="Parquet file of the results; on a cluster on a shared file system")
    by: Literal["structure", "formula"] = Field("structure", description="what a crystal is looked up by")
    elements: tuple[str, ...] = Field((), description="that the table knows; empty: whatever is in it")
    corrections: Literal["none", "MP2020"] = Field("none", description="those its energies still need before a hull")
    cost_s: float = Field(
        0.0, ge=0, description="what each call is charged with, seconds; written down, not waited for"
    )
    operational = frozenset({"table", "elements", "cost_s"})
    at_once = True

    @field_validator("table")
    @classmethod
    def _absolute(cls, value: str) -> str:
        path = Path(value).expanduser()
        if not path.is_absolute():
            raise ValueError(f"{value!r} is a relative path, and every Firework runs elsewhere: write it in full")
        return str(path)

    @property
    def supported(self) -> frozenset[str]:
        """Elements that the table is said to know; where it is not said, all."""
        return frozenset(self.elements) or frozenset(element.symbol for element in Element)


@dataclass(frozen=True)
class Known:
    """A row of the table."""

    energy: float | None
    structure: str | None
    failure: str | None
    initial_energy: float | None


class UnknownCrystalError(RuntimeError):
    """The table has no result for a crystal."""


class LookupRelaxation(Theory):
    """Relaxations out of a table."""

    settings: LookupTheory

    def __init__(self, settings: LookupTheory, id: str, scheme: CorrectionScheme, content: str) -> None:
        self.settings, self.id, self.scheme, self.content = settings, id, scheme, content

    def flow(self, structure: Structure) -> Any:
        """One job that looks the crystal up."""
        return look_up(structure, self.settings.table, self.settings.by, self.content)

    def read(self, output: dict[str, Any]) -> Relaxation:
        """The result in that job's output."""
        structure = output["structure"]
        structure = structure if isinstance(structure, Structure) else Structure.from_dict(structure)
        return self._relaxation(structure, output["energy"], output.get("initial_energy"))

    def relax(self, structure: Structure) -> Relaxation:
        """Look one crystal up here and now."""
        return self._relaxation(*found(structure, self.settings.table, self.settings.by, self.content))

    def _relaxation(self, structure: Structure, energy: float, initial_energy: float | None) -> Relaxation:
        return Relaxation(
            structure,
            energy,
            converged=True,
            steps=1,
            initial_energy=initial_energy,
            details={"cost_s": self.settings.cost_s},
        )


@job
def look_up(structure: Structure, table: str, by: str, content: str) -> dict[str, Any]:
    """A row of the table, as a job of jobflow."""
    relaxed, energy, initial_energy = found(structure, table, by, content)
    return {"structure": relaxed, "energy": energy, "initial_energy": initial_energy}


def found(structure: Structure, table: str, by: str, content: str) -> tuple[Structure, float, float | None]:
    """The relaxed crystal, its energy, and that of the crystal before it was relaxed if it is known, eV per cell.

    Args:
        structure: that is asked for.
        table: path.
        by: "structure" or "formula".
        content: hash of the table that the theory was made of.

    Raises:
        SettingsError: the table is another one now.
        UnknownCrystalError: the crystal is not in the table.
        RuntimeError: its relaxation fails, as the table says.
    """
    if content_of(table) != content:
        raise SettingsError(f"theory.table {table}: has changed since: its energies would be of another theory")
    formula = structure.composition.reduced_formula
    key = formula if by == "formula" else structure_key(structure)
    known = read_table(table, content).get(key)
    if known is None:
        raise UnknownCrystalError(f"{formula}: not in {table} (key {key})")
    if known.failure is not None or known.energy is None:
        raise RuntimeError(known.failure or "no energy")
    relaxed = Structure.from_str(known.structure, fmt="json") if known.structure else structure
    if relaxed.composition.reduced_formula != formula:
        raise SettingsError(f"theory.table {table}: key {key} is {formula}, its crystal {relaxed.reduced_formula}")
    n = len(relaxed)
    return relaxed, known.energy * n, known.initial_energy * n if known.initial_energy is not None else None


def content_of(table: str) -> str:
    """Hash of a table's bytes.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        stat = Path(table).stat()
        return _hash(table, stat.st_mtime_ns, stat.st_size)
    except OSError as error:
        raise SettingsError(f"theory.table {table}: cannot be read ({error.strerror})") from None


@lru_cache(maxsize=16)
def _hash(table: str, changed_ns: int, size: int) -> str:
    return hashlib.sha256(Path(table).read_bytes()).hexdigest()


@lru_cache(maxsize=4)
def read_table(table: str, content: str) -> dict[str, Known]:
    """Rows of a table by key; read once in each process.

    Args:
        table: path.
        content: hash of what is in it.

    Raises:
        SettingsError: it cannot be read, lacks a column, or has a key twice.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        columns = pq.read_table(table).to_pydict()
        keys, energies = columns["key"], columns["energy"]
    except (OSError, pa.ArrowInvalid) as error:
        raise SettingsError(f"theory.table {table}: cannot be read: {' '.join(str(error).split())}") from None
    except KeyError as error:
        raise SettingsError(f"theory.table {table}: no column {error}: it needs 'key' and 'energy'") from None
    none: list[None] = [None] * len(keys)
    optional = [columns.get(name, none) for name in ("structure", "failure", "initial_energy")]
    rows = zip(energies, *optional, strict=True)
    found: dict[str, Known] = {}
    for key, row in zip(keys, rows, strict=True):
        if key in found:
            raise SettingsError(f"theory.table {table}: key {key!r} is in it twice: keep the one that is meant")
        found[key] = Known(*row)
    return found


def lookup(settings: LookupTheory) -> Theory:
    """A table of results.

    Raises:
        SettingsError: it cannot be read.
    """
    content = content_of(settings.table)
    read_table(settings.table, content)
    scheme = CorrectionScheme(settings.corrections)
    return LookupRelaxation(settings, f"lookup-{settings.key(content=content)}", scheme, content)
