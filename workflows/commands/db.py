"""`gnome db`: the embedded database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The embedded database: MongoDB's protocol, one user, this machine only.", no_args_is_help=True)

DIRECTORY = Annotated[Path | None, typer.Option(help="where its data are; by default in your data directory")]
PORT = Annotated[int, typer.Option(help="port on 127.0.0.1")]


@app.command("start", epilog="Example: gnome db start --directory ~/gnome-data --port 27018")
def start(directory: DIRECTORY = None, port: PORT = 27017) -> None:
    """Start it, in the background; does nothing if it runs already."""
    from workflows.store.embedded import EmbeddedDatabase, default_directory

    database = EmbeddedDatabase(directory or default_directory(), port)
    started = database.start()
    status = database.status()
    word = "started" if started else "is already running"
    print(f"database {word} on 127.0.0.1:{status.port} (process {status.pid}, data in {status.directory})")
    _prepare_if_ours(status.port)


@app.command("stop", epilog="Example: gnome db stop")
def stop(directory: DIRECTORY = None) -> None:
    """Stop it; its data stay."""
    from workflows.store.embedded import EmbeddedDatabase, default_directory

    stopped = EmbeddedDatabase(directory or default_directory()).stop()
    print("database stopped" if stopped else "no database was running")


@app.command("status", epilog="Example: gnome db status")
def status(directory: DIRECTORY = None) -> None:
    """Say whether it runs, where, and how large it is. Exit status 1 when it does not run."""
    from workflows.store.embedded import EmbeddedDatabase, default_directory

    status = EmbeddedDatabase(directory or default_directory()).status()
    size = f"{status.size_bytes / 1e6:.1f} MB in {status.directory}"
    if not status.running:
        print(f"not running; {size}")
        raise typer.Exit(1)
    print(f"running on 127.0.0.1:{status.port}, process {status.pid}; {size}; SecantusDB {status.secantus_version}")


@app.command("launchpad", epilog="Example: gnome db launchpad > lp.yaml; lpad -l lp.yaml report")
def launchpad() -> None:
    """Print the connection in force as a LaunchPad file, for lpad, rlaunch and qlaunch (it holds your password)."""
    import yaml

    from workflows.store.connection import launchpad_settings

    print(yaml.safe_dump(launchpad_settings(), sort_keys=False), end="")


def _prepare_if_ours(port: int | None) -> None:
    """Make the embedded database a LaunchPad, if the connection in force leads to it: `lpad add` needs that."""
    from workflows.store.connection import launchpad_settings, open_database

    connection = launchpad_settings()
    if not connection.get("uri_mode") and (connection["host"], connection.get("port")) == ("127.0.0.1", port):
        open_database()
