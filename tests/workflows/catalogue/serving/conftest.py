"""A small campaign that has run, and a server of it, for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from campaigns import run_all, small_campaign
from fireworks import LaunchPad
from servers import NAME, served

from workflows.store import Store
from workflows.store.embedded import EmbeddedDatabase


@pytest.fixture(scope="session")
def store(database: EmbeddedDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A small campaign that has run."""
    pad = LaunchPad(host=database.host, port=database.port, name=NAME, strm_lvl="WARNING")
    pad.reset("", require_password=False)
    directory = tmp_path_factory.mktemp("serve")
    yield run_all(pad, small_campaign(directory), directory / "runs")
    pad.connection.close()


@pytest.fixture(scope="session")
def address(database: EmbeddedDatabase, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    report = tmp_path_factory.mktemp("report")
    (report / "index.html").write_text("<h1>the report</h1>")
    with served(database, "--campaign", "emt", "--report", report) as found:
        yield found
