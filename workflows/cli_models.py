"""`gnome train` and `gnome predict`: networks without a campaign, from files to files."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:  # imported where they are needed: `gnome --help` answers at once
    from gnome_torch.data.tables import Examples
    from gnome_torch.models.ensemble import Ensemble

app = typer.Typer(help="Train networks on a table, without a campaign.", no_args_is_help=True)

DATA = Annotated[Path, typer.Option(help="CSV file")]
TARGET = Annotated[str, typer.Option(help="column with the energies, eV/atom")]
OUT = Annotated[Path, typer.Option(help="directory for the data set and the members of the ensemble")]
MEMBERS = Annotated[int, typer.Option(min=1, max=100, help="networks, each from its own seed")]
EPOCHS = Annotated[int, typer.Option(min=1, help="passes over the data")]
BATCH = Annotated[int, typer.Option(min=1, help="examples in one step, over all processes")]
RATE = Annotated[float, typer.Option(min=1e-8, help="largest learning rate; it decays linearly to 0")]
WARM_UP = Annotated[float, typer.Option(min=0.0, max=0.9, help="share of the steps over which the rate first rises")]
OPTIMIZER = Annotated[str, typer.Option(help="adam or adamw")]
DECAY = Annotated[float, typer.Option(min=0.0, help="weight decay of adamw")]
AVERAGING = Annotated[float, typer.Option(min=0.0, max=0.99999, help="decay of an average of the weights; 0: none")]
PRECISION = Annotated[str, typer.Option(help="float32, tf32, bfloat16; auto: bfloat16 on a GPU")]
COMPILED = Annotated[bool, typer.Option("--compile", help="compile the networks first")]
ALL_DATA = Annotated[bool, typer.Option("--all-data", help="hold nothing out: learn from every row")]
HIDDEN = Annotated[str, typer.Option(help="widths of the layers of every MLP")]
SEED = Annotated[int, typer.Option(min=0, help="of the first member")]
DEVICE = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, …; auto takes the GPU if there is one")]
OVERWRITE = Annotated[bool, typer.Option("--overwrite", help="replace networks of other data or settings in --out")]
MINUTES = Annotated[float, typer.Option(min=0.0, help="time between two checkpoints, minutes")]
DATA_SET = "data"
CALIBRATION = "calibration.json"


@app.command("composition", epilog="Example: gnome train composition --data formulas.csv --target target --out model")
def composition(
    data: DATA,
    target: TARGET,
    out: OUT,
    members: MEMBERS = 1,
    epochs: EPOCHS = 60,
    batch_size: BATCH = 512,
    learning_rate: RATE = 3e-3,
    warm_up: WARM_UP = 0.05,
    optimizer: OPTIMIZER = "adam",
    weight_decay: DECAY = 0.0,
    averaging: AVERAGING = 0.0,
    precision: PRECISION = "auto",
    compiled: COMPILED = False,
    all_data: ALL_DATA = False,
    hidden: HIDDEN = "256,256",
    edges: Annotated[bool, typer.Option(help="join every pair of elements, as the paper; four times slower")] = False,
    seed: SEED = 0,
    device: DEVICE = "auto",
    checkpoint_minutes: MINUTES = 5.0,
    overwrite: OVERWRITE = False,
) -> None:
    """Energies from formulas (column formula). Compositions whose hash says so are held out and measured on.

    The same command goes on where it was stopped or killed.
    """
    from gnome_torch.data.tables import read_examples
    from gnome_torch.models.composition import CompositionNetworkConfig
    from gnome_torch.training.dataset import CompositionSet
    from gnome_torch.training.loop import TrainingConfig

    def built() -> CompositionSet:
        examples = read_examples(data, target)
        formulas = [composition.formula for composition in examples.compositions]
        return CompositionSet.build(formulas, examples.targets or [], examples.ids)

    place = _device(device)
    training = _checked(
        TrainingConfig,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        volume_jitter=0.0,
        optimizer=optimizer,
        weight_decay=weight_decay,
        warm_up=warm_up,
        averaging=averaging,
        precision=_precision(precision, place),
        compiled=compiled,
        hold_out=not all_data,
        device=place,
    )
    config = _checked(CompositionNetworkConfig, hidden=_widths(hidden), edges=edges)
    _train(CompositionSet, built, _source(data, target), config, training, out, members, checkpoint_minutes, overwrite)


@app.command(
    "structure", epilog="Example: gnome train structure --data crystals.csv --target e_form --epochs 100 --out model"
)
def structure(
    data: DATA,
    target: TARGET,
    out: OUT,
    members: MEMBERS = 1,
    epochs: EPOCHS = 100,
    batch_size: BATCH = 256,
    learning_rate: RATE = 5.55e-4,
    warm_up: WARM_UP = 0.0,
    optimizer: OPTIMIZER = "adam",
    weight_decay: DECAY = 0.0,
    averaging: AVERAGING = 0.0,
    precision: PRECISION = "auto",
    compiled: COMPILED = False,
    all_data: ALL_DATA = False,
    hidden: HIDDEN = "256,256",
    per_cell: Annotated[bool, typer.Option("--per-cell", help="the energies are eV per cell, not per atom")] = False,
    volume_jitter: Annotated[
        float, typer.Option(min=0.0, max=0.2, help="also show crystals at volumes this far off, with their own energy")
    ] = 0.0,
    seed: SEED = 0,
    device: DEVICE = "auto",
    checkpoint_minutes: MINUTES = 5.0,
    overwrite: OVERWRITE = False,
) -> None:
    """Energies from crystals (column cif). Compositions whose hash says so are held out and measured on.

    The same command goes on where it was stopped or killed.
    """
    from gnome_torch.data.tables import read_examples
    from gnome_torch.models.structure import StructureNetworkConfig
    from gnome_torch.training.dataset import DataSetError, TrainingSet
    from gnome_torch.training.loop import TrainingConfig

    def built() -> TrainingSet:
        examples = read_examples(data, target, per_cell)
        if examples.structures is None:
            raise DataSetError(f"{data}: no column cif; for formulas: gnome train composition")
        return TrainingSet.build(examples.structures, examples.targets or [], examples.ids)

    place = _device(device)
    training = _checked(
        TrainingConfig,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        volume_jitter=volume_jitter,
        optimizer=optimizer,
        weight_decay=weight_decay,
        warm_up=warm_up,
        averaging=averaging,
        precision=_precision(precision, place),
        compiled=compiled,
        hold_out=not all_data,
        device=place,
    )
    config = _checked(StructureNetworkConfig, hidden=_widths(hidden))
    source = _source(data, target, "per cell" if per_cell else "per atom")
    _train(TrainingSet, built, source, config, training, out, members, checkpoint_minutes, overwrite)


def predict(
    model: Annotated[Path, typer.Option(help="directory of `gnome train`, or of one saved network")],
    input: Annotated[
        Path, typer.Option(help="CSV with a column formula or cif; CIF, POSCAR, extended XYZ or pymatgen JSON")
    ],
    out: Annotated[Path, typer.Option(help="CSV file to write: id, formula, energy_per_atom, iqr (eV/atom)")],
    target: Annotated[str | None, typer.Option(help="column with known energies: prints the error")] = None,
    per_cell: Annotated[bool, typer.Option("--per-cell", help="the known energies are eV per cell")] = False,
    device: DEVICE = "auto",
) -> None:
    """Energies of compounds or crystals, with the spread of the ensemble's members."""
    import numpy as np

    from gnome_torch.data.tables import read_examples
    from gnome_torch.models.ensemble import Ensemble

    ensemble = Ensemble.load(_member_directories(model))
    examples = read_examples(input, target, per_cell)
    found = [_predicted(ensemble, part, input, _device(device)) for part in _parts(examples)]
    energies, spread = (np.concatenate(columns) for columns in zip(*found, strict=True))
    formulas = [composition.reduced_formula for composition in examples.compositions]
    _write_predictions(out, examples.ids, formulas, energies, spread)
    print(f"{out}: {len(examples):,} predictions by {len(ensemble)} network{'s' if len(ensemble) > 1 else ''}")
    if examples.targets is not None:
        errors = np.abs(energies - np.array(examples.targets))
        print(f"mean absolute error {errors.mean():.4f} eV/atom, median {np.median(errors):.4f}")


