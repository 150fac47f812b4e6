"""The `gnome` command as a fixture."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from workflows import cli

Gnome = Callable[..., tuple[int, str, str]]


@pytest.fixture
def gnome(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Gnome:
    """Run a command: (exit status, standard output, standard error)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gnome", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, output.err

    return run
