"""The epochs of a training, a line each: a table in CSV, and what TensorBoard shows."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from gnome_torch.files import whole_file

EPOCHS_FILE = "epochs.csv"
TENSORBOARD = "tensorboard"
COLUMNS = ("epoch", "learning_rate", "train_mae", "test_mae", "seconds")

Row = Mapping[str, float | None]
"""An epoch: a number for each of `COLUMNS`; None where the test part is empty."""


def write_epochs(path: Path, rows: Sequence[Row]) -> None:
    """Write the table, in place of the one before."""
    with whole_file(path) as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)


def show_epoch(directory: Path, row: Row) -> None:
    """Add one line for TensorBoard; of an epoch that is run again after a kill, it shows the last."""
    epoch = int(row["epoch"] or 0)
    with SummaryWriter(str(directory), purge_step=epoch) as writer:
        for name in ("train_mae", "test_mae", "learning_rate"):
            value = row[name]
            if value is not None:
                writer.add_scalar(name, value, epoch)
