"""The command line. Every command is a few lines over a function that a script can call just as well."""

from __future__ import annotations

import csv
import io
import json
import sys
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from workflows import (
    cli_data,
    cli_doctor,
    cli_export,
    cli_generate,
    cli_hull,
    cli_models,
    cli_report,
    cli_serve,
)
from workflows.strict import SettingsError

if TYPE_CHECKING:  # imported where they are needed: `gnome --help` answers at once
    from fireworks import LaunchPad
    from rich.console import Console

    from workflows.phases import New, PhaseRow
    from workflows.store import Store

TOUR = """GNoME's discovery loop: generate crystals, filter them with graph networks, relax, hull, retrain, again.

Ten minutes on a laptop: [bold]gnome demo[/bold] does all of the following on an embedded database, with a
machine-learned potential in the place of DFT.

  1. A database      [bold]gnome db start[/bold], or name your MongoDB in my_launchpad.yaml
  2. A campaign      [bold]gnome campaign start workflows/examples/quickstart.yaml[/bold]
                     (the same as [bold]lpad add[/bold], with checks)
  3. Workers         [bold]gnome campaign run quickstart[/bold] here,
                     or [bold]rlaunch rapidfire[/bold], or [bold]gnome launchers[/bold] on a cluster
  4. Progress        [bold]gnome campaign status quickstart[/bold], [bold]lpad get_wflows[/bold]
  5. New phases      [bold]gnome stable --campaign quickstart[/bold]
  6. Everything      [bold]gnome report quickstart --out report[/bold], a page to read and to show

Candidates alone, from your crystals: [bold]gnome generate structural --help[/bold]
What others have computed: [bold]gnome data import --help[/bold]
Distances to the hull, from a table: [bold]gnome hull --help[/bold]
Your finds, for others: [bold]gnome serve --help[/bold]
Networks alone, from a table: [bold]gnome train --help[/bold], [bold]gnome predict --help[/bold]
"""
NAME = Annotated[str, typer.Argument(help="name of the campaign")]

app = typer.Typer(
    help=TOUR, no_args_is_help=True, rich_markup_mode="rich", add_completion=False, pretty_exceptions_enable=False
)
db = typer.Typer(help="The embedded database: MongoDB's protocol, one user, this machine only.", no_args_is_help=True)
campaign = typer.Typer(help="Start, run and follow campaigns.", no_args_is_help=True)
app.add_typer(db, name="db")
app.add_typer(campaign, name="campaign")
app.add_typer(cli_data.app, name="data")
app.add_typer(cli_doctor.app, name="doctor")
app.add_typer(cli_generate.app, name="generate")
app.add_typer(cli_models.app, name="train")
app.command("hull", epilog="Example: gnome hull --entries known.csv --query candidates.csv --out hull.csv")(
    cli_hull.hull
)
app.command("export", epilog="Example: gnome export quickstart --out release --distance 0.05")(cli_export.export)
app.command("serve", epilog="Example: gnome serve --campaign quickstart --port 8000")(cli_serve.serve)
app.command("flips", epilog="Example: gnome flips --theory mp-pbe --out flips.csv")(cli_hull.flips)
app.command("report", epilog="Example: gnome report quickstart --out report")(cli_report.report)
app.command(
    "predict", epilog="Example: gnome predict --model model --input formulas.csv --target target --out predictions.csv"
)(cli_models.predict)


