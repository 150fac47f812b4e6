"""How long questions about phases take: python benchmarks/queries.py.

100,000 entries on a fresh embedded database, made up: compounds of two to four of twenty elements, five campaigns, one
entry in a hundred on the hull, the others evenly up to 0.5 eV/atom above it; beside them a third as many imported ones,
every third on the hull. Prints milliseconds of some questions of
`gnome stable` in Python, after start-up, and the index that the server says it goes by. (The embedded one says COLLSCAN
as soon as a condition is not in the index, and goes by the index all the same: the times tell.)

Floor: the embedded server takes some 20 microseconds for each document that an index leads it to, whatever is shown.
"""

from __future__ import annotations

import argparse
import os
import random
import socket
import tempfile
import time
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
warnings.simplefilter("ignore")

from pymongo import MongoClient  # noqa: E402

from workflows.catalogue.phases import PhaseQuery, phases  # noqa: E402
from workflows.store import Store  # noqa: E402
from workflows.store.embedded import EmbeddedDatabase  # noqa: E402

ELEMENTS = [
    "Li",
    "Na",
    "K",
    "Mg",
    "Ca",
    "Sr",
    "Ba",
    "Al",
    "Ga",
    "Si",
    "Ti",
    "Fe",
    "Mn",
    "Ni",
    "Cu",
    "Zn",
    "O",
    "S",
    "F",
    "Cl",
]
CAMPAIGNS = [f"campaign-{number}" for number in range(5)]
BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


def entries(count: int, chance: random.Random) -> Iterator[dict[str, Any]]:
    """Documents as `Entries.add` writes them, with crystals of their usual size that are no crystals."""
    for number in range(count):
        symbols = sorted(chance.sample(ELEMENTS, chance.choice((2, 3, 3, 4))))
        amounts = [chance.randint(1, 6) for _ in symbols]
        formula = "".join(f"{s}{n if n > 1 else ''}" for s, n in zip(symbols, amounts, strict=True))
        distance = 0.0 if chance.random() < 0.01 else chance.uniform(0.001, 0.5)
        yield {
            "_id": f"{number:024x}",
            "formula": formula,
            "chemsys": "-".join(symbols),
            "elements": symbols,
            "nelements": len(symbols),
            "nsites": sum(amounts),
            "structure": {"sites": ["x" * 120] * sum(amounts)},
            "spacegroup": {"number": 225, "symbol": "Fm-3m"},
            "energy": -5.0 * sum(amounts),
            "correction": 0.0,
            "energy_per_atom": -5.0,
            "theory": "made-up",
            "source": "substitution",
            "lineage": {
                "source": "substitution",
                "parent_id": f"{chance.randrange(500):024x}" if number >= 500 else "aflow:AB_cF8_225_a_b",
                "substitution": "Na->K",
                "round": chance.randint(0, 5),
                "model_id": None,
                "campaign": "campaign-0",
            },
            "outside": None,
            "campaigns": [chance.choice(CAMPAIGNS)],
            "novelty": {"prototype": "AB", "likely_disorder": [], "new_composition": True, "new_prototype": False},
            "stability": {
                "formation_energy": -1.0,
                "e_above_hull": distance,
                "phase_separation_energy": distance or -0.1,
                "decomposition": {f"{chance.randrange(count):024x}": 1.0},
                "hull_date": BEGUN,
                "hull_entries": count,
            },
            "prediction": None,
            "calculation": {"max_force": 0.01},
            "change": None,
            "created": BEGUN + timedelta(minutes=number),
        }


def imported(count: int, chance: random.Random) -> Iterator[dict[str, Any]]:
    """Entries that come from outside, every third on the hull."""
    for number, document in enumerate(entries(count, chance)):
        stability = document["stability"] | {"e_above_hull": 0.0 if number % 3 == 0 else chance.uniform(0.001, 0.5)}
        yield document | {
            "_id": f"outside-{number}",
            "source": "outside",
            "outside": {"source": "made-up", "key": str(number), "version": "1", "record": f"record-{number}"},
            "campaigns": [],
            "stability": stability,
        }


QUESTIONS = {
    "stable, of one campaign": PhaseQuery(campaign="campaign-1"),
    "stable, of all, the first 50": PhaseQuery(limit=50),
    "with Li and O, within 20 meV": PhaseQuery(elements=("Li", "O"), max_e_above_hull=0.02, limit=50),
    "Li-Fe-O, within 100 meV": PhaseQuery(chemsys=("Li", "Fe", "O"), max_e_above_hull=0.1),
    "new compositions since March": PhaseQuery(new="composition", since=datetime(2026, 3, 1, tzinfo=UTC), limit=50),
    "latest first": PhaseQuery(sort="-created", limit=50),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("entries", type=int, nargs="?", default=100_000)
    count = parser.parse_args().entries
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind((EmbeddedDatabase.host, 0))
        port = probe.getsockname()[1]
        probe.close()
        server = EmbeddedDatabase(Path(folder), port)
        server.start()
        try:
            client: MongoClient[dict[str, Any]] = MongoClient(server.host, port)
            store = Store(client["queries"])
            store.prepare()
            store.database["campaigns"].insert_many([{"_id": name} for name in CAMPAIGNS])
            documents = chain(entries(count, random.Random(0)), imported(count // 3, random.Random(1)))
            while some := list(islice(documents, 1000)):
                store.database["entries"].insert_many(some)
            print(f"{count:,} entries, {count // 3:,} imported\n{'question':32s}{'phases':>8s}{'ms':>8s}  plan")
            for name, query in QUESTIONS.items():
                rows = phases(store, query)
                start = time.perf_counter()
                phases(store, query)
                taken = 1000 * (time.perf_counter() - start)
                print(f"{name:32s}{len(rows):8,d}{taken:8.0f}  {_plan(store, query)}", flush=True)
        finally:
            server.stop()


def _plan(store: Store, query: PhaseQuery) -> str:
    """Index that the queries go by, or COLLSCAN."""
    plans = set()
    for where in store.finds.queries(query.campaign, query.max_e_above_hull, query.elements, query.chemsys):
        stage = store.database["entries"].find(where).explain()["queryPlanner"]["winningPlan"]
        while "inputStage" in stage:
            stage = stage["inputStage"]
        plans.add(str(stage.get("indexName", stage["stage"])))
    return ", ".join(sorted(plans))


if __name__ == "__main__":
    main()
