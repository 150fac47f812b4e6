"""Files and directories that are there whole or not at all.

What is being written stands beside its place under another name, and takes the place in one step when it is complete:
a reader never meets half a file, and a process that is killed leaves what was there before.
"""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

PARTIALS = "*.partial-*"
"""Names of unfinished files. A process that was killed cannot remove its own: whoever owns the directory may."""


@contextmanager
def whole_path(path: Path) -> Iterator[Path]:
    """A path to write to, for libraries that open files themselves; its file takes the place of `path` at the end.

    Args:
        path: final place; its parents are made. If the block raises, what was there stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())  # a node that loses power must not leave the right name and no content
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """A text file to write, line ends as they are written; it takes the place of `path` at the end, as `whole_path`."""
    with whole_path(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        yield file


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whose content is at hand, as `whole_path`."""
    with whole_path(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def whole_directory(directory: Path) -> Iterator[Path]:
    """A new folder beside `directory` that takes its place when the block ends, and vanishes if the block raises.

    Args:
        directory: final place; its parents are made.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    tag = uuid.uuid4().hex[:12]
    temporary = directory.with_name(f".{directory.name}.new-{tag}")
    old = directory.with_name(f".{directory.name}.old-{tag}")
    temporary.mkdir()
    try:
        yield temporary
        for _ in range(10):
            try:
                temporary.rename(directory)
                return
            except OSError as error:
                # a directory cannot be renamed onto a full one: move that away, then try again
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            shutil.rmtree(old, ignore_errors=True)
            with suppress(FileNotFoundError):  # another process has just moved it
                directory.rename(old)
        raise FileExistsError(f"{directory}: other processes keep writing it; run one at a time")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
