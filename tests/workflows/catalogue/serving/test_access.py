"""Who may ask, and what cannot be served."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import requests
from commands import Gnome
from servers import NAME, environment, served

from workflows.store import Store
from workflows.store.embedded import EmbeddedDatabase

PASSWORD = "correct horse"


def test_no_other_site_may_ask(address: str) -> None:
    """A page in the user's browser: neither from another origin, nor under a name that leads to this machine."""
    url = f"{address}/v1/structures"
    answer = requests.get(url, headers={"Origin": "https://elsewhere.example"}, timeout=30)
    assert "access-control-allow-origin" not in answer.headers
    assert requests.get(url, headers={"Host": "elsewhere.example"}, timeout=30).status_code == 400


def test_password(database: EmbeddedDatabase, store: Store, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    file.chmod(0o600)
    with served(database, "--host", "0.0.0.0", "--password-file", file) as found:
        url = found.replace("0.0.0.0", "127.0.0.1") + "/v1/structures"
        for credentials in (None, ("gnome", "wrong"), ("other", PASSWORD), ("gnome", "")):
            refused = requests.get(url, auth=credentials, timeout=30)
            assert refused.status_code == 401
            assert "data" not in refused.text
        assert requests.get(url, headers={"Authorization": "Basic !"}, timeout=30).status_code == 401
        assert requests.get(url, auth=("gnome", PASSWORD), timeout=30).json()["data"]


def test_bad_input(
    gnome: Gnome, database: EmbeddedDatabase, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object) -> str:
        status, out, err = gnome("serve", "--port", "0", *arguments)
        assert (status, out, err.count("\n")) == (1, "", 1), err
        return err

    for name, value in environment(database, NAME).items():
        monkeypatch.setenv(name, value)
    secret = tmp_path / "password"
    assert "no campaign 'other'" in refused("--campaign", "other")
    assert "needs a password" in refused("--host", "0.0.0.0")
    assert "needs a password" in refused("--host", "example.org")
    assert "cannot be read" in refused("--host", "0.0.0.0", "--password-file", secret)
    secret.write_text("x")
    secret.chmod(0o644)
    assert "chmod 600" in refused("--host", "0.0.0.0", "--password-file", secret)
    secret.chmod(0o600)
    secret.write_text("\n")
    assert "no password" in refused("--host", "0.0.0.0", "--password-file", secret)
    assert "no index.html" in refused("--report", tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "already in use" in refused("--port", taken.getsockname()[1])
    monkeypatch.setenv("GNOME_MONGODB_URI", "mongodb://127.0.0.1:1")
    assert "no database answers" in refused()
