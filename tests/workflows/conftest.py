"""The `gnome` command as a fixture."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from atomate2.ase.utils import AseRelaxer

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


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], bool]], None]:
    """Make the relaxations of some formulas fail, always."""
    original = AseRelaxer.relax

    def install(of: Callable[[str], bool]) -> None:
        def relax(self: AseRelaxer, atoms: Any, *args: Any, **kwargs: Any) -> Any:
            formula = atoms.composition.reduced_formula
            if of(formula):
                raise RuntimeError(f"{formula} always fails")
            return original(self, atoms, *args, **kwargs)

        monkeypatch.setattr(AseRelaxer, "relax", relax)

    return install
