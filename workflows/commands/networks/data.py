"""What the networks of `gnome train` learn from: a table, made into a data set once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workflows.commands.networks.members import Members

if TYPE_CHECKING:  # imported where they are needed: `gnome --help` answers at once
    from gnome_torch.data.rejects import Reject
    from gnome_torch.training.dataset import CompositionSet, TrainingSet
    from gnome_torch.training.parallel import Workers

    DataSet = TrainingSet | CompositionSet

DATA_SET = "data"
REJECTS = "rejects.csv"


@dataclass(frozen=True)
class Data:
    """A table that a data set can be made from.

    Attributes:
        kind: of the data set.
        build: reads the table; the rows that cannot be used come beside the data set.
        source: the table, as `source_of` identifies it.
    """

    kind: type[DataSet]
    build: Callable[[], tuple[DataSet, Sequence[Reject]]]
    source: str


def source_of(path: Path, *settings: str) -> str:
    """What a data set is made from: the bytes of the file, and how they are read.

    Raises:
        StructureFileError: the file cannot be read.
    """
    from gnome_torch.data.files import StructureFileError

    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StructureFileError(f"{path}: cannot be read ({error.strerror})") from error
    return "; ".join([f"sha256 {digest}", *settings])


def data_set(data: Data, members: Members, workers: Workers) -> DataSet:
    """The data set of an earlier run of this source, or a new one; one of several processes makes it.

    Rows that cannot be used are written to a file beside it.

    Raises:
        DataSetError: there are networks of another source.
    """
    from gnome_torch.data.rejects import keep_rejects

    directory = members.out / DATA_SET
    if workers.first and not _is_made(data, directory):
        new, rejects = data.build()
        _refuse_networks_of_another_file(directory, members)
        keep_rejects(rejects, members.out / REJECTS)
        new.save(directory, data.source)
    workers.wait()
    return data.kind.load(directory)


def _is_made(data: Data, directory: Path) -> bool:
    from gnome_torch.training.dataset import DataSetError, read_meta

    try:
        return read_meta(directory).get("source") == data.source and bool(data.kind.load(directory))
    except DataSetError:
        return False


def _refuse_networks_of_another_file(directory: Path, members: Members) -> None:
    from gnome_torch.training.dataset import DataSetError

    if directory.exists() and any(members.out.glob("member-*")) and not members.overwrite:
        raise DataSetError(f"{members.out} has networks of another file: give another --out, or --overwrite")
