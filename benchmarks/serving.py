"""How fast `gnome serve` answers, page by page, on made-up crystals: `python benchmarks/serving.py -n 20000`."""

from __future__ import annotations

import argparse
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import requests
from pymatgen.core import Lattice, Structure
from pymongo import MongoClient

from gnome_torch.records import HullPoint
from workflows.catalogue.serving.application import PAGE_LIMIT_MAX
from workflows.catalogue.serving.documents import refresh
from workflows.store import Store, now
from workflows.store.embedded import EmbeddedDatabase

ELEMENTS = ["Li", "Na", "Mg", "Al", "Si", "Ti", "Fe", "Cu", "Zn", "O", "S", "F"]
REPEATS = 5  # each page is asked for so often, and the fastest counts
MOVED = 1000  # on the hull, for the look at what has changed


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
        "created": now(),
        "changed": now(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=20000, help="crystals")
    parser.add_argument("--campaign", help="serve those of campaign a or b only")
    parser.add_argument("--directory", type=Path, help="where the database is kept; by default it is thrown away")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        database = EmbeddedDatabase(arguments.directory or Path(scratch), free_port())
        database.start()
        try:
            store = Store(MongoClient(database.host, database.port)["serving"])
            fill(store, arguments.n)
            with served(database, arguments.campaign) as (base, process):
                ids = sorted(walk(base, process))
                ask(base, ids)
            look(store, ids)
        finally:
            database.stop()


def fill(store: Store, n: int) -> None:
    """Unless it was filled before."""
    store.prepare()
    draw = random.Random(0)
    for start in range(store.database["entries"].estimated_document_count(), n, 1000):
        store.database["entries"].insert_many([entry(number, draw) for number in range(start, min(start + 1000, n))])


@contextmanager
def served(database: EmbeddedDatabase, campaign: str | None) -> Iterator[tuple[str, psutil.Process]]:
    """`gnome serve`, once all documents are written: its address and its process."""
    command = [sys.executable, "-m", "workflows.cli", "serve", "--port", "0", "--refresh-s", "3600"]
    command += ["--campaign", campaign] if campaign else []
    uri = {"GNOME_MONGODB_URI": f"mongodb://{database.host}:{database.port}", "GNOME_MONGODB_NAME": "serving"}
    begun = time.perf_counter()
    with subprocess.Popen(command, env={**os.environ, **uri}, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            base = ""
            for line in server.stdout:
                print(f"{time.perf_counter() - begun:.0f} s: {line.strip()}", flush=True)
                if address := re.search(r"http://[\d.:]+", line):
                    base = address[0]
                seconds, answer = timed(f"{base}/v1/structures?page_limit=100")
                of = f"{len(answer['data'])} of {answer['meta']['data_returned']:,}"
                print(f"    a first page takes {1000 * seconds:.0f} ms; {of}", flush=True)
                if "are served" in line:
                    break
            yield base, psutil.Process(server.pid)
        finally:
            server.terminate()


def timed(address: str) -> tuple[float, dict[str, Any]]:
    """Seconds that an answer takes, and the answer."""
    start = time.perf_counter()
    response = requests.get(address, timeout=600)
    seconds = time.perf_counter() - start
    response.raise_for_status()
    return seconds, response.json()


def ask(base: str, ids: list[str]) -> None:
    """Pages of a hundred, of several filters: the first time, and the fastest of a few."""
    n = len(ids)
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
        address = f"{base}/v1/structures?page_limit=100{query}"
        first, answer = timed(address)
        again = min(timed(address)[0] for _ in range(REPEATS))
        print(
            f"{name}: {1000 * first:.0f} ms, again {1000 * again:.0f} ms; {len(answer['data'])} of "
            f"{answer['meta']['data_returned']:,}",
            flush=True,
        )


def walk(base: str, process: psutil.Process) -> set[str]:
    """Everything, page after page, as a client that follows `links.next`: the ids."""
    following = f"{base}/v1/structures?page_limit={PAGE_LIMIT_MAX}"
    seconds: list[float] = []
    rows: list[str] = []
    while following:
        took, answer = timed(following)
        seconds.append(took)
        rows += [row["id"] for row in answer["data"]]
        following = answer["links"]["next"]
    print(
        f"all: {len(set(rows)):,} different structures of {len(rows):,} in {len(seconds)} pages of {PAGE_LIMIT_MAX:,}, "
        f"{sum(seconds):.0f} s; the first {seconds[0]:.2f} s, the last {seconds[-1]:.2f} s, the slowest "
        f"{max(seconds):.2f} s; the server has {process.memory_info().rss / 2**20:.0f} MiB",
        flush=True,
    )
    return set(rows)


def look(store: Store, ids: list[str]) -> None:
    """At the entries, for what has changed."""
    since = now()
    moved = {key: HullPoint(-1.0, 0.5, 0.5, {}) for key in ids[:MOVED]}
    store.entries.set_stability("made-up", moved, since, len(ids))
    for what, moment in (
        (f"at {MOVED:,} that moved", since),
        ("at none", now()),
        ("at everything, nothing new", None),
    ):
        begun = time.perf_counter()
        changed = refresh(store, moment).changed
        print(f"a look {what}: {changed:,} written in {time.perf_counter() - begun:.2f} s", flush=True)


if __name__ == "__main__":
    main()
