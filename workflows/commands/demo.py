"""`gnome demo`: a whole campaign with everything that it needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workflows.commands.campaign import run_here
from workflows.commands.tables import console, print_funnel, print_phases

if TYPE_CHECKING:  # imported where they are needed: `gnome --help` answers at once
    from rich.console import Console

    from workflows.campaign.campaign import Campaign
    from workflows.campaign.settings import CampaignSettings
    from workflows.store import Store


def demo(
    file: Annotated[Path | None, typer.Option(help="campaign file; by default the quickstart")] = None,
    workers: Annotated[int, typer.Option(min=1, help="worker processes, one thread each")] = 2,
) -> None:
    """A whole campaign with everything it needs: embedded database, workers, results. Ctrl-C and run again to go on."""
    from importlib.resources import files

    from workflows.campaign.campaign import Campaign
    from workflows.campaign.settings import read_campaign_file
    from workflows.catalogue.phases import phase_rows
    from workflows.store import CampaignState
    from workflows.store.connection import open_database

    terminal = console()
    path = file or Path(str(files("workflows") / "examples" / "quickstart.yaml"))
    settings = read_campaign_file(path)
    _start_database_if_local(terminal)
    launchpad, store = open_database()
    campaign = Campaign(store, launchpad, settings.name)
    _add_or_go_on(campaign, settings, path, terminal)
    run_here(campaign, workers, terminal)
    print_funnel(store, settings.name, terminal)
    print_phases(phase_rows(store, settings.name), terminal)
    _write_page(store, settings.name, settings.root / "report", terminal)
    _print_next_steps(settings.name, terminal)
    if campaign.state is CampaignState.FAILED:
        raise typer.Exit(1)


def _add_or_go_on(campaign: Campaign, settings: CampaignSettings, path: Path, console: Console) -> None:
    """Add the campaign of a file, unless the same campaign is there."""
    from workflows.campaign.begin import register
    from workflows.campaign.plan import start_workflow
    from workflows.campaign.settings import parse_settings
    from workflows.store import CampaignExistsError, StoreError
    from workflows.store.launchpad import add_once

    name = settings.name
    try:
        register(campaign.store, settings)
        add_once(campaign.launchpad, [start_workflow(settings)])
        console.print(f"campaign '{name}' added: {'-'.join(settings.elements)}, from {path}")
    except CampaignExistsError:
        document = campaign.store.campaigns.get(name)
        if parse_settings(document["settings"], f"campaign '{name}'") != settings:
            raise StoreError(
                f"campaign '{name}' exists with other settings than {path}: choose another name in the file"
            ) from None
        console.print(f"campaign '{name}' is there already ({document['state']}): going on with it")


def _write_page(store: Store, name: str, directory: Path, console: Console) -> None:
    """The campaign as a page, where what it wants is installed."""
    import os

    os.environ.setdefault("MPLBACKEND", "agg")  # no window, whatever desktop this runs on
    try:
        from workflows.catalogue.report.page import write_report
        from workflows.catalogue.report.reading import read_report

        page = write_report(read_report(store, name), directory)
    except ImportError as error:
        console.print(f"no report: {error.name} is not installed: pip install 'gnome-torch[report]'")
        return
    console.print(f"the campaign as a page, to open in a browser: {page}")


def _start_database_if_local(console: Console) -> None:
    """Start the embedded server if the connection in force is its address and nothing answers there."""
    from workflows.store import StoreError, check_server
    from workflows.store.connection import connect, launchpad_settings
    from workflows.store.embedded import EmbeddedDatabase, default_directory

    connection = launchpad_settings()
    try:
        check_server(connect().db, timeout_s=2.0)
    except StoreError:
        if connection.get("uri_mode") or connection["host"] not in ("127.0.0.1", "localhost"):
            raise
        database = EmbeddedDatabase(default_directory(), int(str(connection.get("port") or 27017)))
        database.start()
        console.print(f"embedded database started on 127.0.0.1:{database.port}, data in {database.directory}")


def _print_next_steps(name: str, console: Console) -> None:
    console.print(
        "\nThe database is still running. What next:\n"
        f"  gnome stable --campaign {name} --max-ehull 0.05     more phases, near the hull too (--format json, csv)\n"
        f"  gnome campaign status {name}                        rounds, failures and their reasons\n"
        f"  gnome stable --campaign {name} --out phases             their crystals as CIF files\n"
        "  lpad report; lpad get_wflows -d more                     the same campaign as FireWorks sees it\n"
        "  cp workflows/examples/quickstart.yaml mine.yaml          edit it, then: gnome campaign start mine.yaml\n"
        "  gnome db stop                                            stop the database; the data stay",
        highlight=False,
    )