class PhaseFormat(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    CIF = "cif"
    POSCAR = "poscar"


class NewKind(StrEnum):
    ALL = "all"
    COMPOSITION = "composition"
    PROTOTYPE = "prototype"
    ANY = "any"


# ---- database

DIRECTORY = Annotated[Path | None, typer.Option(help="where its data are; by default in your data directory")]
PORT = Annotated[int, typer.Option(help="port on 127.0.0.1")]


@db.command("start", epilog="Example: gnome db start --directory ~/gnome-data --port 27018")
def db_start(directory: DIRECTORY = None, port: PORT = 27017) -> None:
    """Start it, in the background; does nothing if it runs already."""
    from workflows.embedded import EmbeddedDatabase, default_directory

    database = EmbeddedDatabase(directory or default_directory(), port)
    started = database.start()
    status = database.status()
    word = "started" if started else "is running already"
    print(f"database {word} on 127.0.0.1:{status.port} (process {status.pid}, data in {status.directory})")
    _prepare_if_ours(status.port)


@db.command("stop", epilog="Example: gnome db stop")
def db_stop(directory: DIRECTORY = None) -> None:
    """Stop it; its data stay."""
    from workflows.embedded import EmbeddedDatabase, default_directory

    stopped = EmbeddedDatabase(directory or default_directory()).stop()
    print("database stopped" if stopped else "no database was running")


@db.command("status", epilog="Example: gnome db status")
def db_status(directory: DIRECTORY = None) -> None:
    """Say whether it runs, where, and how large it is. Exit status 1 when it does not run."""
    from workflows.embedded import EmbeddedDatabase, default_directory

    status = EmbeddedDatabase(directory or default_directory()).status()
    size = f"{status.size_bytes / 1e6:.1f} MB in {status.directory}"
    if not status.running:
        print(f"not running; {size}")
        raise typer.Exit(1)
    print(f"running on 127.0.0.1:{status.port}, process {status.pid}; {size}; SecantusDB {status.secantus_version}")


@db.command("launchpad", epilog="Example: gnome db launchpad > lp.yaml; lpad -l lp.yaml report")
def db_launchpad() -> None:
    """Print the connection in force as a LaunchPad file, for lpad, rlaunch and qlaunch (it holds your password)."""
    import yaml

    from workflows.connection import launchpad_settings

    print(yaml.safe_dump(launchpad_settings(), sort_keys=False), end="")


# ---- campaigns


@campaign.command("start", epilog="Example: gnome campaign start workflows/examples/quickstart.yaml")
def campaign_start(file: Annotated[Path, typer.Argument(help="campaign file, the same that lpad add takes")]) -> None:
    """Check a campaign file, the theory and the database, then add the campaign to the LaunchPad."""
    from workflows.campaign import register, start_workflow
    from workflows.launch import add_once
    from workflows.settings import read_campaign_file

    settings = read_campaign_file(file)
    launchpad, store = open_database()
    register(store, settings)
    add_once(launchpad, [start_workflow(settings)])
    print(
        f"campaign '{settings.name}' added; its files go to {settings.root}\n"
        f"run it with 'gnome campaign run {settings.name}', 'rlaunch rapidfire' or 'qlaunch -r rapidfire'"
    )


@campaign.command("run", epilog="Example: gnome campaign run quickstart --workers 2")
def campaign_run(
    name: NAME, workers: Annotated[int, typer.Option(min=1, help="worker processes, one thread each")] = 2
) -> None:
    """Work on a campaign on this machine until it ends. Ctrl-C stops; the same command goes on from there."""
    from workflows.campaign import adopt

    launchpad, store = open_database()
    adopt(store, launchpad, name)
    console = _console()
    _run(launchpad, name, workers, console)
    _print_funnel(store, name, console)


@campaign.command("status", epilog="Example: gnome campaign status quickstart")
def campaign_status(
    name: NAME,
    watch: Annotated[
        bool, typer.Option("--watch", help="a live view until the campaign ends; Ctrl-C leaves it")
    ] = False,
    every_s: Annotated[float, typer.Option(min=0.2, help="seconds between two looks of --watch")] = 5.0,
) -> None:
    """Where a campaign stands: its rounds, what failed and why."""
    from workflows.campaign import adopt

    launchpad, store = open_database()
    adopt(store, launchpad, name)
    if watch:
        _watch(store, launchpad, name, every_s)
        return
    document = store.campaign(name)
    console = _console()
    console.print(f"campaign '{name}': {document['state']} {document['reason']}".rstrip())
    console.print(f"theory {document['theory']}, corrections {document['scheme']}")
    _print_funnel(store, name, console)
    for row in store.all_rounds(name):
        for candidate in store.round_candidates(name, row["number"], "failed"):
            console.print(f"failed in round {row['number']}: {candidate['formula']}: {candidate['reason']}")
        for search in store.round_searches(name, row["number"], "failed"):
            console.print(f"search failed in round {row['number']}: {search['formula']}: {search['reason']}")
    if again := store.tally_rechecks(name):
        counts = ", ".join(f"{count} {'waiting' if state == 'selected' else state}" for state, count in again.items())
        console.print(f"second opinion: {counts}")


def _watch(store: Store, launchpad: LaunchPad, name: str, every_s: float) -> None:
    import time

    from workflows.watch import snapshot, watch

    try:
        watch(lambda: snapshot(store, launchpad, name), _console(), every_s, time.sleep)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@campaign.command("pause", epilog="Example: gnome campaign pause quickstart")
def campaign_pause(name: NAME) -> None:
    """Let nothing new begin; what runs goes on to its end and is recorded."""
    from workflows.control import pause

    launchpad, store = open_database()
    waiting = pause(store, launchpad, name)
    print(f"campaign '{name}' is paused, {waiting} Fireworks wait: gnome campaign resume {name}")


@campaign.command("resume", epilog="Example: gnome campaign resume quickstart")
def campaign_resume(name: NAME) -> None:
    """Go on with a paused campaign."""
    from workflows.control import resume

    launchpad, store = open_database()
    released = resume(store, launchpad, name)
    print(f"campaign '{name}' goes on, {released} Fireworks had waited")


@campaign.command("stop", epilog="Example: gnome campaign stop quickstart")
def campaign_stop(name: NAME) -> None:
    """End a campaign for good. What runs is recorded, and what was computed stays for other campaigns."""
    from workflows.control import stop

    launchpad, store = open_database()
    dropped = stop(store, launchpad, name)
    print(f"campaign '{name}' is stopped, {dropped} Fireworks were dropped")


@campaign.command("list", epilog="Example: gnome campaign list")
def campaign_list() -> None:
    """All campaigns of the database."""
    _, store = open_database()
    if not store.all_campaigns():
        print("no campaign yet")
    for document in store.all_campaigns():
        elements = "-".join(document["settings"]["elements"])
        print(
            f"{document['_id']}  {document['state']}  {elements}  {document['theory']}  {document['reason']}".rstrip()
        )


# ---- results


@app.command(epilog="Example: gnome stable --campaign quickstart --elements Mg,F --max-ehull 0.02 --format json")
def stable(
    campaign: Annotated[str | None, typer.Option(help="only this campaign")] = None,
    elements: Annotated[str | None, typer.Option(help="phases that hold all of these, such as Li,O")] = None,
    chemsys: Annotated[str | None, typer.Option(help="phases of just these elements, such as Li-Fe-O")] = None,
    max_ehull: Annotated[float, typer.Option(min=0.0, help="distance to the hull at most, eV/atom")] = 5e-5,
    new: Annotated[
        NewKind, typer.Option(help="only new compositions, new prototypes, or any of the two")
    ] = NewKind.ALL,
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="computed since, UTC")] = None,
    sort: Annotated[str, typer.Option(help="by what; with a minus in front the largest first")] = "e_above_hull",
    limit: Annotated[int, typer.Option(min=0, help="at most this many; 0 for all")] = 0,
    format: Annotated[PhaseFormat, typer.Option(help="how to print them; cif and poscar: files in --out")] = (
        PhaseFormat.TABLE
    ),
    out: Annotated[Path | None, typer.Option(help="directory of the crystals' files")] = None,
) -> None:
    """Stable compounds, the most stable first."""
    from datetime import UTC

    from workflows.phases import PhaseQuery, phases, write_crystals

    query = PhaseQuery(
        campaign=campaign,
        elements=_symbols("--elements", elements, ","),
        chemsys=_symbols("--chemsys", chemsys, "-"),
        max_e_above_hull=max_ehull,
        new=cast("New", "" if new is NewKind.ALL else new.value),
        since=since.replace(tzinfo=UTC) if since else None,
        sort=sort,
        limit=limit,
    )
    if format in (PhaseFormat.CIF, PhaseFormat.POSCAR) and out is None:
        raise SettingsError(f"--format {format.value} writes a file for each phase: say where with --out DIR")
    _, store = open_database()
    if campaign:
        store.campaign(campaign)
    rows = phases(store, query)
    if out is not None:
        write_crystals(store, rows, out, "poscar" if format is PhaseFormat.POSCAR else "cif")
    if format is PhaseFormat.JSON:
        print(json.dumps([row.as_dict() for row in rows], indent=2))
    elif format is PhaseFormat.CSV:
        print(_csv(rows), end="")
    elif format is PhaseFormat.TABLE:
        _print_phases(rows, _console())
    else:
        print(f"{len(rows)} crystals in {out}")


