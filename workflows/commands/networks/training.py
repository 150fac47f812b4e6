"""The members of an ensemble, trained one after another by `gnome train`."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

DEVICE = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, …; auto takes the GPU if there is one")]
DATA_SET = "data"
CALIBRATION = "calibration.json"


def train_members(
    kind: Any,
    built: Callable[[], Any],
    source: str,
    config: Any,
    training: Any,
    out: Path,
    members: int,
    checkpoint_minutes: float,
    overwrite: bool,
) -> None:
    """Train the members one after another; those that are there already, of the same data and settings, stay."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from gnome_torch.training.dataset import DataSetError
    from gnome_torch.training.loop import TrainingStopped, is_trained, train, would_replace
    from gnome_torch.training.parallel import Workers, join, leave

    training = replace(training, device=join(training.device))
    workers = Workers.of_this_process()
    console = Console(quiet=not workers.first)
    dataset = _data_set(kind, built, source, out, workers, overwrite)
    if training.hold_out:
        train_part, test_part = dataset.split()
        console.print(f"{len(dataset):,} examples: {len(train_part):,} to train on, {len(test_part):,} held out")
    else:
        console.print(f"{len(dataset):,} examples to train on, none held out")
    if workers.first:
        for member, directory in members_of(out).items():
            lost = would_replace(directory, dataset, config, replace(training, seed=training.seed + member))
            if lost and not overwrite:
                raise DataSetError(f"{lost} is of other data or settings: give another --out, or --overwrite")
            if lost:
                shutil.rmtree(lost)
        (out / CALIBRATION).unlink(missing_ok=True)
    workers.wait()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[errors]}"),
        TimeRemainingColumn(),
    )
    try:
        with Progress(*columns, console=console) as bar:
            for member in range(members):
                directory, own = out / f"member-{member}", replace(training, seed=training.seed + member)
                if is_trained(directory, dataset, config, own):
                    console.print(f"member {member} is there already")
                    continue
                task = bar.add_task(f"member {member}: steps", total=None, errors="")
                signals = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
                metrics = train(dataset, config, own, directory, _report(bar, task), checkpoint_minutes, signals)
                console.print(f"member {member}: {_errors(metrics)}")
    except TrainingStopped as stopped:
        print(f"gnome: {stopped}", file=sys.stderr)
        raise typer.Exit(128 + stopped.signal) from None
    finally:
        leave()
    if workers.first and members > 1 and training.hold_out:
        _calibrate(console, dataset, test_part, out, members, training.device)


def _calibrate(console: Any, dataset: Any, test_part: Any, out: Path, members: int, device: str) -> None:
    """Errors on what was held out, beside the spread of the members; printed and written down."""
    from rich.table import Table

    from gnome_torch.models.ensemble import Ensemble
    from gnome_torch.training.calibration import calibrate, member_energies

    if len(test_part) == 0:
        return
    ensemble = Ensemble.load([out / f"member-{member}" for member in range(members)]).to(device)
    found = calibrate(member_energies(ensemble, dataset, test_part), dataset.targets[test_part])
    (out / CALIBRATION).write_text(json.dumps(asdict(found), indent=2) + "\n")
    table = Table(title=f"{members} members on the {found.n:,} examples held out, eV/atom")
    for name in ("examples", "inter-quartile range", "error"):
        table.add_column(name, justify="right")
    for part in found.bins:
        table.add_row(f"{part.n:,}", f"{part.iqr:.4f}", f"{part.mae:.4f}")
    console.print(table)
    correlation = "-" if found.rank_correlation is None else f"{found.rank_correlation:.2f}"
    console.print(
        f"error of the median {found.mae:.4f} eV/atom, of one member {found.member_mae:.4f}; {found.within:.0%} of the "
        f"errors are below half the range; rank correlation of error and range {correlation}"
    )


def _data_set(kind: Any, built: Callable[[], Any], source: str, out: Path, workers: Any, overwrite: bool) -> Any:
    """The data set of an earlier run of this source, or a new one; one of several processes makes it."""
    from gnome_torch.training.dataset import DataSetError, read_meta

    directory = out / DATA_SET
    if workers.first:
        try:
            made = read_meta(directory).get("source") == source and kind.load(directory)
        except DataSetError:
            made = None
        if not made:
            dataset = built()
            if directory.exists() and any(out.glob("member-*")) and not overwrite:
                raise DataSetError(f"{out} has networks of another file: give another --out, or --overwrite")
            dataset.save(directory, source)
    workers.wait()
    return kind.load(directory)


def source_of(data: Path, *settings: str) -> str:
    """What a data set is made from: the bytes of the file, and how they are read."""
    from gnome_torch.data.files import StructureFileError

    try:
        with data.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StructureFileError(f"{data}: cannot be read ({error.strerror})") from error
    return "; ".join([f"sha256 {digest}", *settings])


def _report(bar: Any, task: Any) -> Callable[[int, int, Mapping[str, float | None] | None], None]:
    def report(done: int, n_steps: int, row: Mapping[str, float | None] | None) -> None:
        bar.update(task, completed=done, total=n_steps, **({"errors": _errors(row)} if row else {}))

    return report


def _errors(row: Mapping[str, Any]) -> str:
    held_out = "-" if row["test_mae"] is None else f"{row['test_mae']:.4f}"
    return f"error {row['train_mae']:.4f} eV/atom, held out {held_out}"


def device_of(name: str) -> str:
    import torch

    from gnome_torch.training.dataset import DataSetError

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise DataSetError(f"--device {name!r} cannot be used: {str(error).splitlines()[0]}") from error
    return name


def members_of(out: Path) -> dict[int, Path]:
    """Members that are there, finished or begun: number -> directory of the network."""
    names = [re.fullmatch(r"member-(\d+)(\.training)?", path.name) for path in out.glob("member-*")]
    return {int(name[1]): out / f"member-{name[1]}" for name in names if name}
