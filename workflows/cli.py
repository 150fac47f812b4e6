"""The command line: its table of contents. The commands are in `workflows.commands`."""

from __future__ import annotations

from typing import Annotated

import typer

from workflows.commands import campaign, db, doctor, errors, generate
from workflows.commands.catalogue import data
from workflows.commands.catalogue.export import export
from workflows.commands.catalogue.flips import flips
from workflows.commands.catalogue.hull import hull
from workflows.commands.catalogue.report import report
from workflows.commands.catalogue.serve import serve
from workflows.commands.catalogue.stable import stable
from workflows.commands.demo import demo
from workflows.commands.networks import train
from workflows.commands.networks.predict import predict

TOUR = """GNoME's discovery loop: generate crystals, filter them with graph networks,
relax, hull, retrain, again.

Ten minutes on a laptop: [bold]gnome demo[/bold] does all of the following on an embedded
database, with a machine-learned potential in the place of DFT.

  1. A database      [bold]gnome db start[/bold], or name your MongoDB in my_launchpad.yaml
  2. A campaign      [bold]gnome campaign start workflows/examples/quickstart.yaml[/bold]
                     (the same as [bold]lpad add[/bold], with checks)
  3. Workers         [bold]gnome campaign run quickstart[/bold] here,
                     or [bold]rlaunch rapidfire[/bold], or [bold]gnome launchers[/bold] on a cluster
  4. Progress        [bold]gnome campaign status quickstart[/bold], [bold]lpad get_wflows[/bold]
  5. New phases      [bold]gnome stable --campaign quickstart[/bold]
  6. Everything      [bold]gnome report quickstart --out report[/bold], a page to show

Candidates alone, from your crystals: [bold]gnome generate structural --help[/bold]
What others have computed: [bold]gnome data import --help[/bold]
Distances to the hull, from a table: [bold]gnome hull --help[/bold]
Your finds, for others: [bold]gnome serve --help[/bold]
Networks alone, from a table: [bold]gnome train --help[/bold], [bold]gnome predict --help[/bold]
"""

app = typer.Typer(
    help=TOUR, no_args_is_help=True, rich_markup_mode="rich", add_completion=False, pretty_exceptions_enable=False
)
app.add_typer(db.app, name="db")
app.add_typer(campaign.app, name="campaign")
app.add_typer(data.app, name="data")
app.add_typer(doctor.app, name="doctor")
app.add_typer(generate.app, name="generate")
app.add_typer(train.app, name="train")
app.command(epilog="Example: gnome stable --campaign quickstart --elements Mg,F --max-ehull 0.02 --format json")(stable)
app.command(epilog="Example: gnome demo --workers 2")(demo)
app.command(epilog="Example: gnome hull --entries known.csv --query candidates.csv --out hull.csv")(hull)
app.command(epilog="Example: gnome export quickstart --out release --distance 0.05")(export)
app.command(epilog="Example: gnome serve --campaign quickstart --port 8000")(serve)
app.command(epilog="Example: gnome flips --theory mp-pbe --out flips.csv")(flips)
app.command(epilog="Example: gnome report quickstart --out report")(report)
app.command(epilog="Example: gnome predict --model model --input formulas.csv --target target --out predictions.csv")(
    predict
)


@app.callback()
def gnome(
    debug: Annotated[
        bool, typer.Option(errors.DEBUG, help="errors with their traceback; anywhere in the line, or GNOME_DEBUG=1")
    ] = False,
) -> None:
    """See `errors`, which takes the option out of the line beforehand."""


def main() -> None:
    """Entry point of `gnome`."""
    errors.run(app)


if __name__ == "__main__":
    main()
