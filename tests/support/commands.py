"""The `gnome` command in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

Gnome = Callable[..., tuple[int, str, str]]


def in_process(main: Callable[[], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Gnome:
    """Run a command: (exit status, standard output, standard error).

    Args:
        main: entry point.
        monkeypatch: pytest's.
        capsys: pytest's.
    """

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gnome", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, output.err

    return run
