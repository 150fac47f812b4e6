"""The database that the commands speak to: its address, what is wrong with it, `gnome db`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fireworks import LaunchPad

Gnome = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("own_database")


def test_the_database_name_from_the_environment_alone(gnome: Gnome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GNOME_MONGODB_URI")
    monkeypatch.setenv("GNOME_MONGODB_NAME", "another")
    assert "name: another" in gnome("db", "launchpad")[1]


def test_database_down(gnome: Gnome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GNOME_MONGODB_URI", "mongodb://127.0.0.1:1/")
    status, _, err = gnome("campaign", "list")
    assert status == 1
    assert err.startswith("gnome: no database answers at 127.0.0.1:1: start the embedded one with 'gnome db start'")
    assert len(err.splitlines()) == 1


def test_a_wrong_connection_string(gnome: Gnome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GNOME_MONGODB_URI", "mysql://x")
    status, _, err = gnome("campaign", "list")
    assert status == 1
    assert err.startswith("gnome: GNOME_MONGODB_URI: ")


def test_data_of_another_version(gnome: Gnome, launchpad: LaunchPad) -> None:
    launchpad.db["schema"].insert_one({"_id": "gnome-torch", "version": 99})
    status, _, err = gnome("campaign", "list")
    assert status == 1
    assert "holds data of version 99" in err


def test_the_connection_as_a_launchpad_file(gnome: Gnome, launchpad: LaunchPad, tmp_path: Path) -> None:
    """What the environment says reaches lpad through `gnome db launchpad`."""
    _, out, _ = gnome("db", "launchpad")
    file = tmp_path / "lp.yaml"
    file.write_text(out)
    assert LaunchPad.from_file(str(file)).name == launchpad.name
    lpad = Path(sys.executable).with_name("lpad")
    examples = Path(__file__).parents[3] / "workflows" / "examples"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GNOME_MONGODB")}
    for number, name in enumerate(("quickstart", "compositional_discovery"), start=1):
        command = [lpad, "-l", file, "add", examples / f"{name}.yaml"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stderr
        assert launchpad.get_fw_by_id(number).spec["campaign"]["name"] == name.removesuffix("_discovery")


def test_db_commands(gnome: Gnome, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    directory = tmp_path / "data"
    assert gnome("db", "status", "--directory", directory)[0] == 1
    status, out, _ = gnome("db", "start", "--directory", directory, "--port", port)
    assert status == 0
    assert f"database started on 127.0.0.1:{port}" in out
    status, out, _ = gnome("db", "status", "--directory", directory)
    assert status == 0
    assert f"running on 127.0.0.1:{port}" in out
    status, _, err = gnome("db", "start", "--directory", tmp_path / "other", "--port", port)
    assert status == 1
    assert f"port {port}" in err
    assert len(err.splitlines()) == 1
    assert gnome("db", "stop", "--directory", directory)[1] == "database stopped\n"
    assert gnome("db", "stop", "--directory", directory)[1] == "no database was running\n"
