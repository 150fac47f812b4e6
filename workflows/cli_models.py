"""`gnome train` and `gnome predict`: networks without a campaign, from files to files."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:  # imported where they are needed: `gnome --help` answers at once
    from gnome_torch.data.tables import Examples
    from gnome_torch.models.ensemble import Ensemble

app = typer.Typer(help="Train networks on a table, without a campaign.", no_args_is_help=True)

DATA = Annotated[Path, typer.Option(help="CSV file")]
TARGET = Annotated[str, typer.Option(help="column with the energies, eV/atom")]
OUT = Annotated[Path, typer.Option(help="directory for the members of the ensemble")]
MEMBERS = Annotated[int, typer.Option(min=1, max=100, help="networks, each from its own seed")]
EPOCHS = Annotated[int, typer.Option(min=1, help="passes over the data")]
BATCH = Annotated[int, typer.Option(min=1, help="examples in one step")]
RATE = Annotated[float, typer.Option(min=1e-8, help="Adam's at the first step; it decays linearly to 0")]
HIDDEN = Annotated[str, typer.Option(help="widths of the layers of every MLP")]
SEED = Annotated[int, typer.Option(min=0, help="of the first member")]
DEVICE = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, …; auto takes the GPU if there is one")]


@app.command(
    "composition",
    epilog="Example: gnome train composition --data formulas.csv --target target --out model",
)
def composition(
    data: DATA,
    target: TARGET,
    out: OUT,
    members: MEMBERS = 1,
    epochs: EPOCHS = 100,
    batch_size: BATCH = 256,
    learning_rate: RATE = 5.55e-4,
    hidden: HIDDEN = "256,256",
    edges: Annotated[bool, typer.Option(help="join every pair of elements, as the paper; slower and better")] = True,
    seed: SEED = 0,
    device: DEVICE = "auto",
) -> None:
    """Energies from formulas (column formula). Compositions whose hash says so are held out and measured on."""
    from gnome_torch.data.tables import read_examples
    from gnome_torch.models.composition import CompositionNetworkConfig
    from gnome_torch.training.dataset import CompositionSet

    examples = read_examples(data, target)
    formulas = [composition.formula for composition in examples.compositions]
    dataset = CompositionSet.build(formulas, examples.targets or [], examples.ids)
    config = CompositionNetworkConfig(hidden=_widths(hidden), edges=edges)
    _train(dataset, config, out, members, seed, epochs, batch_size, learning_rate, 0.0, device)


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
    hidden: HIDDEN = "256,256",
    per_cell: Annotated[bool, typer.Option("--per-cell", help="the energies are eV per cell, not per atom")] = False,
    volume_jitter: Annotated[
        float, typer.Option(min=0.0, max=0.2, help="also show crystals at volumes this far off, with their own energy")
    ] = 0.0,
    seed: SEED = 0,
    device: DEVICE = "auto",
) -> None:
    """Energies from crystals (column cif). Compositions whose hash says so are held out and measured on."""
    from gnome_torch.data.tables import read_examples
    from gnome_torch.models.structure import StructureNetworkConfig
    from gnome_torch.training.dataset import DataSetError, TrainingSet

    examples = read_examples(data, target, per_cell)
    if examples.structures is None:
        raise DataSetError(f"{data}: no column cif; for formulas: gnome train composition")
    dataset = TrainingSet.build(examples.structures, examples.targets or [], examples.ids)
    config = StructureNetworkConfig(hidden=_widths(hidden))
    _train(dataset, config, out, members, seed, epochs, batch_size, learning_rate, volume_jitter, device)


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
    energies, spread = _predicted(ensemble, examples, input, _device(device))
    formulas = [composition.reduced_formula for composition in examples.compositions]
    _write_predictions(out, examples.ids, formulas, energies, spread)
    print(f"{out}: {len(examples):,} predictions by {len(ensemble)} network{'s' if len(ensemble) > 1 else ''}")
    if examples.targets is not None:
        errors = np.abs(energies - np.array(examples.targets))
        print(f"mean absolute error {errors.mean():.4f} eV/atom, median {np.median(errors):.4f}")


def _predicted(ensemble: Ensemble, examples: Examples, source: Path, device: str) -> tuple[Any, Any]:
    from gnome_torch.inference import predict_compositions, predict_structures
    from gnome_torch.models.composition import CompositionNetwork
    from gnome_torch.training.dataset import DataSetError

    try:
        if isinstance(ensemble.members[0], CompositionNetwork):
            return predict_compositions(ensemble, examples.compositions, device=device)
        if examples.structures is None:
            raise DataSetError(f"{source}: formulas, and a network that needs crystals: give a column cif")
        return predict_structures(ensemble, examples.structures, device=device)
    except ValueError as error:
        raise DataSetError(f"{source}: {error}") from error


def _train(
    dataset: Any,
    config: Any,
    out: Path,
    members: int,
    seed: int,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    volume_jitter: float,
    device: str,
) -> None:
    """Train the members one after another; those that are there already, of the same data and settings, stay."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from gnome_torch.training.loop import TrainingConfig, is_trained, train

    console = Console()
    train_part, test_part = dataset.split()
    console.print(f"{len(dataset):,} examples: {len(train_part):,} to train on, {len(test_part):,} held out")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[errors]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        for member in range(members):
            directory = out / f"member-{member}"
            training = TrainingConfig(
                epochs, batch_size, learning_rate, seed + member, volume_jitter, device=_device(device)
            )
            if is_trained(directory, dataset, config, training):
                console.print(f"member {member} is there already")
                continue
            task = bar.add_task(f"member {member}: epochs", total=epochs, errors="")
            metrics = train(dataset, config, training, directory, progress=_report(bar, task))
            console.print(f"member {member}: {_errors(metrics)}")


def _report(bar: Any, task: Any) -> Callable[[int, Mapping[str, float | None]], None]:
    return lambda epoch, row: bar.update(task, completed=epoch, errors=_errors(row))


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
    """A directory of members, or one saved network."""
    members = sorted(model.glob("member-*"), key=lambda path: int(path.name.rsplit("-", 1)[1]))
    return members or [model]


def _write_predictions(
    path: Path, ids: Sequence[str], formulas: Sequence[str], energies: Sequence[float], spread: Sequence[float]
) -> None:
    partial = path.with_name(f"{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "formula", "energy_per_atom", "iqr"])
        for row in zip(ids, formulas, energies, spread, strict=True):
            writer.writerow([*row[:2], f"{row[2]:.6f}", f"{row[3]:.6f}"])
    partial.replace(path)
