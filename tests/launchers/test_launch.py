"""`gnome launchers launch`; without SLURM."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from launchers import cli

Gnome = Callable[..., tuple[int, str, str]]


def test_launching_says_that_nothing_is_ready(gnome: Gnome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lp.yaml").write_text("host: 10.0.0.1\n")
    (tmp_path / "FW_config.yaml").write_text(f"LAUNCHPAD_LOC: {tmp_path / 'lp.yaml'}\n")
    rounds = iter([0, 0, 1, 0])
    monkeypatch.setattr(cli, "_round", lambda *_: cli._Round(next(rounds), True))
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(cli, "time", SimpleNamespace(sleep=sleep))
    status, out, err = gnome("launchers", "launch", tmp_path)
    assert (status, err) == (130, "gnome: stopped; jobs that are submitted go on\n")
    assert out == "nothing to submit, next look in 60 s\n" * 2


def test_a_directory_without_files(gnome: Gnome, tmp_path: Path) -> None:
    status, _, err = gnome("launchers", "launch", tmp_path, "--once")
    assert (status, len(err.splitlines())) == (1, 1)
    assert f"{tmp_path}: no files of 'gnome launchers write" in err
    status, _, err = gnome("launchers", "launch", tmp_path, "--category", "relaxx")
    assert status == 1
    assert "--category relaxx: there is no such kind of work, only control, generate" in err


def test_the_other_commands_are_still_there(gnome: Gnome) -> None:
    assert "campaign" in gnome("--help")[1]
    loaded = "import sys, launchers.cli; print('torch' in sys.modules, 'fireworks' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
