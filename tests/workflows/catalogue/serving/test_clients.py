"""`gnome serve` as a real process, asked by every client that is at hand."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import uvicorn
from ase import Atoms
from optimade.adapters import Structure as OptimadeStructure
from optimade.client import OptimadeClient
from pymatgen.core import Structure
from pymatgen.ext.optimade import OptimadeRester
from servers import NAME, environment

from workflows.catalogue.serving.application import Server
from workflows.catalogue.serving.documents import refresh
from workflows.store import Store
from workflows.store.embedded import EmbeddedDatabase


def test_validator(address: str) -> None:
    command = [Path(sys.executable).with_name("optimade-validator"), "--json", f"{address}/v1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    summary = json.loads(done.stdout)
    assert done.returncode == 0
    counts = ("failure_count", "internal_failure_count", "optional_failure_count")
    assert {name: summary[name] for name in counts} == dict.fromkeys(counts, 0)
    assert summary["success_count"] > 50
    assert summary["optional_success_count"] > 15


def test_our_own_client(address: str, database: EmbeddedDatabase, store: Store) -> None:
    command = [sys.executable, "-m", "workflows.cli", "data", "import", "optimade", address, "--theory", "served"]
    command += ["--energy", "_gnome_energy_per_atom_uncorrected"]
    other = f"{NAME}_imported"
    done = subprocess.run(
        command, env=environment(database, other), capture_output=True, text=True, timeout=120, check=True
    )
    assert "left out" not in done.stderr

    def energies(name: str) -> list[tuple[str, float]]:
        found = store.database.client[name]["entries"].find({"structure": {"$ne": None}})
        return sorted((d["formula"], round(d["energy"] / d["nsites"], 8)) for d in found)

    assert len(energies(NAME)) > 5
    assert energies(other) == energies(NAME)


def test_what_the_server_warns_of_is_passed_on(database: EmbeddedDatabase, store: Store) -> None:
    refresh(store)
    server = Server(store, None, None, None)
    server.structures.notice = "some are missing yet"
    listener = socket.create_server(("127.0.0.1", 0))
    running_server = uvicorn.Server(uvicorn.Config(server.application, log_level="error"))
    thread = threading.Thread(target=running_server.run, args=([listener],))
    thread.start()
    try:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        command = [sys.executable, "-m", "workflows.cli", "data", "import", "optimade", address, "--theory", "early"]
        command += ["--energy", "_gnome_energy_per_atom"]
        there = environment(database, f"{NAME}_early")
        done = subprocess.run(command, env=there, capture_output=True, text=True, timeout=120, check=True)
    finally:
        running_server.should_exit = True
        thread.join(20)
    assert f"gnome: optimade:{address} warns: some are missing yet\n" in done.stderr


def test_pymatgen(address: str, store: Store) -> None:
    with OptimadeRester(address, timeout=30) as rester:
        [found] = rester.get_structures(elements=["Cu", "Au"], nelements=2).values()
    compounds = {d["_id"]: d["structure"] for d in store.database["entries"].find({"nelements": 2})}
    assert found.keys() == compounds.keys()
    for key, crystal in found.items():
        assert Structure.from_dict(compounds[key]).matches(crystal)


def test_optimade_and_ase(address: str, store: Store) -> None:
    """ASE asks no server itself: the client of the package `optimade` does, and its adapter makes Atoms."""
    client = OptimadeClient(base_urls=[address], use_async=False, silent=True)
    query = 'elements HAS ALL "Cu","Au"'
    [answer] = client.get(query)["structures"][query].values()
    entries = {d["_id"]: d["structure"] for d in store.database["entries"].find({"elements": ["Au", "Cu"]})}
    assert {row["id"] for row in answer["data"]} == entries.keys()
    for row in answer["data"]:
        atoms = OptimadeStructure(row).convert("ase")
        crystal = Structure.from_dict(entries[row["id"]])
        assert isinstance(atoms, Atoms)
        assert atoms.get_chemical_symbols() == [site.specie.symbol for site in crystal]
        assert atoms.cell.array == pytest.approx(crystal.lattice.matrix)
        assert atoms.positions == pytest.approx(crystal.cart_coords)
        assert atoms.pbc.all()
        assert atoms.info["_gnome_energy_per_atom"] == row["attributes"]["_gnome_energy_per_atom"]