def _symbols(option: str, text: str | None, separator: str) -> tuple[str, ...]:
    """Elements of an option; empty where it was not given.

    Raises:
        SettingsError: one of them is no element.
    """
    from pymatgen.core import Element

    symbols = tuple(some.strip() for some in text.split(separator)) if text is not None else ()
    for symbol in symbols:
        if not Element.is_valid_symbol(symbol):
            raise SettingsError(f"{option} {text}: {symbol!r} is not an element: write Li{separator}O")
    return symbols


@app.command(epilog="Example: gnome demo --workers 2")
def demo(
    file: Annotated[Path | None, typer.Option(help="campaign file; by default the quickstart")] = None,
    workers: Annotated[int, typer.Option(min=1, help="worker processes, one thread each")] = 2,
) -> None:
    """A whole campaign with everything it needs: embedded database, workers, results. Ctrl-C and run again to go on."""
    from importlib.resources import files

    from workflows.campaign import register, start_workflow
    from workflows.launch import add_once
    from workflows.phases import phase_rows
    from workflows.settings import parse_settings, read_campaign_file
    from workflows.store import CampaignExistsError, StoreError

    console = _console()
    path = file or Path(str(files("workflows") / "examples" / "quickstart.yaml"))
    settings = read_campaign_file(path)
    _start_database_if_local(console)
    launchpad, store = open_database()
    try:
        register(store, settings)
        add_once(launchpad, [start_workflow(settings)])
        console.print(f"campaign '{settings.name}' added: {'-'.join(settings.elements)}, from {path}")
    except CampaignExistsError:
        document = store.campaign(settings.name)
        if parse_settings(document["settings"], f"campaign '{settings.name}'") != settings:
            raise StoreError(
                f"campaign '{settings.name}' exists with other settings than {path}: choose another name in the file"
            ) from None
        console.print(f"campaign '{settings.name}' is there already ({document['state']}): going on with it")
    _run(launchpad, settings.name, workers, console)
    _print_funnel(store, settings.name, console)
    _print_phases(phase_rows(store, settings.name), console)
    _write_page(store, settings.name, settings.root / "report", console)
    _print_next_steps(settings.name, console)
    if store.campaign(settings.name)["state"] == "failed":
        raise typer.Exit(1)


