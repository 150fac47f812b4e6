"""The gnome command, with what belongs to a cluster: `gnome launchers`."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workflows import cli
from workflows.commands.errors import interruptible
from workflows.ground.queues import CATEGORIES
from workflows.ground.strict import SettingsError

if TYPE_CHECKING:
    from fireworks import LaunchPad

    from workflows.ground.queues import Category
    from workflows.ground.site import Site

app = typer.Typer(help="Jobs on a SLURM cluster, from your site file.", no_args_is_help=True)
cli.app.add_typer(app, name="launchers")


@app.command("write", epilog="Example: gnome launchers write --site site.yaml --out ~/gnome-jobs")
def write(
    out: Annotated[Path, typer.Option(help="directory, on a file system that all nodes share; jobs run in it")],
    site: Annotated[Path | None, typer.Option(help="site file; by default the one in force")] = None,
    launchpad: Annotated[Path | None, typer.Option(help="my_launchpad.yaml of the jobs; by default as lpad")] = None,
) -> None:
    """Write FireWorks' files for every kind of work, and ask SLURM if it would accept the jobs. Status 1 if not."""
    import shutil

    from launchers.check import verdicts
    from launchers.files import Place, launcher_files
    from launchers.ownership import write_owned
    from workflows.ground.site import read_site, site_file
    from workflows.store.connection import read_launchpad_file

    site_path = (site or site_file()).expanduser().resolve()
    settings = read_site(site_path)
    directory = out.expanduser().resolve()
    place = Place(directory, site_path, _launchpad_file(settings, site_path, launchpad))
    read_launchpad_file(place.launchpad)
    files = launcher_files(settings, place)
    changed = write_owned(directory, files)
    for name in files:
        print(f"{'wrote    ' if name in changed else 'unchanged'} {directory / name}")
    if shutil.which("sbatch") is None:
        print("sbatch is not on this machine: SLURM was not asked whether it would accept the jobs")
        return
    answers = list(verdicts(directory))
    for answer in answers:
        print(
            f"{'REFUSED  ' if answer.reason else 'ok       '} {answer.category}: {answer.reason or 'SLURM accepts it'}"
        )
    if any(answer.reason for answer in answers):
        raise typer.Exit(1)


@app.command("launch", epilog="Example: gnome launchers launch ~/gnome-jobs --once")
def launch(
    directory: Annotated[Path, typer.Argument(help="directory that 'gnome launchers write' wrote")],
    category: Annotated[list[str] | None, typer.Option(help=f"only this: {', '.join(CATEGORIES)}")] = None,
    once: Annotated[bool, typer.Option("--once", help="one round, for cron, instead of round after round")] = False,
    every_s: Annotated[float, typer.Option(min=1, help="seconds between rounds")] = 60.0,
) -> None:
    """Submit a job for each Firework that is ready, as many as the site lets wait. Ctrl-C stops; the jobs go on."""
    from launchers.submit import launchpad_of

    chosen = _categories(category)
    directory = directory.expanduser().resolve()
    pad = launchpad_of(directory)
    with interruptible("stopped; jobs that are submitted go on"):
        said = False
        while True:
            done = _round(pad, directory, chosen)
            if once:
                raise typer.Exit(0 if done.well else 1)
            idle = done.well and not done.submitted
            if idle and not said:  # once, until there is something again
                print(f"nothing to submit, next look in {every_s:g} s", flush=True)
            said = idle
            time.sleep(every_s)


@dataclass(frozen=True)
class _Round:
    """What became of a round: how many jobs were submitted, and whether nothing went wrong."""

    submitted: int
    well: bool


def _round(launchpad: LaunchPad, directory: Path, categories: list[Category]) -> _Round:
    """Every category's turn; what goes wrong in one does not keep the others from theirs."""
    from launchers.submit import submit
    from workflows.ground.slurm import SlurmError
    from workflows.store import StoreError, check_server

    submitted, well = 0, True
    for category in categories:
        try:
            check_server(launchpad.db)
            for job in submit(launchpad, directory, category):
                submitted += 1
                print(f"{job.category}: job {job.job} for Firework {job.fw_id}, {job.name}", flush=True)
        except (SlurmError, StoreError) as error:
            print(f"gnome: {error}", file=sys.stderr, flush=True)
            well = False
    return _Round(submitted, well)


def _categories(names: list[str] | None) -> list[Category]:
    unknown = [name for name in names or () if name not in CATEGORIES]
    if unknown:
        raise SettingsError(f"--category {unknown[0]}: there is no such kind of work, only {', '.join(CATEGORIES)}")
    return [category for category in CATEGORIES if names is None or category in names]


def _launchpad_file(site: Site, site_path: Path, named: Path | None) -> Path:
    """The user's my_launchpad.yaml: as named, as the site says, as lpad finds it."""
    import os

    from fireworks.fw_config import LAUNCHPAD_LOC

    from workflows.store.connection import URI_VARIABLE

    if named is not None:
        return named.expanduser().resolve()
    if site.database.launchpad is not None:
        return (site_path.parent / site.database.launchpad.expanduser()).resolve()
    if os.environ.get(URI_VARIABLE) or not LAUNCHPAD_LOC:
        why = f"{URI_VARIABLE} is not read by FireWorks' commands" if os.environ.get(URI_VARIABLE) else "none was found"
        raise SettingsError(
            f"the jobs need a my_launchpad.yaml, and {why}: (umask 077; gnome db launchpad > my_launchpad.yaml), then "
            "--launchpad my_launchpad.yaml"
        )
    return Path(LAUNCHPAD_LOC).resolve()


def main() -> None:
    """Entry point of `gnome`."""
    cli.main()


if __name__ == "__main__":
    main()
