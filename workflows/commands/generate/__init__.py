"""`gnome generate`: candidates without a campaign, from files to files."""

from __future__ import annotations

import typer

from workflows.commands.generate.compositions import compositions
from workflows.commands.generate.random import generate_random
from workflows.commands.generate.structural import structural

app = typer.Typer(help="Generate candidates into files, without a campaign.", no_args_is_help=True)
app.command(
    "structural",
    epilog="Example: gnome generate structural --parents prototypes --elements Li,Na,Mg,O,F --out candidates",
)(structural)
app.command(
    "compositions", epilog="Example: gnome generate compositions --elements Li,Na,Mg,Si,O,F --out formulas.csv"
)(compositions)
app.command("random", epilog="Example: gnome generate random --composition Li3N -n 100 --out crystals")(generate_random)
