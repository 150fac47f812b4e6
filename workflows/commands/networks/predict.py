"""`gnome predict`: what networks say of compounds and crystals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gnome_torch.files import whole_file
from gnome_torch.spreadsheets import CsvWriter
from workflows.commands.errors import refuse_inputs
from workflows.commands.networks.members import DEVICE, device_of, members_of

if TYPE_CHECKING:  # imported where they are needed: `gnome --help` answers at once
    import numpy as np

    from gnome_torch.data.tables import Examples
    from gnome_torch.models.ensemble import Ensemble


def predict(
    model: Annotated[Path, typer.Option(help="directory of `gnome train`, or of one saved network")],
    input: Annotated[
        Path,
        typer.Option(help="CSV with a column formula or cif; CIF, POSCAR, extended XYZ, pymatgen JSON; a directory"),
    ],
    out: Annotated[Path, typer.Option(help="CSV file to write: id, formula, energy_per_atom, iqr (eV/atom)")],
    target: Annotated[str | None, typer.Option(help="column with known energies: prints the error")] = None,
    per_cell: Annotated[bool, typer.Option("--per-cell", help="the known energies are eV per cell")] = False,
    device: DEVICE = "auto",
) -> None:
    """Energies of compounds or crystals, with the spread of the ensemble's members.

    What cannot be used is written to OUT.rejects.csv, and the others go on.
    """
    import numpy as np

    from gnome_torch.data.rejects import keep_rejects, rejects_of
    from gnome_torch.data.tables import read_examples
    from gnome_torch.models.ensemble import Ensemble

    refuse_inputs(out, input)
    ensemble = Ensemble.load(_member_directories(model))
    examples = read_examples(input, target, per_cell)
    predicted = [_predicted(ensemble, part, input, device_of(device)) for part in _parts(examples)]
    energies, spread = (np.concatenate(columns) for columns in zip(*predicted, strict=True))
    formulas = [composition.reduced_formula for composition in examples.compositions]
    _write_predictions(out, examples.ids, formulas, energies, spread)
    print(f"{out}: {len(examples):,} predictions by {len(ensemble)} network{'s' if len(ensemble) > 1 else ''}")
    keep_rejects(examples.rejects, rejects_of(out))
    if examples.targets is not None:
        errors = np.abs(energies - np.array(examples.targets))
        print(f"mean absolute error {errors.mean():.4f} eV/atom, median {np.median(errors):.4f}")


def _parts(examples: Examples, size: int = 2048) -> Iterator[Examples]:
    """Examples, so many at a time, with a progress bar."""
    from rich.progress import track

    for first in track(range(0, len(examples), size), "predicting", disable=len(examples) <= size):
        part = slice(first, first + size)
        structures = None if examples.structures is None else examples.structures[part]
        yield replace(examples, compositions=examples.compositions[part], structures=structures)


def _predicted(ensemble: Ensemble, examples: Examples, source: Path, device: str) -> tuple[np.ndarray, np.ndarray]:
    from gnome_torch.inference import Evaluation, predict_compositions, predict_structures
    from gnome_torch.models.composition import CompositionNetwork
    from gnome_torch.training.dataset import DataSetError

    try:
        if isinstance(ensemble.members[0], CompositionNetwork):
            return predict_compositions(ensemble, examples.compositions, evaluation=Evaluation(device))
        if examples.structures is None:
            raise DataSetError(f"{source}: formulas, and a network that needs crystals: give a file with a column cif")
        return predict_structures(ensemble, examples.structures, evaluation=Evaluation(device))
    except ValueError as error:
        raise DataSetError(f"{source}: {error}") from error


def _member_directories(model: Path) -> list[Path]:
    """A directory of members, or one saved network.

    Raises:
        CheckpointError: one is broken, or they do not belong together.
    """
    from gnome_torch.models.checkpoint import CheckpointError, load_metrics

    members = [path for _, path in sorted(members_of(model).items()) if path.exists()] or [model]
    made = [load_metrics(path) for path in members]
    for path, metrics in zip(members[1:], made[1:], strict=True):
        if _origin(metrics) != _origin(made[0]):
            raise CheckpointError(
                f"{path} has learnt from other data or with other settings than {members[0]}: move it away"
            )
    return members


def _origin(metrics: Mapping[str, Any]) -> tuple[object, dict[str, object]]:
    """Data and settings that members of one ensemble share."""
    settings = {name: value for name, value in metrics.get("training", {}).items() if name not in ("seed", "device")}
    return metrics.get("data_hash"), settings


def _write_predictions(
    path: Path, ids: Sequence[str], formulas: Sequence[str], energies: Iterable[float], spread: Iterable[float]
) -> None:
    with whole_file(path) as file:
        writer = CsvWriter(file)
        writer.writerow(["id", "formula", "energy_per_atom", "iqr"])
        for row in zip(ids, formulas, energies, spread, strict=True):
            writer.writerow([*row[:2], f"{row[2]:.6f}", f"{row[3]:.6f}"])
