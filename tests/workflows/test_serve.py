"""`gnome serve`: a real server over a real campaign, asked by OPTIMADE's validator and by clients."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from campaigns import run_all, small_campaign
from fireworks import LaunchPad

from workflows.serving.documents import refresh
from workflows.store import Store, now

Gnome = Callable[..., tuple[int, str, str]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def finds(database: Any, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """What a small campaign has found."""
    directory = tmp_path_factory.mktemp("finds")
    pad = LaunchPad(host=database.host, port=database.port, name=f"finds_{os.getpid()}", strm_lvl="WARNING")
    pad.reset("", require_password=False)
    settings = small_campaign(directory, elements=["Al", "Cu", "Ni", "Pt"], seeds={"limit": 8, "max_sites": 4})
    return run_all(pad, settings, directory / "launches")


@pytest.fixture
def connected(database: Any, finds: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("GNOME_MONGODB_URI", f"mongodb://{database.host}:{database.port}")
    monkeypatch.setenv("GNOME_MONGODB_NAME", finds.database.name)
    return finds


@pytest.fixture
def serve(connected: Store, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Start `gnome serve` with some options, and return its address."""
    running = []

    def start(*options: str) -> str:
        port = free_port()
        command = [sys.executable, "-m", "workflows.cli", "serve", "--port", str(port), *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=(tmp_path / "err").open("w"), text=True)
        running.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert f"http://127.0.0.1:{port}/v1/structures" in line, (line, (tmp_path / "err").read_text())
        deadline = time.monotonic() + 30
        while True:
            try:
                requests.get(f"http://127.0.0.1:{port}/v1/links", timeout=5)
                return f"http://127.0.0.1:{port}"
            except requests.ConnectionError:
                assert time.monotonic() < deadline
                time.sleep(0.1)

    yield start
    for process in running:
        process.terminate()
        process.wait(timeout=20)


def test_the_validator_and_a_client(
    connected: Store, serve: Callable[..., str], gnome: Gnome, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = serve("--campaign", "emt")
    found = {d["_id"]: d for d in connected.entries.find({"campaigns": "emt"})}

    # OPTIMADE's own validator, as anybody runs it
    validator = Path(sys.executable).parent / "optimade-validator"
    done = subprocess.run(
        [str(validator), address, "--json", "--page_limit", "5"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    summary = json.loads(done.stdout)
    assert summary["success_count"] > 50
    assert (summary["failure_count"], summary["internal_failure_count"]) == (0, 0), done.stderr[-3000:]

    # ours, by pages: every find with its numbers under our prefix
    rows, following = [], f"{address}/v1/structures?page_limit=3"
    while following:
        answer = requests.get(following, timeout=30).json()
        rows += answer["data"]
        following = answer["links"]["next"]
        following = following["href"] if isinstance(following, dict) else following
    assert {row["id"] for row in rows} == found.keys()
    for row in rows:
        stability = found[row["id"]]["stability"]
        assert row["attributes"]["_gnome_e_above_hull"] == pytest.approx(stability["e_above_hull"])
        assert row["attributes"]["chemical_formula_reduced"]
        assert row["attributes"]["_gnome_theory"] == found[row["id"]]["theory"]
    stable = requests.get(f"{address}/v1/structures?filter=_gnome_e_above_hull<=0.00005", timeout=30).json()
    assert {row["id"] for row in stable["data"]} == {
        key for key, d in found.items() if d["stability"]["e_above_hull"] <= 5e-5
    }
    info = requests.get(f"{address}/v1/info/structures", timeout=30).json()["data"]["properties"]
    assert info["_gnome_e_above_hull"]["description"]

    # gnome-torch is a client of itself
    monkeypatch.setenv("GNOME_MONGODB_NAME", f"{connected.database.name}_client")
    options = ["--energy", "_gnome_energy_per_atom", "--kind", "total", "--theory", "theirs"]
    status, _, err = gnome("data", "import", "optimade", address, *options)
    assert status == 0, err
    theirs = Store(connected.database.client[f"{connected.database.name}_client"])
    imported = sorted((d["formula"], round(d["energy_per_atom"], 6)) for d in theirs.entries.find({}))
    assert imported == sorted((d["formula"], round(d["energy_per_atom"], 6)) for d in found.values())


def test_what_is_served_follows_the_database(connected: Store) -> None:
    """Written once, and again only where something has changed."""
    refresh(connected)
    assert refresh(connected) == 0
    some = connected.entries.find_one({"nelements": 2})
    assert some is not None
    connected.entries.update_one({"_id": some["_id"]}, {"$set": {"stability.e_above_hull": 0.123}})
    try:
        assert refresh(connected) == 1
        document = connected.published("structures").find_one({"_id": some["_id"]})
        assert document is not None
        assert document["_gnome_e_above_hull"] == 0.123
        assert document["last_modified"] <= now()
        connected.entries.update_one({"_id": some["_id"]}, {"$set": {"doubtful": "a hole"}})
        assert refresh(connected) == 1
        assert connected.published("structures").find_one({"_id": some["_id"]}) is None
    finally:
        connected.entries.replace_one({"_id": some["_id"]}, some)
    assert refresh(connected) == 1


def test_a_password_and_a_report(serve: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "password").chmod(0o600)
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "index.html").write_text("<p>what was found</p>")
    address = serve("--password-file", str(tmp_path / "password"), "--report", str(tmp_path / "report"))
    assert requests.get(f"{address}/v1/structures", timeout=30).status_code == 401
    assert requests.get(f"{address}/report/", timeout=30, auth=("gnome", "wrong")).status_code == 401
    assert "what was found" in requests.get(f"{address}/report/", timeout=30, auth=("gnome", "secret")).text
    assert requests.get(f"{address}/v1/structures", timeout=30, auth=("gnome", "secret")).json()["data"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "0.0.0.0"], "gnome: --host 0.0.0.0: other machines reach it, so it needs a password"),
        (["--campaign", "none"], "gnome: no campaign 'none'"),
        (["--report", "/nowhere"], "gnome: --report /nowhere: no index.html in it"),
        (["--password-file", "/nowhere"], "gnome: /nowhere: cannot be read"),
    ],
)
def test_what_is_not_served(connected: Store, gnome: Gnome, options: list[str], message: str) -> None:
    status, _, err = gnome("serve", "--port", free_port(), *options)
    assert status == 2
    assert err.startswith(message)
    assert len(err.splitlines()) == 1


def test_nothing_there_and_a_port_in_use(
    connected: Store, launchpad: LaunchPad, gnome: Gnome, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        err = gnome("serve", "--port", other.getsockname()[1])[2]
        assert "address already in use" in err
        assert err.endswith(": choose another --port\n")
    (tmp_path / "open").write_text("secret")
    (tmp_path / "open").chmod(0o644)
    assert (
        "others may read it: chmod 600"
        in gnome("serve", "--port", free_port(), "--password-file", tmp_path / "open")[2]
    )
    monkeypatch.setenv("GNOME_MONGODB_NAME", launchpad.name)
    assert "has no computed crystal yet: there is nothing to serve" in gnome("serve", "--port", free_port())[2]
