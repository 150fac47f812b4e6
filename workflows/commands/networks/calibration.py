"""Errors of an ensemble on what was held out, beside the spread of its members: printed and written down."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from gnome_torch.files import write_whole
from workflows.commands.networks.members import Members

if TYPE_CHECKING:  # imported where they are needed: `gnome --help` answers at once
    from rich.console import Console

    from gnome_torch.training.calibration import Calibration
    from workflows.commands.networks.data import DataSet

CALIBRATION = "calibration.json"


def calibrate_members(dataset: DataSet, members: Members, device: str, console: Console) -> None:
    """Ask all members for the examples held out; nothing is done where there are none.

    Args:
        dataset: with its split.
        members: trained, all of them.
        device: to ask them on.
        console: to print on.
    """
    from gnome_torch.models.ensemble import Ensemble
    from gnome_torch.training.calibration import calibrate, member_energies

    _, test_part = dataset.split()
    if len(test_part) == 0:
        return
    ensemble = Ensemble.load([members.directory(member) for member in range(members.count)]).to(device)
    calibration = calibrate(member_energies(ensemble, dataset, test_part), dataset.targets[test_part])
    write_whole(members.out / CALIBRATION, json.dumps(asdict(calibration), indent=2) + "\n")
    _print(calibration, members.count, console)


def _print(calibration: Calibration, members: int, console: Console) -> None:
    from rich.table import Table

    table = Table(title=f"{members} members on the {calibration.n:,} examples held out, eV/atom")
    for name in ("examples", "inter-quartile range", "error"):
        table.add_column(name, justify="right")
    for part in calibration.bins:
        table.add_row(f"{part.n:,}", f"{part.iqr:.4f}", f"{part.mae:.4f}")
    console.print(table)
    correlation = "-" if calibration.rank_correlation is None else f"{calibration.rank_correlation:.2f}"
    console.print(
        f"error of the median {calibration.mae:.4f} eV/atom, of one member {calibration.member_mae:.4f}; "
        f"{calibration.within:.0%} of the errors are below half the range; rank correlation of error and range "
        f"{correlation}"
    )
