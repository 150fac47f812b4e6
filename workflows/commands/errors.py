"""What a command that fails says: one line for each thing to mend, status 1; the traceback with --debug."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

DEBUG = "--debug"
VARIABLE = "GNOME_DEBUG"
GOES_ON = "stopped; the same command goes on from here"


def run(command: Callable[[], None]) -> None:
    """Run a command line to its end.

    Errors that a user can mend say so in a line or more on standard error. Anything else is a mistake of ours: a line
    with its kind, and how to see the rest. `--debug` anywhere in the line, or GNOME_DEBUG=1, adds the traceback.

    Raises:
        SystemExit: with the command's status; 1 for an error.
    """
    debug = _wanted()
    try:
        command()
    except Exception as error:
        if debug:
            traceback.print_exc()
        for line in lines(error):
            print(f"gnome: {line}", file=sys.stderr)
        sys.exit(1)


@contextmanager
def interruptible(message: str = GOES_ON) -> Iterator[None]:
    """Ctrl-C in the block ends the command with a line and the status that shells give it."""
    try:
        yield
    except KeyboardInterrupt:
        if message:
            print(f"gnome: {message}", file=sys.stderr)
        raise typer.Exit(130) from None


def refuse_inputs(out: Path, *inputs: Path) -> None:
    """Make sure that what a command writes takes the place of nothing that it reads.

    Raises:
        StructureFileError: `out` is one of the inputs.
    """
    from gnome_torch.data.files import StructureFileError

    if out.exists() and any(path.exists() and out.samefile(path) for path in inputs):
        raise StructureFileError(f"--out {out}: this file is an input: choose another name")


def _wanted() -> bool:
    """Whether tracebacks are asked for; the option is taken out of the line, so that every command has it."""
    if DEBUG in sys.argv[1:]:
        sys.argv[1:] = [argument for argument in sys.argv[1:] if argument != DEBUG]
        return True
    return os.environ.get(VARIABLE, "") not in ("", "0")


def lines(error: Exception) -> list[str]:
    """What to tell a user of an error."""
    text = str(error).strip()
    if isinstance(error, expected()):
        return text.splitlines() or [type(error).__name__]
    if type(error).__module__.startswith("pymongo"):
        return [f"the database does not answer as it should ({_short(text)}): start it again, then repeat the command"]
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename is not None else ""
        return [f"{place}{error.strerror}: mend that, then repeat the command"]
    kind = type(error).__name__
    return [f"unexpected {kind}: {_short(text)} (the traceback: the same command with {DEBUG}; please report it)"]


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 200 else f"{text[:200]}…"


def expected() -> tuple[type[Exception], ...]:
    """Errors whose message is written for users."""
    from gnome_torch.candidates.random_search.options import SearchError
    from gnome_torch.candidates.structural.generation import GenerationError
    from gnome_torch.candidates.tables.shards import ShardError
    from gnome_torch.data.files import StructureFileError
    from gnome_torch.data.outside import SourceError
    from workflows.catalogue.serving.access import ServeError
    from workflows.ground.slurm import SlurmError
    from workflows.ground.strict import SettingsError
    from workflows.operate.local import CampaignStuckError
    from workflows.store import StoreError
    from workflows.store.embedded import EmbeddedDatabaseError

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
    return kinds
