"""`gnome export`: what a campaign found, as files for others."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def export(
    campaign: Annotated[str, typer.Argument(help="name of the campaign")],
    out: Annotated[Path, typer.Option(help="directory; an earlier export in it is replaced")],
    distance: Annotated[float, typer.Option(min=0.0, help="to the hull at most, eV/atom")] = 0.001,
) -> None:
    """Entries near the hull, crystals, networks, lineage, checksums, as files; `gnome data import` reads them."""
    from workflows.catalogue.export import export as write
    from workflows.catalogue.licences import warning
    from workflows.store.connection import open_database

    _, store = open_database()
    done = write(store, campaign, out.expanduser().resolve(), distance)
    print(f"{done.entries} entries, {done.stable} on the hull, and {done.models} networks in {done.directory}")
    if line := warning(done.imported):
        print(f"gnome: {line}; its README says so", file=sys.stderr)
