"""The file of records that an import could not use."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gnome_torch.data.outside import SourceError
from gnome_torch.data.rejects import COLUMNS, Reject
from gnome_torch.spreadsheets import CsvWriter


class RejectsFile:
    """A CSV file that grows with an import; what a run that was stopped wrote behind the last batch is cut off."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        if path.exists() and not _is_of_rejects(path):
            raise SourceError(f"{path} is not a file of rejects, and would be replaced: name another with --rejects")
        if size == 0:
            path.unlink(missing_ok=True)
        elif path.exists() and path.stat().st_size > size:
            os.truncate(path, size)

    def append(self, rejects: Sequence[Reject]) -> int:
        """Write rejects to the disk, and return the file's size, bytes."""
        if rejects:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", newline="") as file:
                writer = CsvWriter(file)
                if file.tell() == 0:
                    writer.writerow(COLUMNS)
                writer.writerows((reject.file, reject.place, reject.value[:200], reject.reason) for reject in rejects)
                file.flush()
                os.fsync(file.fileno())
        return self._path.stat().st_size if self._path.exists() else 0


def _is_of_rejects(path: Path) -> bool:
    """Whether a file is one that an import has written, or empty."""
    with path.open("rb") as file:
        first = file.readline(200)
    return first.strip() in (b"", ",".join(COLUMNS).encode())