def _write_page(store: Store, name: str, directory: Path, console: Console) -> None:
    """The campaign as a page, where what it wants is installed."""
    import os

    os.environ.setdefault("MPLBACKEND", "agg")  # no window, whatever desktop this runs on
    try:
        from workflows.report.data import read_report
        from workflows.report.page import write_report

        page = write_report(read_report(store, name), directory)
    except ImportError as error:
        console.print(f"no report: {error.name} is not installed: pip install 'gnome-torch[report]'")
        return
    console.print(f"the campaign as a page, to open in a browser: {page}")


# ---- shared by the commands


def _console() -> Console:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:  # a table in a log must not be cut to 80 columns
        console.width = 150
    return console


def open_database() -> tuple[LaunchPad, Store]:
    """The LaunchPad in force, checked, with FireWorks' own indexes and ours."""
    from workflows.connection import connect
    from workflows.launch import prepare_launchpad
    from workflows.store import Store, check_server

    launchpad = connect()
    check_server(launchpad.db)
    prepare_launchpad(launchpad)
    store = Store(launchpad.db)
    store.prepare()
    return launchpad, store


def _run(launchpad: LaunchPad, name: str, workers: int, console: Console) -> None:
    """Run a campaign to its end; Ctrl-C ends the command with status 130 and everything in order."""
    from workflows.local import run_campaign

    try:
        run_campaign(launchpad, name, workers, console)
    except KeyboardInterrupt:
        print("gnome: stopped; the same command goes on from here", file=sys.stderr)
        raise typer.Exit(130) from None


