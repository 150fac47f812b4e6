"""Running servers of `gnome serve`, and what they answer."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from workflows.store.embedded import EmbeddedDatabase

NAME = "test_serve"
"""Database of the campaign that the tests serve."""


def environment(database: EmbeddedDatabase, name: str) -> dict[str, str]:
    uri = f"mongodb://{database.host}:{database.port}"
    return {**os.environ, "GNOME_MONGODB_URI": uri, "GNOME_MONGODB_NAME": name}


@contextmanager
def served(database: EmbeddedDatabase, *arguments: object) -> Iterator[str]:
    """A running `gnome serve`: its address."""
    command = [sys.executable, "-m", "workflows.cli", "serve", "--port", "0", *map(str, arguments)]
    process = subprocess.Popen(
        command, env=environment(database, NAME), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"http://[\d.]+:\d+", said)
        assert found, f"it said {said!r}"
        while "structures are served" not in said:
            said = process.stdout.readline()
            assert said, "it ended"
        yield found[0]
    finally:
        process.terminate()
        process.wait(20)


def structures(address: str, **query: Any) -> list[dict[str, Any]]:
    """All structures, page after page."""
    answer = requests.get(f"{address}/v1/structures", params=query, timeout=30).json()
    found = list(answer["data"])
    while following := answer["links"]["next"]:
        answer = requests.get(following, timeout=30).json()
        assert answer["data"], "an empty page"
        found += answer["data"]
    assert answer["meta"]["data_returned"] == len(found)
    return found
