"""`gnome generate compositions`: formulas that oxidation states can balance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gnome_torch.files import whole_file
from gnome_torch.spreadsheets import CsvWriter
from workflows.commands.generate.elements import (
    ELEMENTS,
    EXCLUDE,
    MAX_ELEMENTS,
    NOBLE_GASES,
    RADIOACTIVE,
    SYSTEMS,
    Elements,
)

if TYPE_CHECKING:  # imported where they are needed: `gnome --help` answers at once
    from collections.abc import Iterator

    from gnome_torch.candidates.formulas.compositions import Compositions
    from gnome_torch.data.rejects import Reject

OUT = Annotated[Path, typer.Option(help="CSV file to write: formula,strict")]
KNOWN = Annotated[Path | None, typer.Option(help="CSV of known compositions (column formula), left out")]
BETWEEN = Annotated[
    int, typer.Option(min=0, max=2, help="elements that may sit between two oxidation states; 0: strict balancing")
]
MIN_ELEMENTS = Annotated[int, typer.Option(min=2, help="different elements at least")]
MAX_AMOUNT = Annotated[int, typer.Option(min=1, help="largest stoichiometric number")]
MAX_ATOMS = Annotated[int, typer.Option(min=2, help="atoms in the reduced formula at most")]


def compositions(
    elements: ELEMENTS,
    out: OUT,
    known: KNOWN = None,
    between: BETWEEN = 2,
    min_elements: MIN_ELEMENTS = 2,
    max_elements: MAX_ELEMENTS = 3,
    max_amount: MAX_AMOUNT = 8,
    max_atoms: MAX_ATOMS = 20,
    systems: SYSTEMS = "",
    exclude: EXCLUDE = "",
    radioactive: RADIOACTIVE = False,
    noble_gases: NOBLE_GASES = False,
) -> None:
    """Reduced formulas that oxidation states can balance (SMACT's, and 0), each once, always in the same order.

    strict: balanced without an element between two of its states.
    """
    from gnome_torch.candidates.formulas.compositions import CompositionLimits, compositions, number_of_formulas
    from gnome_torch.candidates.structural.proposals import known_compositions
    from gnome_torch.data.files import read_formulas
    from gnome_torch.data.rejects import keep_rejects, rejects_of

    policy = Elements(elements, exclude, systems, radioactive, noble_gases).policy(
        max_sites=max_atoms, max_elements=max_elements
    )
    rejects: list[Reject] = []
    left_out = known_compositions(read_formulas(known, rejects.append) if known else [])
    limits = CompositionLimits(max_amount, max_atoms, min_elements, between)
    written, strict = _write(compositions(policy, limits, left_out), out)
    print(
        f"{out}: {written:,} formulas, {strict:,} of them balanced strictly"
        f" ({number_of_formulas(policy, limits):,} looked at, {len(left_out):,} known compositions left out)"
    )
    keep_rejects(rejects, rejects_of(out))


def _write(parts: Iterator[Compositions], out: Path) -> tuple[int, int]:
    """Write the formulas; how many, and how many of them are balanced strictly."""
    from rich.console import Console
    from rich.progress import Progress

    written = strict = 0
    with whole_file(out) as file, Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("formulas", total=None)
        writer = CsvWriter(file)
        writer.writerow(("formula", "strict"))
        for part in parts:
            writer.writerows(zip(part.formulas(), part.strict.astype(int).tolist(), strict=True))
            written += len(part)
            strict += int(part.strict.sum())
            progress.update(task, description=f"{written:,} formulas")
    return written, strict
