"""An empty database, and commands in a directory of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from fireworks import LaunchPad

from workflows.store import Store


@pytest.fixture
def store(launchpad: LaunchPad) -> Store:
    store = Store(launchpad.db)
    store.prepare()
    return store


@pytest.fixture
def here(launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory and the database that commands run in."""
    monkeypatch.setenv("GNOME_MONGODB_URI", f"mongodb://{launchpad.host}:{launchpad.port}")
    monkeypatch.setenv("GNOME_MONGODB_NAME", launchpad.name)
    monkeypatch.chdir(tmp_path)
    return tmp_path
