"""The `gnome` command as a fixture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from atomate2.ase.utils import AseRelaxer
from commands import Gnome, in_process

from workflows import cli


@pytest.fixture
def gnome(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Gnome:
    """Run a command: (exit status, standard output, standard error)."""
    return in_process(cli.main, monkeypatch, capsys)


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
