"""`gnome generate compositions`: formulas that oxidation states can balance."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gnome_torch.files import whole_file
from workflows.commands.generate.elements import policy


def compositions(
    elements: Annotated[str, typer.Option(help="elements to build with, such as Li,Na,Mg,O,F; or 'all'")],
    out: Annotated[Path, typer.Option(help="CSV file to write: formula,strict")],
    known: Annotated[Path | None, typer.Option(help="CSV of known compositions (column formula), left out")] = None,
    between: Annotated[
        int, typer.Option(min=0, max=2, help="elements that may sit between two oxidation states; 0: strict balancing")
    ] = 2,
    min_elements: Annotated[int, typer.Option(min=2, help="different elements at least")] = 2,
    max_elements: Annotated[int, typer.Option(min=2, help="different elements at most")] = 3,
    max_amount: Annotated[int, typer.Option(min=1, help="largest stoichiometric number")] = 8,
    max_atoms: Annotated[int, typer.Option(min=2, help="atoms in the reduced formula at most")] = 20,
    systems: Annotated[str, typer.Option(help="chemical systems to stay within, such as Li-Fe-O,Na-Cl")] = "",
    exclude: Annotated[str, typer.Option(help="elements to leave out, such as Hg,Tl")] = "",
    radioactive: Annotated[bool, typer.Option("--radioactive", help="allow elements without a stable isotope")] = False,
    noble_gases: Annotated[bool, typer.Option("--noble-gases", help="allow noble gases")] = False,
) -> None:
    """Reduced formulas that oxidation states can balance (SMACT's, and 0), each once, always in the same order.

    strict: balanced without an element between two of its states.
    """
    import csv

    from rich.console import Console
    from rich.progress import Progress

    from gnome_torch.candidates.formulas.compositions import CompositionLimits, compositions, number_of_formulas
    from gnome_torch.candidates.structural.proposals import known_compositions
    from gnome_torch.data.files import read_formulas

    chosen = policy(
        elements, exclude, systems, radioactive, noble_gases, max_sites=max_atoms, max_elements=max_elements
    )
    left_out = known_compositions(read_formulas(known) if known else [])
    limits = CompositionLimits(max_amount, max_atoms, min_elements, between)
    written = strict = 0
    with whole_file(out) as file, Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("formulas", total=None)
        writer = csv.writer(file)
        writer.writerow(("formula", "strict"))
        for some in compositions(chosen, limits, left_out):
            writer.writerows(zip(some.formulas(), some.strict.astype(int).tolist(), strict=True))
            written += len(some)
            strict += int(some.strict.sum())
            progress.update(task, description=f"{written:,} formulas")
    print(
        f"{out}: {written:,} formulas, {strict:,} of them balanced strictly"
        f" ({number_of_formulas(chosen, limits):,} looked at, {len(left_out):,} known compositions left out)"
    )