def _start_database_if_local(console: Console) -> None:
    """Start the embedded server if the connection in force is its address and nothing answers there."""
    from workflows.connection import connect, launchpad_settings
    from workflows.embedded import EmbeddedDatabase, default_directory
    from workflows.store import StoreError, check_server

    connection = launchpad_settings()
    try:
        check_server(connect().db, timeout_s=2.0)
    except StoreError:
        if connection.get("uri_mode") or connection["host"] not in ("127.0.0.1", "localhost"):
            raise
        database = EmbeddedDatabase(default_directory(), int(str(connection.get("port") or 27017)))
        database.start()
        console.print(f"embedded database started on 127.0.0.1:{database.port}, data in {database.directory}")


def _prepare_if_ours(port: int | None) -> None:
    """Make the embedded database a LaunchPad, if the connection in force leads to it: `lpad add` needs that."""
    from workflows.connection import launchpad_settings

    connection = launchpad_settings()
    if not connection.get("uri_mode") and (connection["host"], connection.get("port")) == ("127.0.0.1", port):
        open_database()


def _print_funnel(store: Store, name: str, console: Console) -> None:
    from rich.table import Table

    from workflows.results import round_rows

    table = Table(title=f"Campaign '{name}', round by round (errors in meV/atom)")
    for header in ("round", "generated", "near hull", "relaxed", "failed", "on the hull", "hit rate"):
        table.add_column(header, justify="right")
    for header in ("predicted vs relaxed", "networks on test set", "networks of the round before"):
        table.add_column(header, justify="right")
    for row in round_rows(store, name):
        table.add_row(
            str(row.number),
            _number(row.generated),
            _number(row.near_hull),
            f"{row.relaxed} of {row.selected}",
            str(row.failed),
            _number(row.stable),
            _number(row.hit_rate, ".0%"),
            _milli(row.prediction_mae),
            _milli(row.network_mae),
            _milli(row.network_mae_before),
        )
    console.print(table)
    if any(row.searches for row in round_rows(store, name)):
        _print_searches(store, name, console)


def _print_searches(store: Store, name: str, console: Console) -> None:
    from rich.table import Table

    from workflows.results import round_rows

    table = Table(title=f"Campaign '{name}', compositions and their random searches (errors in meV/atom)")
    for header in ("round", "formulas", "strict", "near hull", "searched", "failed", "on the hull", "hit rate"):
        table.add_column(header, justify="right")
    for header in ("predicted vs lowest", "networks on test set", "networks of the round before"):
        table.add_column(header, justify="right")
    for row in round_rows(store, name):
        if (found := row.searches) is None:
            continue
        table.add_row(
            str(row.number),
            f"{found.formulas:,}",
            f"{found.strict:,}",
            _number(found.near_hull),
            str(found.searched),
            str(found.failed),
            _number(found.stable),
            _number(found.hit_rate, ".0%"),
            _milli(found.prediction_mae),
            _milli(found.network_mae),
            _milli(found.network_mae_before),
        )
    console.print(table)


def _number(value: float | None, form: str = "d") -> str:
    return "-" if value is None else format(value, form)


def _milli(energy: float | None) -> str:
    """An energy in eV as meV."""
    return "-" if energy is None else f"{1000 * energy:.0f}"


