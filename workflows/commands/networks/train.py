"""`gnome train`: networks without a campaign, from a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from workflows.commands.networks.data import Data, source_of
from workflows.commands.networks.members import DEVICE, Members, device_of
from workflows.commands.networks.training import train_members

if TYPE_CHECKING:  # imported where they are needed: `gnome --help` answers at once
    from gnome_torch.data.rejects import Reject
    from gnome_torch.training.config import TrainingConfig
    from gnome_torch.training.dataset import CompositionSet, TrainingSet

Config = TypeVar("Config")

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
EDGES = Annotated[bool, typer.Option(help="join every pair of elements, as the paper; four times slower")]
PER_CELL = Annotated[bool, typer.Option("--per-cell", help="the energies are eV per cell, not per atom")]
JITTER = Annotated[
    float, typer.Option(min=0.0, max=0.2, help="also show crystals at volumes this far off, with their own energy")
]
HIDDEN = Annotated[str, typer.Option(help="widths of the layers of every MLP")]
SEED = Annotated[int, typer.Option(min=0, help="seed of the first member")]
OVERWRITE = Annotated[bool, typer.Option("--overwrite", help="replace networks of other data or settings in --out")]
MINUTES = Annotated[float, typer.Option(min=0.0, help="time between two checkpoints, minutes")]


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
    edges: EDGES = False,
    seed: SEED = 0,
    device: DEVICE = "auto",
    checkpoint_minutes: MINUTES = 5.0,
    overwrite: OVERWRITE = False,
) -> None:
    """Energies from formulas (column formula). Compositions whose hash says so are held out and measured on.

    Rows that cannot be used are written to OUT/rejects.csv, and the others go on. The same command goes on where it
    was stopped or killed.
    """
    from gnome_torch.models.composition import CompositionNetworkConfig

    training = _training(
        device,
        precision,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        volume_jitter=0.0,
        optimizer=optimizer,
        weight_decay=weight_decay,
        warm_up=warm_up,
        averaging=averaging,
        compiled=compiled,
        hold_out=not all_data,
    )
    network = _checked(CompositionNetworkConfig, hidden=_widths(hidden), edges=edges)
    train_members(_formulas(data, target), network, training, Members(out, members, checkpoint_minutes, overwrite))


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
    per_cell: PER_CELL = False,
    volume_jitter: JITTER = 0.0,
    seed: SEED = 0,
    device: DEVICE = "auto",
    checkpoint_minutes: MINUTES = 5.0,
    overwrite: OVERWRITE = False,
) -> None:
    """Energies from crystals (column cif). Compositions whose hash says so are held out and measured on.

    Rows that cannot be used are written to OUT/rejects.csv, and the others go on. The same command goes on where it
    was stopped or killed.
    """
    from gnome_torch.models.structure import StructureNetworkConfig

    training = _training(
        device,
        precision,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        volume_jitter=volume_jitter,
        optimizer=optimizer,
        weight_decay=weight_decay,
        warm_up=warm_up,
        averaging=averaging,
        compiled=compiled,
        hold_out=not all_data,
    )
    network = _checked(StructureNetworkConfig, hidden=_widths(hidden))
    crystals = _crystals(data, target, per_cell)
    train_members(crystals, network, training, Members(out, members, checkpoint_minutes, overwrite))


def _formulas(path: Path, target: str) -> Data:
    """Formulas of a table, with their energies."""
    from gnome_torch.data.tables import read_examples
    from gnome_torch.training.dataset import CompositionSet

    def build() -> tuple[CompositionSet, Sequence[Reject]]:
        examples = read_examples(path, target)
        formulas = [composition.formula for composition in examples.compositions]
        return CompositionSet.build(formulas, examples.targets or [], examples.ids), examples.rejects

    return Data(CompositionSet, build, source_of(path, target))


def _crystals(path: Path, target: str, per_cell: bool) -> Data:
    """Crystals of a table, with their energies."""
    from gnome_torch.data.tables import read_examples
    from gnome_torch.training.dataset import DataSetError, TrainingSet

    def build() -> tuple[TrainingSet, Sequence[Reject]]:
        examples = read_examples(path, target, per_cell)
        if examples.structures is None:
            raise DataSetError(f"{path}: no column cif; for formulas: gnome train composition")
        return TrainingSet.build(examples.structures, examples.targets or [], examples.ids), examples.rejects

    return Data(TrainingSet, build, source_of(path, target, "per cell" if per_cell else "per atom"))


def _training(device: str, precision: str, **settings: Any) -> TrainingConfig:
    """How networks learn, on the device that is there."""
    from gnome_torch.training.config import TrainingConfig

    place = device_of(device)
    if precision == "auto":
        precision = "float32" if place == "cpu" else "bfloat16"
    return _checked(TrainingConfig, precision=precision, device=place, **settings)


def _checked(make: Callable[..., Config], **settings: Any) -> Config:
    """A configuration; what it refuses is a mistake of the command line."""
    from gnome_torch.training.dataset import DataSetError

    try:
        return make(**settings)
    except ValueError as error:
        raise DataSetError(str(error)) from None


def _widths(text: str) -> tuple[int, ...]:
    """Widths of layers, from a text such as 256,256."""
    from gnome_torch.training.dataset import DataSetError

    try:
        return tuple(int(width) for width in text.split(","))
    except ValueError:
        raise DataSetError(f"--hidden {text!r}: write widths such as 256,256") from None
