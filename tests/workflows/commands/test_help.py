"""Help: of every command, with an example; the tour."""

from __future__ import annotations

import re
import subprocess
import sys

import click
import typer

from workflows import cli


def commands(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    found = [(path, command)]
    for name, sub in getattr(command, "commands", {}).items():
        found += commands(sub, (*path, name))
    return found


def test_every_command_has_help_with_an_example() -> None:
    tree = commands(typer.main.get_command(cli.app))
    assert len(tree) > 10
    for path, command in tree:
        assert command.help, path
        if not getattr(command, "commands", None):
            assert (command.epilog or "").startswith(f"Example: gnome {' '.join(path)}"), path


def test_help_is_a_tour_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['gnome', '--help']\n"
        "from workflows.cli import main\n"
        "try: main()\n"
        "finally: print([m for m in ('torch', 'pymatgen', 'fireworks', 'pymongo') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "gnome campaign start" in done.stdout
    assert done.stdout.rstrip().endswith("[]")


def test_the_tour_fits_into_80_columns() -> None:
    plain = re.sub(r"\[/?bold\]", "", cli.TOUR)
    assert max(len(line) for line in plain.splitlines()) <= 78  # one blank on either side
