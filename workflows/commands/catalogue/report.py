"""`gnome report`: a campaign as a page."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer


def report(
    name: Annotated[str, typer.Argument(metavar="CAMPAIGN", help="name of the campaign")],
    out: Annotated[Path, typer.Option(help="directory of the page; made if it is not there")],
    max_ehull: Annotated[float, typer.Option(min=0.0, help="phases at most this far above the hull, eV/atom")] = 5e-5,
) -> None:
    """Write a campaign as one HTML page that opens anywhere, with its figures as SVG and PNG files beside it."""
    os.environ.setdefault("MPLBACKEND", "agg")  # no window, whatever desktop this runs on
    from workflows.catalogue.licences import warning
    from workflows.catalogue.report.page import write_report
    from workflows.catalogue.report.reading import read_report
    from workflows.catalogue.words import plural
    from workflows.ground.strict import SettingsError
    from workflows.store.connection import open_database

    _, store = open_database()
    store.campaigns.get(name)
    store.finds.check_any(name)
    content = read_report(store, name, max_ehull)
    try:
        page = write_report(content, out)
    except ImportError as error:
        raise SettingsError(f"{error.name} is not installed: pip install 'gnome-torch[report]'") from None
    if line := warning(content.imported):
        print(f"gnome: {line}; the page says so", file=sys.stderr)
    phases, finds = len(content.phases), len(content.finds)
    print(f"{page}: {phases} {plural(phases, 'phase')}, {finds} new stable {plural(finds, 'compound')}")
