"""The commands against the test's own database."""

from __future__ import annotations

from pathlib import Path

import pytest
from fireworks import LaunchPad


@pytest.fixture
def own_database(launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connect the commands of this process to the test's own database."""
    monkeypatch.setenv("GNOME_MONGODB_URI", f"mongodb://{launchpad.host}:{launchpad.port}/")
    monkeypatch.setenv("GNOME_MONGODB_NAME", launchpad.name)
    monkeypatch.setenv("GNOME_HOME", str(tmp_path / "home"))