def _parts(examples: Examples, size: int = 2048) -> Iterator[Examples]:
    """Examples some at a time, with a progress bar."""
    from rich.progress import track

    for first in track(range(0, len(examples), size), "predicting", disable=len(examples) <= size):
        some = slice(first, first + size)
        structures = None if examples.structures is None else examples.structures[some]
        yield replace(examples, compositions=examples.compositions[some], structures=structures)


def _predicted(ensemble: Ensemble, examples: Examples, source: Path, device: str) -> tuple[Any, Any]:
    from gnome_torch.inference import Evaluation, predict_compositions, predict_structures
    from gnome_torch.models.composition import CompositionNetwork
    from gnome_torch.training.dataset import DataSetError

    try:
        if isinstance(ensemble.members[0], CompositionNetwork):
            return predict_compositions(ensemble, examples.compositions, evaluation=Evaluation(device))
        if examples.structures is None:
            raise DataSetError(f"{source}: formulas, and a network that needs crystals: give a column cif")
        return predict_structures(ensemble, examples.structures, evaluation=Evaluation(device))
    except ValueError as error:
        raise DataSetError(f"{source}: {error}") from error


def _train(
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
        for member, directory in _members(out).items():
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


def _source(data: Path, *settings: str) -> str:
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


def _checked(make: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """A configuration; what it refuses is a mistake of the command line."""
    from gnome_torch.training.dataset import DataSetError

    try:
        return make(*arguments, **named)
    except ValueError as error:
        raise DataSetError(str(error)) from None


def _precision(name: str, device: str) -> str:
    if name != "auto":
        return name
    return "float32" if device == "cpu" else "bfloat16"


def _errors(row: Mapping[str, Any]) -> str:
    held_out = "-" if row["test_mae"] is None else f"{row['test_mae']:.4f}"
    return f"error {row['train_mae']:.4f} eV/atom, held out {held_out}"


def _widths(text: str) -> tuple[int, ...]:
    from gnome_torch.training.dataset import DataSetError

    try:
        return tuple(int(width) for width in text.split(","))
    except ValueError:
        raise DataSetError(f"--hidden {text!r}: write widths such as 256,256") from None


def _device(name: str) -> str:
    import torch

    from gnome_torch.training.dataset import DataSetError

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise DataSetError(f"--device {name!r} cannot be used: {str(error).splitlines()[0]}") from error
    return name


def _member_directories(model: Path) -> list[Path]:
    """A directory of members, or one saved network.

    Raises:
        CheckpointError: one is broken, or they do not belong together.
    """
    from gnome_torch.models.checkpoint import CheckpointError, load_metrics

    members = [path for _, path in sorted(_members(model).items()) if path.exists()] or [model]
    made = [load_metrics(path) for path in members]
    for path, metrics in zip(members[1:], made[1:], strict=True):
        if _origin(metrics) != _origin(made[0]):
            raise CheckpointError(f"{path} has learnt from other data or otherwise than {members[0]}: move it away")
    return members


def _origin(metrics: Mapping[str, Any]) -> Any:
    """Data and settings that members of one ensemble share."""
    settings = {name: value for name, value in metrics.get("training", {}).items() if name not in ("seed", "device")}
    return metrics.get("data_hash"), settings


def _members(out: Path) -> dict[int, Path]:
    """Members that are there, finished or begun: number -> directory of the network."""
    names = [re.fullmatch(r"member-(\d+)(\.training)?", path.name) for path in out.glob("member-*")]
    return {int(name[1]): out / f"member-{name[1]}" for name in names if name}


def _write_predictions(
    path: Path, ids: Sequence[str], formulas: Sequence[str], energies: Iterable[float], spread: Iterable[float]
) -> None:
    partial = path.with_name(f"{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "formula", "energy_per_atom", "iqr"])
        for row in zip(ids, formulas, energies, spread, strict=True):
            writer.writerow([*row[:2], f"{row[2]:.6f}", f"{row[3]:.6f}"])
    partial.replace(path)
