"""A store on an empty database."""

from __future__ import annotations

import pytest
from fireworks import LaunchPad

from workflows.store import Store


@pytest.fixture
def store(launchpad: LaunchPad) -> Store:
    store = Store(launchpad.db)
    store.prepare()
    store.campaigns.create("c", {"elements": ["Mg", "O"]}, "theory-1", "none", "/d", "uid")
    store.rounds.open("c", 0)
    return store
