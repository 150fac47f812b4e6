"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
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


def test_a_killed_process_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    code = (
        "import os, pathlib, signal, sys\n"
        "from gnome_torch.files import whole_file\n"
        "with whole_file(pathlib.Path(sys.argv[1])) as file:\n"
        "    file.write('half of the new one')\n"
        "    file.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code, path], env={**os.environ, "PYTHONPATH": str(root)}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    assert len(list(tmp_path.glob(PARTIALS))) == 1
    write_whole(path, "new")
    assert path.read_text() == "new"


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
