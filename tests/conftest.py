"""Fixtures shared by all tests: one embedded database server, and a fresh LaunchPad on it for each test."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator

import pytest
from fireworks import LaunchPad

from workflows.store.embedded import EmbeddedDatabase


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedDatabase]:
    """A running embedded database (`.host`, `.port`), for the whole session."""
    with socket.socket() as probe:
        probe.bind((EmbeddedDatabase.host, 0))
        port = probe.getsockname()[1]
    server = EmbeddedDatabase(tmp_path_factory.mktemp("database"), port)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def launchpad(database: EmbeddedDatabase) -> Iterator[LaunchPad]:
    """A FireWorks LaunchPad on an empty database of its own (left behind: the server's directory is temporary)."""
    name = f"test_{uuid.uuid4().hex}"
    pad = LaunchPad(host=database.host, port=database.port, name=name, strm_lvl="WARNING")
    pad.reset("", require_password=False)
    yield pad
    pad.connection.close()
