"""Data from outside that no file or server has to give."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymatgen.core import Lattice, Structure

from gnome_torch.data.kinds import EnergyKind
from gnome_torch.data.origins import Origin
from gnome_torch.data.outside import Batch, OutsideRecord, SourceError
from gnome_torch.data.rejects import Reject


def salt(cation: str = "Mg", edge: float = 4.2) -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(edge), [cation, "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def record(key: str, structure: Structure, energy: float) -> OutsideRecord:
    return OutsideRecord(key, structure.reduced_formula, structure, energy, EnergyKind.TOTAL)


def computed(key: str, structure: Structure, run_type: str, **hubbards: float) -> OutsideRecord:
    parameters = {"run_type": run_type, "hubbards": hubbards}
    return OutsideRecord(
        key, structure.reduced_formula, structure, -5.0, EnergyKind.TOTAL, 0.0, parameters, "e.json", f"entry {key}"
    )


@dataclass
class Listed:
    """A source that is a list, two records a batch, which may break off."""

    items: list[OutsideRecord | Reject]
    breaks_after: int | None = None
    name: str = "listed"
    unique_keys: bool = True
    corrected: bool = False
    potentials: str = ""
    unchanging: bool = False
    version: str = "1"
    licence: str = "CC BY 4.0"

    @property
    def identity(self) -> dict[str, Any]:
        return {"listed": self.name}

    @property
    def origin(self) -> Origin:
        return Origin(self.name, "https://listed.example", self.licence, citation="Listed et al.")

    def batches(self, position: Any = None) -> Iterator[Batch]:
        for at in range(position or 0, len(self.items), 2):
            if self.breaks_after is not None and at >= self.breaks_after:
                raise SourceError("listed: the line went dead")
            some = self.items[at : at + 2]
            yield Batch(some, at + len(some), (at + len(some)) / len(self.items))


def rejects_in(path: Path) -> list[str]:
    with path.open(newline="") as file:
        return [row["place"] for row in csv.DictReader(file)]
