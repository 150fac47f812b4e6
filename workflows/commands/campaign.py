"""`gnome campaign`: start, run and follow campaigns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workflows.commands.errors import interruptible
from workflows.commands.tables import console, print_funnel

if TYPE_CHECKING:  # imported where they are needed: `gnome --help` answers at once
    from rich.console import Console

    from workflows.campaign.campaign import Campaign
    from workflows.store import Store

app = typer.Typer(help="Start, run and follow campaigns.", no_args_is_help=True)
NAME = Annotated[str, typer.Argument(help="name of the campaign")]


@app.command("start", epilog="Example: gnome campaign start workflows/examples/quickstart.yaml")
def start(file: Annotated[Path, typer.Argument(help="campaign file, the same that lpad add takes")]) -> None:
    """Check a campaign file, the theory and the database, then add the campaign to the LaunchPad."""
    from workflows.campaign.begin import register
    from workflows.campaign.plan import start_workflow
    from workflows.campaign.settings import read_campaign_file
    from workflows.store.connection import open_database
    from workflows.store.launchpad import add_once

    settings = read_campaign_file(file)
    launchpad, store = open_database()
    register(store, settings)
    add_once(launchpad, [start_workflow(settings)])
    print(
        f"campaign '{settings.name}' added; its files go to {settings.root}\n"
        f"run it with 'gnome campaign run {settings.name}', 'rlaunch rapidfire' or 'qlaunch -r rapidfire'"
    )


@app.command("run", epilog="Example: gnome campaign run quickstart --workers 2")
def run(name: NAME, workers: Annotated[int, typer.Option(min=1, help="worker processes, one thread each")] = 2) -> None:
    """Work on a campaign on this machine until it ends. Ctrl-C stops; the same command goes on from there."""
    from workflows.campaign.begin import adopt
    from workflows.store.connection import open_database

    launchpad, store = open_database()
    campaign = adopt(store, launchpad, name)
    terminal = console()
    run_here(campaign, workers, terminal)
    print_funnel(store, name, terminal)


@app.command("status", epilog="Example: gnome campaign status quickstart")
def status(
    name: NAME,
    watch: Annotated[
        bool, typer.Option("--watch", help="a live view until the campaign ends; Ctrl-C leaves it")
    ] = False,
    every_s: Annotated[float, typer.Option(min=0.2, help="seconds between two looks of --watch")] = 5.0,
) -> None:
    """Where a campaign stands: its rounds, what failed and why."""
    from workflows.campaign.begin import adopt
    from workflows.store import CandidateState, SearchState
    from workflows.store.connection import open_database

    launchpad, store = open_database()
    adopt(store, launchpad, name)
    if watch:
        _watch(store, name, every_s)
        return
    document = store.campaigns.get(name)
    terminal = console()
    terminal.print(f"campaign '{name}': {document['state']} {document['reason']}".rstrip())
    terminal.print(f"theory {document['theory']}, corrections {document['scheme']}")
    print_funnel(store, name, terminal)
    for row in store.rounds.all(name):
        for candidate in store.candidates.of_round(name, row["number"], CandidateState.FAILED):
            terminal.print(f"failed in round {row['number']}: {candidate['formula']}: {candidate['reason']}")
        for search in store.searches.of_round(name, row["number"], SearchState.FAILED):
            terminal.print(f"search failed in round {row['number']}: {search['formula']}: {search['reason']}")
    if again := store.rechecks.tally(name):
        counts = ", ".join(f"{count} {'waiting' if state == 'selected' else state}" for state, count in again.items())
        terminal.print(f"rechecks: {counts}")


def _watch(store: Store, name: str, every_s: float) -> None:
    import time

    from workflows.operate.watch import snapshot, watch

    with interruptible(""):
        watch(lambda: snapshot(store, name), console(), every_s, time.sleep)


@app.command("pause", epilog="Example: gnome campaign pause quickstart")
def pause(name: NAME) -> None:
    """Let nothing new begin; what runs goes on to its end and is recorded."""
    from workflows.campaign.campaign import Campaign
    from workflows.operate.control import pause
    from workflows.store.connection import open_database

    launchpad, store = open_database()
    held = pause(Campaign(store, launchpad, name))
    print(f"campaign '{name}' is paused, {_fireworks(held)} held back: gnome campaign resume {name}")


@app.command("resume", epilog="Example: gnome campaign resume quickstart")
def resume(name: NAME) -> None:
    """Go on with a paused campaign."""
    from workflows.campaign.campaign import Campaign
    from workflows.operate.control import resume
    from workflows.store.connection import open_database

    launchpad, store = open_database()
    released = resume(Campaign(store, launchpad, name))
    print(f"campaign '{name}' goes on, {_fireworks(released)} had been held back")


@app.command("stop", epilog="Example: gnome campaign stop quickstart")
def stop(name: NAME) -> None:
    """End a campaign for good. What runs is recorded, and what was computed stays for other campaigns."""
    from workflows.campaign.campaign import Campaign
    from workflows.operate.control import stop
    from workflows.store.connection import open_database

    launchpad, store = open_database()
    dropped = stop(Campaign(store, launchpad, name))
    print(f"campaign '{name}' is stopped, {_fireworks(dropped)} dropped")


@app.command("list", epilog="Example: gnome campaign list")
def all_campaigns() -> None:
    """All campaigns of the database."""
    from workflows.store.connection import open_database

    _, store = open_database()
    if not store.campaigns.all():
        print("no campaign yet")
    for document in store.campaigns.all():
        elements = "-".join(document["settings"]["elements"])
        print(
            f"{document['_id']}  {document['state']}  {elements}  {document['theory']}  {document['reason']}".rstrip()
        )


def run_here(campaign: Campaign, workers: int, console: Console) -> None:
    """Run a campaign to its end; Ctrl-C ends the command with status 130 and everything in order."""
    from workflows.operate.local import run_campaign

    with interruptible():
        run_campaign(campaign, workers, console)


def _fireworks(count: int) -> str:
    return "1 Firework" if count == 1 else f"{count} Fireworks"
