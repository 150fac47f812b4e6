"""The members of an ensemble, trained one after another by `gnome train`."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import typer

from workflows.commands.networks.calibration import CALIBRATION, calibrate_members
from workflows.commands.networks.data import Data, data_set
from workflows.commands.networks.members import Members, members_of

if TYPE_CHECKING:  # imported where they are needed: `gnome --help` answers at once
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from gnome_torch.models.checkpoint import NetworkConfig
    from gnome_torch.training.config import TrainingConfig
    from workflows.commands.networks.data import DataSet

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


def train_members(data: Data, network: NetworkConfig, training: TrainingConfig, members: Members) -> None:
    """Train the members one after another; those that are there already, of the same data and settings, stay.

    Args:
        data: to learn from.
        network: shape of the networks.
        training: how they learn; its seed is the first member's.
        members: how many, and where.

    Raises:
        DataSetError: something would be lost that may not be overwritten.
        Exit: a signal has stopped the training.
    """
    from rich.console import Console

    from gnome_torch.training.loop import TrainingStopped
    from gnome_torch.training.parallel import Workers, join, leave

    training = replace(training, device=join(training.device))
    workers = Workers.of_this_process()
    console = Console(quiet=not workers.first)
    dataset = data_set(data, members, workers)
    _say_split(dataset, training.hold_out, console)
    if workers.first:
        _make_room(dataset, network, training, members)
    workers.wait()
    try:
        _train_each(dataset, network, training, members, console)
    except TrainingStopped as stopped:
        print(f"gnome: {stopped}", file=sys.stderr)
        raise typer.Exit(128 + stopped.signal) from None
    finally:
        leave()
    if workers.first and members.count > 1 and training.hold_out:
        calibrate_members(dataset, members, training.device, console)


def _say_split(dataset: DataSet, hold_out: bool, console: Console) -> None:
    if hold_out:
        train_part, test_part = dataset.split()
        console.print(f"{len(dataset):,} examples: {len(train_part):,} to train on, {len(test_part):,} held out")
    else:
        console.print(f"{len(dataset):,} examples to train on, none held out")


def _make_room(dataset: DataSet, network: NetworkConfig, training: TrainingConfig, members: Members) -> None:
    """Remove members of other data or settings, if that is allowed, and what was measured on those that were there."""
    from gnome_torch.training.dataset import DataSetError
    from gnome_torch.training.loop import would_replace

    for member, directory in members_of(members.out).items():
        lost = would_replace(directory, dataset, network, _of_member(training, member))
        if lost and not members.overwrite:
            raise DataSetError(f"{lost} is of other data or settings: give another --out, or --overwrite")
        if lost:
            shutil.rmtree(lost)
    (members.out / CALIBRATION).unlink(missing_ok=True)


def _train_each(
    dataset: DataSet, network: NetworkConfig, training: TrainingConfig, members: Members, console: Console
) -> None:
    """Train what is not there yet, with a progress bar."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from gnome_torch.training.loop import is_trained, train

    description, errors = TextColumn("{task.description}"), TextColumn("{task.fields[errors]}")
    columns = (description, BarColumn(), MofNCompleteColumn(), errors, TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        for member in range(members.count):
            directory, own = members.directory(member), _of_member(training, member)
            if is_trained(directory, dataset, network, own):
                console.print(f"member {member} is there already")
                continue
            task = bar.add_task(f"member {member}: steps", total=None, errors="")
            report = _report(bar, task)
            metrics = train(dataset, network, own, directory, report, members.checkpoint_minutes, SIGNALS)
            console.print(f"member {member}: {_errors(metrics)}")


def _of_member(training: TrainingConfig, member: int) -> TrainingConfig:
    """The settings of one member, which has a seed of its own."""
    return replace(training, seed=training.seed + member)


def _report(bar: Progress, task: TaskID) -> Callable[[int, int, Mapping[str, float | None] | None], None]:
    def report(done: int, n_steps: int, row: Mapping[str, float | None] | None) -> None:
        bar.update(task, completed=done, total=n_steps)
        if row:
            bar.update(task, errors=_errors(row))

    return report


def _errors(row: Mapping[str, Any]) -> str:
    held_out = "-" if row["test_mae"] is None else f"{row['test_mae']:.4f}"
    return f"error {row['train_mae']:.4f} eV/atom, held out {held_out}"
