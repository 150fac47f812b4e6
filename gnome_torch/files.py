"""Files and directories that are there whole or not at all.

What is being written stands beside its place under another name, and takes the place in one step when it is complete:
a reader never meets half a file, and a process that is killed leaves what was there before. What it had begun stays
behind with its mark; whoever writes to the same place next removes that, if its writer is dead.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TextIO

PARTIALS = "*.partial-*"
"""Names of unfinished files: for whoever owns a directory, and may remove all of them."""
FORGOTTEN = 7 * 24 * 3600.0
"""Age at which what is unfinished is nobody's, seconds: its writer is on another machine, and cannot be asked for."""
_MARK = re.compile(r"(\d+)-([0-9a-f]{8})-[0-9a-f]{8}")


@contextmanager
def whole_path(path: Path) -> Iterator[Path]:
    """A path to write to, for libraries that open files themselves; its file takes the place of `path` at the end.

    Args:
        path: final place; its parents are made. If the block raises, what was there stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in _left_by_the_dead(path.parent, f"{path.name}.partial-"):
        left.unlink(missing_ok=True)
    partial = path.with_name(f"{path.name}.partial-{_mark()}")
    try:
        yield partial
        _to_disk(partial)
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
    _settle(directory)
    mark = _mark()
    temporary = directory.with_name(f".{directory.name}.new-{mark}")
    old = directory.with_name(f".{directory.name}.old-{mark}")
    temporary.mkdir()
    try:
        yield temporary
        for path in temporary.rglob("*"):
            if path.is_file():
                _to_disk(path)
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


def _settle(directory: Path) -> None:
    """Remove what dead processes have left of a directory; what one had moved away goes back where nothing came."""
    for left in _left_by_the_dead(directory.parent, f".{directory.name}.old-"):
        if not directory.exists():
            with suppress(OSError):  # another process has just done so
                left.rename(directory)
        shutil.rmtree(left, ignore_errors=True)
    for left in _left_by_the_dead(directory.parent, f".{directory.name}.new-"):
        shutil.rmtree(left, ignore_errors=True)


def _to_disk(path: Path) -> None:
    """A node that loses power must not leave the right name and no content."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _mark() -> str:
    """What no other writer has: the process, where that number means this process, and a number for this writing."""
    return f"{os.getpid()}-{_here()}-{uuid.uuid4().hex[:8]}"


@cache
def _here() -> str:
    """The machine, and in it the container, whose process numbers mean something to this process."""
    with suppress(OSError):
        return _short_hash(f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}")
    return _short_hash(socket.gethostname())


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _left_by_the_dead(directory: Path, beginning: str) -> list[Path]:
    """What begins so in a directory, and whose writer is dead or long forgotten."""
    with os.scandir(directory) as entries:  # some folders hold many thousands of files
        names = [entry.name for entry in entries if entry.name.startswith(beginning)]
    return [directory / name for name in names if _is_left(directory / name, name.removeprefix(beginning))]


def _is_left(path: Path, mark: str) -> bool:
    """Whether nobody is writing to a path. One of another machine, or of an earlier version, is judged by its age."""
    known = _MARK.fullmatch(mark)
    if known and known[2] == _here() and not _is_alive(int(known[1])):
        return True
    try:
        return time.time() - path.stat().st_mtime > FORGOTTEN
    except FileNotFoundError:  # its writer has just finished
        return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
