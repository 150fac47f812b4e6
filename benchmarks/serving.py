"""How fast `gnome serve` answers, page by page, on made-up crystals: `python benchmarks/serving.py -n 20000`."""

from __future__ import annotations

import argparse
import random
import socket
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
import uvicorn
from pymatgen.core import Lattice, Structure

from workflows.embedded import EmbeddedDatabase
from workflows.serving.application import Server
from workflows.serving.documents import refresh
from workflows.store import Store

ELEMENTS = ["Li", "Na", "Mg", "Al", "Si", "Ti", "Fe", "Cu", "Zn", "O", "S", "F"]
PAGES = 5  # each is asked for so often, and the fastest counts


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def entry(number: int, draw: random.Random) -> dict[str, Any]:
    """An entry of ten atoms of three elements, as a campaign writes it."""
    symbols = draw.sample(ELEMENTS, 3)
    species = [*symbols, *(draw.choice(symbols) for _ in range(7))]
    crystal = Structure(Lattice.cubic(6), species, [[draw.random() for _ in range(3)] for _ in species])
    distance = max(0.0, draw.gauss(0.1, 0.1))
    return {
        "_id": f"{draw.getrandbits(96):024x}",
        "formula": crystal.composition.reduced_formula,
        "chemsys": crystal.chemical_system,
        "elements": sorted(symbols),
        "nelements": 3,
        "nsites": 10,
        "structure": crystal.as_dict(),
        "spacegroup": {"number": 1, "symbol": "P1"},
        "novelty": {"prototype": f"made-up-{number % 500}", "likely_disorder": [], "new_composition": True},
        "energy": -50.0,
        "correction": 0.0,
        "energy_per_atom": -5.0,
        "theory": "made-up",
        "source": "substitution",
        "lineage": {"source": "substitution", "round": 1, "parent_id": "p", "substitution": "", "campaign": "a"},
        "outside": None,
        "campaigns": [draw.choice("ab")],
        "stability": {"e_above_hull": distance, "phase_separation_energy": distance, "formation_energy": -1.0},
        "created": datetime.now(UTC),
    }


def timed(address: str) -> tuple[float, dict[str, Any]]:
    """Seconds that an answer takes, the fastest of a few and the first, and the answer."""
    fastest, answer = float("inf"), {}
    for _ in range(PAGES):
        start = time.perf_counter()
        response = requests.get(address, timeout=60)
        fastest = min(fastest, time.perf_counter() - start)
        response.raise_for_status()
        answer = response.json()
    return fastest, answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=20000, help="crystals")
    parser.add_argument("--campaign", help="serve those of campaign a or b only")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        database = EmbeddedDatabase(Path(directory), free_port())
        database.start()
        try:
            measure(database, arguments.n, arguments.campaign)
        finally:
            database.stop()


def measure(database: EmbeddedDatabase, n: int, campaign: str | None) -> None:
    from pymongo import MongoClient

    store = Store(MongoClient(database.host, database.port)["serving"])
    store.prepare()
    draw = random.Random(0)
    for start in range(0, n, 1000):
        store.entries.insert_many([entry(number, draw) for number in range(start, min(start + 1000, n))])
    for what in ("first time", "nothing new"):
        begun = time.perf_counter()
        written = refresh(store).changed
        print(f"documents, {what}: {written:,} written in {time.perf_counter() - begun:.1f} s", flush=True)
    server = Server(store, campaign, None, None)
    port = free_port()
    running = uvicorn.Server(uvicorn.Config(server.application, port=port, log_level="warning", access_log=False))
    import threading

    threading.Thread(target=running.run, daemon=True).start()
    while not running.started:
        time.sleep(0.05)
    base = f"http://127.0.0.1:{port}/v1/structures?page_limit=100"
    ids = sorted(d["_id"] for d in server.collections["structures"].collection.find({}, {"_id": 1}))
    cases = {
        "first page": "",
        "page in the middle": f"&page_above={ids[n // 2]}",
        "last page": f"&page_above={ids[-101]}",
        "last page by offset": f"&page_offset={n - 100}",
        "most stable first": "&sort=_gnome_e_above_hull",
        "most stable first, last page": f"&sort=_gnome_e_above_hull&page_offset={n - 100}",
        "stable": "&filter=_gnome_e_above_hull<=0.0",
        "with Li and O": '&filter=elements HAS ALL "Li","O"',
        "with Li and O, stable": '&filter=elements HAS ALL "Li","O" AND _gnome_e_above_hull<=0.0',
        "of a formula": '&filter=chemical_formula_reduced="Li3O5Zn2"',
        "made of Li, O, Fe only": '&filter=elements HAS ONLY "Li","O","Fe"',
    }
    for name, query in cases.items():
        begun = time.perf_counter()
        requests.get(base + query, timeout=120)
        first = time.perf_counter() - begun
        seconds, answer = timed(base + query)
        print(
            f"{name}: {1000 * first:.0f} ms, again {1000 * seconds:.0f} ms; {len(answer['data'])} of "
            f"{answer['meta']['data_returned']:,}",
            flush=True,
        )
    running.should_exit = True


if __name__ == "__main__":
    main()