def _print_phases(rows: list[PhaseRow], console: Console) -> None:
    from rich.table import Table

    table = Table(title="Stable phases ('new': a composition neither in the campaign's first data nor imported)")
    theories = sorted({row.theory for row in rows})
    if len(theories) > 1:
        console.print(f"phases of {len(theories)} theories, each against its own hull: {', '.join(theories)}")
    for header in (
        "formula",
        "space group",
        "eV above hull",
        "separation, eV/atom",
        "new?",
        "round",
        "parent",
        "how",
        "notes",
    ):
        table.add_column(header, justify="right" if "eV" in header else "left", overflow="fold")
    for row in rows:
        table.add_row(
            row.formula,
            f"{row.spacegroup} ({row.spacegroup_number})",
            f"{row.e_above_hull:.3f}",
            f"{row.phase_separation_energy:.3f}",
            "new" if row.new else "known",
            str(row.round),
            row.lineage[0],
            " | ".join(row.lineage[1:]),
            "; ".join(_notes(row)),
            style="bold" if row.new else None,
        )
    console.print(table if rows else "no stable compound yet")


def _notes(row: PhaseRow) -> list[str]:
    """What to know before believing in a phase."""
    notes = []
    if row.duplicate_of:
        notes.append(f"same crystal as {row.duplicate_of}")
    if row.new_prototype:
        notes.append("new prototype")
    elif row.analogue and row.new:
        notes.append(f"like {row.analogue}")
    if row.likely_disorder:
        notes.append(f"probably disordered: {', '.join(row.likely_disorder)}")
    notes += row.warnings
    if row.displaced:
        notes.append(f"was on the hull until {row.displaced}, falls apart into {' + '.join(row.decomposition)}")
    if row.recheck_e_above_hull is not None:
        lacking = f", which lacks {', '.join(row.recheck_missing)}" if row.recheck_missing else ""
        notes.append(f"{row.recheck_e_above_hull:.3f} eV/atom above the hull of {row.recheck}{lacking}")
    elif row.recheck:
        notes.append(f"second opinion: {row.recheck}")
    return notes


def _csv(rows: list[PhaseRow]) -> str:
    from dataclasses import fields

    from workflows.phases import PhaseRow

    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [field.name for field in fields(PhaseRow)], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        texts = {
            "lineage": " | ".join(row.lineage),
            "likely_disorder": " ".join(row.likely_disorder),
            "warnings": "; ".join(row.warnings),
            "recheck_missing": " ".join(row.recheck_missing),
            "decomposition": " + ".join(row.decomposition),
        }
        writer.writerow({**row.as_dict(), **texts})
    return buffer.getvalue()


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


def main() -> None:
    """Entry point of `gnome`: errors that a user can mend are one line and exit status 2."""
    try:
        app()
    except Exception as error:
        if type(error).__module__.startswith("pymongo"):
            print("gnome: the database stopped answering: start it again, then repeat the command", file=sys.stderr)
            sys.exit(2)
        if not _is_for_the_user(error):
            raise
        for line in str(error).splitlines():
            print(f"gnome: {line}", file=sys.stderr)
        sys.exit(2)


def _is_for_the_user(error: Exception) -> bool:
    from gnome_torch.candidates.generation import GenerationError
    from gnome_torch.candidates.random_search.options import SearchError
    from gnome_torch.candidates.shards import ShardError
    from gnome_torch.data.files import StructureFileError
    from gnome_torch.data.outside import SourceError
    from workflows.embedded import EmbeddedDatabaseError
    from workflows.local import CampaignStuckError
    from workflows.serving.access import ServeError
    from workflows.slurm import SlurmError
    from workflows.store import StoreError

    kinds: tuple[type[Exception], ...] = (
        SettingsError,
        StoreError,
        SlurmError,
        EmbeddedDatabaseError,
        CampaignStuckError,
        ServeError,
        StructureFileError,
        SourceError,
        GenerationError,
        SearchError,
        ShardError,
    )
    if "torch" in sys.modules:  # errors of networks come from commands that have loaded torch
        from gnome_torch.models.checkpoint import CheckpointError
        from gnome_torch.training.dataset import DataSetError

        kinds += (CheckpointError, DataSetError, FloatingPointError)
    return isinstance(error, kinds)


if __name__ == "__main__":
    main()
