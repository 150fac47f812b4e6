"""`gnome serve`: the finds, for every OPTIMADE client."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workflows.commands.errors import interruptible


def serve(
    campaign: Annotated[str | None, typer.Option(help="only what this campaign has found")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="port; 0 for any that is free")] = 8000,
    host: Annotated[
        str, typer.Option(help="address to listen on; one that other machines reach needs --password-file")
    ] = "127.0.0.1",
    password_file: Annotated[
        Path | None, typer.Option(help="file with a password on its first line, which user 'gnome' must give")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="directory with an index.html, served under /report")] = None,
    refresh_s: Annotated[float, typer.Option(min=1, help="seconds between looks at the database")] = 300.0,
) -> None:
    """Serve the crystals that campaigns have computed by OPTIMADE, with energies and distances to the hull.

    Any OPTIMADE client can ask: pymatgen's OptimadeRester, `optimade-get`, `gnome data import optimade`.
    """
    from workflows.catalogue.serving.access import Address
    from workflows.catalogue.serving.running import Pace
    from workflows.catalogue.serving.running import serve as run
    from workflows.store.connection import open_database

    _, store = open_database()
    address = Address(host, port, password_file)
    with interruptible(""):
        run(store, campaign, address, report, Pace(refresh_s), lambda line: print(line, flush=True))
