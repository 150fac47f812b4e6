"""The `gnome` command with `gnome launchers`, and a SLURM for the session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Gnome, in_process
from fireworks import LaunchPad
from slurm import Slurm, missing_programs, running_slurm
from submitted import Jobs

from launchers import cli

ROOT = Path(__file__).parents[2]


@pytest.fixture
def gnome(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Gnome:
    """Run a command: (exit status, standard output, standard error)."""
    return in_process(cli.main, monkeypatch, capsys)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Slurm]:
    """A real SLURM; skips where it is not installed."""
    if missing := missing_programs():
        pytest.skip(f"SLURM is not installed ({', '.join(missing)}): apt-get install slurm-wlm munge")
    with running_slurm() as slurm:
        yield slurm


@pytest.fixture
def slurm(cluster: Slurm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    """It, without jobs, as the one that commands talk to; its jobs find these sources and the tests' Firetasks."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'support'}")
    monkeypatch.setenv("SLURM_CONF", str(cluster.configuration))
    yield cluster
    cluster.cancel_all()


@pytest.fixture
def jobs(slurm: Slurm, launchpad: LaunchPad, tmp_path: Path, gnome: Gnome) -> Jobs:
    made = Jobs(slurm, launchpad, tmp_path, gnome)
    assert made.write()[0] == 0
    return made
