"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gnome_torch.files import PARTIALS, whole_directory, whole_file, whole_path, write_whole


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def write_half(path: Path, error: type[BaseException]) -> None:
    with whole_file(path) as file:
        file.write("half")
        raise error


def test_what_was_written_is_there(tmp_path: Path) -> None:
    path = tmp_path / "below" / "a.csv"
    with whole_file(path) as file:
        file.write("1,2\r\n")
        assert not path.exists()
    write_whole(path.with_name("text"), "å\n")
    write_whole(path.with_name("bytes"), b"\x00\n")
    assert path.read_bytes() == b"1,2\r\n"
    assert path.with_name("text").read_bytes() == "å\n".encode()
    assert path.with_name("bytes").read_bytes() == b"\x00\n"
    assert names(path.parent) == ["a.csv", "bytes", "text"]


def test_a_library_that_opens_the_file_itself(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with whole_path(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
        assert list(tmp_path.glob(PARTIALS)) == [partial]
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a"]


def test_a_writer_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            write_half(path, error)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_a_writer_that_writes_nothing_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), whole_path(path):
        pass
    assert path.read_text() == "old"


def killed(code: str, path: Path) -> None:
    """Run code on a path in a process that kills itself at the end of it."""
    lines = ("import os, pathlib, signal, sys", "from gnome_torch.files import *", "path = pathlib.Path(sys.argv[1])")
    code = "\n".join([*lines, code.replace("DIE", "os.kill(os.getpid(), signal.SIGKILL)")])
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code, path], env={**os.environ, "PYTHONPATH": str(root)}, check=False)
    assert done.returncode == -signal.SIGKILL


def test_a_killed_process_leaves_the_old_file(tmp_path: Path) -> None:
    """And what it had begun is removed by the next that writes there, and by no other."""
    path = tmp_path / "a"
    path.write_text("old")
    killed("with whole_file(path) as file:\n    file.write('half of the new one')\n    file.flush()\n    DIE", path)
    assert path.read_text() == "old"
    assert len(list(tmp_path.glob(PARTIALS))) == 1
    write_whole(tmp_path / "b", "other")
    write_whole(tmp_path / "a.b", "other")
    assert len(list(tmp_path.glob(PARTIALS))) == 1
    write_whole(path, "new")
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a", "a.b", "b"]


def test_a_killed_process_leaves_the_old_directory(tmp_path: Path) -> None:
    """Even between the two steps that put the new one in the place of the old one."""
    directory = tmp_path / "d"
    with whole_directory(directory) as folder:
        (folder / "old").touch()
    killed("with whole_directory(path) as folder:\n    (folder / 'half').touch()\n    DIE", directory)
    assert len(names(tmp_path)) == 2
    moved = (
        "rename = pathlib.Path.rename\n"
        "def once(self, target):\n"
        "    rename(self, target)\n"
        "    if '.old-' in str(target): DIE\n"
        "pathlib.Path.rename = once\n"
        "with whole_directory(path) as folder:\n"
        "    (folder / 'new').touch()\n"
    )
    killed(moved, directory)
    assert not directory.exists()
    with pytest.raises(NotADirectoryError), whole_directory(directory) as folder:
        (folder / "half").write_text((directory / "old" / "is a file").read_text())
    assert names(directory) == ["old"]  # nothing is lost although the next writer fails, too
    assert names(tmp_path) == ["d"]


def test_what_living_processes_write_stays(tmp_path: Path) -> None:
    """Of this machine; what another has begun, or an earlier version of the code, stays until it is old."""
    path, directory = tmp_path / "a", tmp_path / "d"
    with whole_path(path) as first, whole_path(path) as second, whole_directory(directory) as folder:
        for partial in (first, second):
            partial.write_text(partial.name)
        others = [tmp_path / f"a.partial-{mark}" for mark in ("99999999", "99999999-0123abcd-0123abcd")]
        others.append(tmp_path / ".d.new-0123456789ab")
        for other in others:
            other.mkdir() if other.name.startswith(".d") else other.touch()
        write_whole(path, "third")
        with whole_directory(directory) as other_folder:
            (other_folder / "third").touch()
        assert first.exists()
        assert second.exists()
        assert folder.exists()
        assert all(other.exists() for other in others)
    assert path.read_text() == first.name
    week = time.time() - 8 * 24 * 3600
    for other in others:
        os.utime(other, (week, week))
    write_whole(path, "fourth")
    with whole_directory(directory):
        pass
    assert names(tmp_path) == ["a", "d"]


def test_names_with_wildcards(tmp_path: Path) -> None:
    """In the name of the file and of its folder."""
    path = tmp_path / "[ab]*" / "x[1]"
    path.parent.mkdir()
    killed("with whole_file(path):\n    DIE", path)
    write_whole(path, "new")
    assert names(path.parent) == ["x[1]"]


def test_a_directory_is_replaced_as_a_whole(tmp_path: Path) -> None:
    directory = tmp_path / "below" / "d"
    with whole_directory(directory) as folder:
        (folder / "old").touch()
        assert not directory.exists()
    with pytest.raises(NotADirectoryError), whole_directory(directory) as folder:
        (folder / "half").write_text((directory / "old" / "is a file").read_text())
    assert names(directory) == ["old"]
    with whole_directory(directory) as folder:
        (folder / "new").touch()
    assert names(directory) == ["new"]
    assert names(directory.parent) == ["d"]
