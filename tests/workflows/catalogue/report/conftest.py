"""The command against a database of the test's own, and a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import Gnome
from fireworks import LaunchPad


@pytest.fixture
def gnome(gnome: Gnome, launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gnome:
    """The command against the test's own database."""
    monkeypatch.setenv("GNOME_MONGODB_URI", f"mongodb://{launchpad.host}:{launchpad.port}/")
    monkeypatch.setenv("GNOME_MONGODB_NAME", launchpad.name)
    monkeypatch.setenv("GNOME_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MPLBACKEND", "agg")
    return gnome


@pytest.fixture
def browser() -> Iterator[Any]:
    """Debian's chromium, driven by Playwright."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="wants Playwright: pip install playwright")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("wants a browser: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        some = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield some
        some.close()
