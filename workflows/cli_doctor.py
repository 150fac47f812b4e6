"""`gnome doctor`: is everything there that a campaign needs?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Look for what a campaign needs, before it starts.", no_args_is_help=True)


@app.callback()
def _doctor() -> None:
    """Look for what a campaign needs, before it starts."""


@app.command("dft", epilog="Example: gnome doctor dft campaign.yaml")
def dft(file: Annotated[Path, typer.Argument(help="campaign file")]) -> None:
    """VASP's command and potentials on this machine, and the inputs of a crystal. Status 1 if something is missing."""
    from rich.console import Console

    from workflows.campaign import first_crystals
    from workflows.relax import theory
    from workflows.relax.checks import checks, dry_run
    from workflows.settings import read_campaign_file

    console = Console(highlight=False, soft_wrap=True)
    settings = read_campaign_file(file)
    level = theory(settings.theory)
    found = checks(level, settings.elements)
    for check in found:
        console.print(f"{'ok     ' if check.good else 'MISSING'}  {check.what}: {check.found}", markup=False)
    _, structure = max(first_crystals(settings), key=lambda some: len(some[1].composition))
    for name, text in dry_run(level, structure).items():
        console.print(f"\n{name} of {structure.formula}\n{text}", markup=False)
    if not all(check.good for check in found):
        raise typer.Exit(1)
