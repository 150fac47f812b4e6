"""`gnome doctor`: what is wrong with the loop, and its repair; is everything there that a campaign needs?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.callback(invoke_without_command=True, epilog="Example, for cron: gnome doctor --quiet")
def doctor(
    context: typer.Context,
    settled_s: Annotated[float, typer.Option(min=0, help="leave alone what is younger than this, seconds")] = 60.0,
    silent_s: Annotated[
        float,
        typer.Option(
            min=0, help="a worker outside SLURM that is silent for so long is dead, seconds; ours tell every 120 s"
        ),
    ] = 14400.0,
    unnamed_s: Annotated[
        float, typer.Option(min=0, help="how old a reservation without a job may be, seconds")
    ] = 600.0,
    quiet: Annotated[bool, typer.Option("--quiet", help="say nothing where nothing is wrong")] = False,
) -> None:
    """Find and repair what keeps campaigns from going on; safe to run at any time, from cron too.

    Lost runs and reservations (SLURM is asked: what it still has queued or running is left alone), workflows that have
    missed an end, failures that pass, missing workflows. Status 1 if something is left for you.
    """
    if context.invoked_subcommand is not None:
        return
    import shutil

    from workflows.ground.slurm import is_gone, slurm_jobs
    from workflows.operate.doctor import examine
    from workflows.operate.lost import Patience
    from workflows.store.connection import open_database

    launchpad, store = open_database()
    ask = slurm_jobs if shutil.which("squeue") else None
    with store.schema.exclusive("doctor") as mine:
        if not mine:
            print("another doctor is at work")
            return
        findings = examine(store, launchpad, ask, Patience(settled_s, silent_s, unnamed_s), is_gone)
    for finding in findings:
        print(finding)
    if not findings and not quiet:
        print("nothing is wrong")
    if any(not finding.done for finding in findings):
        raise typer.Exit(1)


@app.command("dft", epilog="Example: gnome doctor dft campaign.yaml")
def dft(file: Annotated[Path, typer.Argument(help="campaign file")]) -> None:
    """VASP's command and potentials on this machine, and the inputs of a crystal. Status 1 if something is missing."""
    from rich.console import Console

    from workflows.campaign.begin import first_crystals
    from workflows.campaign.settings import read_campaign_file
    from workflows.relax import theory
    from workflows.relax.checks import checks, dry_run

    console = Console(highlight=False, soft_wrap=True)
    settings = read_campaign_file(file)
    vasp = theory(settings.theory)
    results = checks(vasp, settings.elements)
    for check in results:
        console.print(f"{'ok     ' if check.good else 'MISSING'}  {check.what}: {check.found}", markup=False)
    _, structure = max(first_crystals(settings), key=lambda crystal: len(crystal[1].composition))
    for name, text in dry_run(vasp, structure).items():
        console.print(f"\n{name} of {structure.formula}\n{text}", markup=False)
    if not all(check.good for check in results):
        raise typer.Exit(1)
