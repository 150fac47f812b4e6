"""Does the loop discover? Campaigns in closed worlds, where the whole truth is known: python benchmarks/discovery.py

    python benchmarks/discovery.py                    alloys and perovskites, all strategies, three seeds; hours
    python benchmarks/discovery.py --short            the alloys, the strategies that matter, two seeds; < 30 minutes
    python benchmarks/discovery.py --smoke            a corner of the alloys, seconds; what `make test` runs
    python benchmarks/discovery.py --world halides --strategies random,loop --seeds 1

Worlds are made by benchmarks/worlds.py. Every strategy is an ordinary campaign (Firetasks, FireWorks, the embedded
database, the theory `lookup`), launched in this process, with the same budget of relaxations and the same first data.
Results are kept in --out, a file for each run: a command that was stopped goes on there, a repeated one only prints.

Prints, with spread over the seeds: true hits per round, the share of the truly stable phases found after so many
relaxations, the networks' error per round. Writes discovery.md and discovery.svg into --out.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import socket
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # runs share the cores, not a run
warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from pymatgen.core import Composition, Structure  # noqa: E402

from gnome_torch.candidates.shards import read_parents, read_shards, write_json  # noqa: E402
from gnome_torch.records import structure_key  # noqa: E402
from gnome_torch.stability.hull import Hull  # noqa: E402

WORLDS = Path(__file__).parent / "worlds"
SAME = 0.001
"""A crystal this near the true hull is the stable phase, whichever candidate it came from, eV/atom."""


# ---- the worlds


@dataclass(frozen=True)
class World:
    """A closed world.

    Attributes:
        name: of it.
        directory: as benchmarks/worlds.py writes it.
        settings: of a campaign in it, without its size.
        results: energy (eV/atom; None: it fails) and formula of each candidate, by the key of its crystal.
        phases: reduced formulas of what is truly stable.
        allowed: energy at or below which a crystal of such a formula is that phase, eV/atom.
    """

    name: str
    directory: Path
    settings: dict[str, Any]
    results: dict[str, tuple[float | None, str]]
    phases: frozenset[str]
    allowed: dict[str, float]


@dataclass(frozen=True)
class Known:
    """An entry of a hull."""

    id: str
    reduced_formula: str
    energy_per_atom: float
    theory: str = "world"


def load_world(name: str, directory: Path) -> World:
    """Read a world and work out its truth.

    Raises:
        SystemExit: it is not there.
    """
    path = directory / name
    try:
        about = json.loads((path / "world.json").read_text())
    except OSError:
        raise SystemExit(f"{path}: no world in it; make it with: python benchmarks/worlds.py {name}") from None
    columns = pq.read_table(path / "results.parquet", columns=["key", "energy", "formula", "candidate"]).to_pylist()
    results = {row["key"]: (row["energy"], row["formula"]) for row in columns if row["candidate"]}
    finished = [row for row in columns if row["energy"] is not None]
    if "threshold" in about:  # a limit in the place of a hull
        limit = about["threshold"]
        stable = {row["formula"] for row in finished if row["candidate"] and row["energy"] <= limit}
        allowed = dict.fromkeys(stable, limit)
    else:
        hull = Hull(Known(row["key"], row["formula"], row["energy"]) for row in finished)
        formulas = sorted({row["formula"] for row in finished if row["candidate"]})
        lowest: dict[str, float] = {}
        for row in finished:
            lowest[row["formula"]] = min(row["energy"], lowest.get(row["formula"], np.inf))
        formation = np.array([hull.formation_energy(Composition(f), lowest[f]) for f in formulas])
        distance = formation - hull.energies(formulas)
        stable = {f for f, d in zip(formulas, distance, strict=True) if d <= 5e-5}
        allowed = {f: lowest[f] + SAME for f in stable}
    return World(name, path, about["settings"], results, frozenset(stable), allowed)


# ---- the strategies


def strategies(world: World, size: Size) -> dict[str, dict[str, Any]]:
    """Settings of each strategy, beside those of the loop."""
    return {
        "random": {
            "screening": {"threshold": 1e3, "ranking": {"rule": "random"}},
            "network": {"members": 1, "epochs": 1},
        },
        "once": {"rounds": 1, "screening": {"max_relaxations": size.rounds * size.per_round}},
        "loop": {},
        "paper": {"structural": {"polymorphs": False}},
        "no volumes": {"screening": {"volumes": 1}},
        "one member": {"network": {"members": 1}},
        "no SAPS": {"structural": {"saps": False}},
        "bound": {"screening": {"ranking": {"rule": "bound", "weight": 1.0}}},
        "thompson": {"screening": {"ranking": {"rule": "thompson", "weight": 1.0}}},
        "diverse": {"screening": {"per_system": 6}},
        "warm": {"network": {"warm_epochs": max(1, size.epochs // 3)}},
        "short rounds": {
            "rounds": 2 * size.rounds,
            "screening": {"max_relaxations": max(1, size.per_round // 2)},
        },
    }


@dataclass(frozen=True)
class Size:
    """How large a comparison is.

    Attributes:
        first: crystals of the first data, drawn at random.
        rounds: of the loop.
        per_round: relaxations of a round.
        members: of the ensemble.
        epochs: of a training.
        hidden: widths of the networks.
    """

    first: int
    rounds: int
    per_round: int
    members: int = 4
    epochs: int = 40
    hidden: tuple[int, int] = (32, 32)


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Nested settings with some changed."""
    result = dict(base)
    for key, value in changes.items():
        result[key] = merged(result.get(key, {}), value) if isinstance(value, dict) else value
    return result


def campaign_of(world: World, size: Size, strategy: str, seed: int, directory: Path) -> dict[str, Any]:
    """Campaign settings of a run; its first data are written beside."""
    chance = random.Random(seed)
    crystals = {structure_key(s): s for s in pool(world)}
    finished = sorted(key for key in crystals if world.results[key][0] is not None)
    first = chance.sample(finished, size.first)
    directory.mkdir(parents=True)
    seeds = directory / "first.json"
    seeds.write_text(json.dumps([crystals[key].as_dict() for key in first]))
    base = {
        "name": "run",
        "theory": {"name": "lookup", "table": str(world.directory / "results.parquet")},
        "seeds": {"source": str(seeds)},
        "structural": {"pool": str(world.directory / "candidates"), "polymorphs": True},
        "network": {
            "members": size.members,
            "hidden": list(size.hidden),
            "epochs": size.epochs,
            "batch_size": 64,
            "learning_rate": 3e-3,
        },
        "screening": {"threshold": 0.1, "volumes": 5, "max_relaxations": size.per_round},
        "relaxations": {"per_firework": 1000},
        "rounds": size.rounds,
        "seed": seed,
        "directory": str(directory / "campaign"),
    }
    of_world = {key: value for key, value in world.settings.items() if key != "theory"}
    return merged(merged(of_world, base), strategies(world, size)[strategy])


def pool(world: World) -> list[Structure]:
    """The candidates as crystals."""
    parents = read_parents(world.directory / "candidates")
    return [some.structure(parents[some.parent_id]) for some in read_shards(world.directory / "candidates")]


# ---- a run


def run(world: World, size: Size, strategy: str, seed: int, out: Path, port: int) -> Path:
    """One campaign from its first data to its end; what it relaxed is written when it is over."""
    from fireworks import LaunchPad
    from fireworks.core.rocket_launcher import rapidfire

    from workflows.campaign import start_workflow
    from workflows.settings import parse_settings
    from workflows.store import Store

    path = out / f"{world.name} {strategy} {seed}.json".replace(" ", "-")
    if path.exists():
        return path
    began = time.perf_counter()
    work = out / "work" / path.stem
    shutil.rmtree(work, ignore_errors=True)
    settings = parse_settings(campaign_of(world, size, strategy, seed, work), strategy)
    name = f"discovery-{os.getpid()}"
    pad = LaunchPad(host="127.0.0.1", port=port, name=name, strm_lvl="CRITICAL")
    pad.reset("", require_password=False)
    try:
        pad.add_wf(start_workflow(settings))
        here = os.getcwd()
        (work / "launches").mkdir()
        rapidfire(pad, m_dir=str(work / "launches"), strm_lvl="CRITICAL")
        os.chdir(here)
        record = {"strategy": strategy, "seed": seed, "size": vars(size), **outcome(Store(pad.db), world)}
    finally:
        pad.connection.drop_database(name)
    record["seconds"] = round(time.perf_counter() - began, 1)
    write_json(record, path)
    shutil.rmtree(work)
    return path


def outcome(store: Any, world: World) -> dict[str, Any]:
    """What a campaign relaxed, round by round."""
    state = store.campaign("run")
    if state["state"] != "finished":
        raise RuntimeError(f"the campaign has {state['state']}: {state.get('reason')}")
    rounds = []
    found: set[str] = set()
    for document in store.all_rounds("run"):
        number = document["number"]
        candidates = [c for c in store.round_candidates("run", number) if c["lineage"]["source"] != "element"]
        hits = 0
        for candidate in sorted(candidates, key=lambda c: c.get("predicted_distance") or 0.0):
            formula = candidate["formula"]
            if candidate["state"] != "relaxed" or formula not in world.phases or formula in found:
                continue
            entry = store.entry(candidate["entry"])
            if entry["energy"] / entry["nsites"] <= world.allowed[formula]:
                found.add(formula)
                hits += 1
        model = store.model(f"run/{number}") or {}
        rounds.append(
            {
                "round": number,
                "relaxed": len(candidates),
                "failed": sum(c["state"] == "failed" for c in candidates),
                "hits": hits,
                "stable_then": document["result"]["stable"],
                "hit_rate_then": document["result"]["hit_rate"],
                "prediction_mae": document["result"]["prediction_mae"],
                "test_mae": model.get("test_mae"),
                "generated": document["counts"].get("generated"),
                "near": document["counts"].get("near_hull"),
            }
        )
    return {"rounds": rounds, "phases": len(world.phases), "found": len(found), "candidates": len(world.results)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", default="alloys")
    parser.add_argument("--worlds", type=Path, default=WORLDS)
    parser.add_argument("--strategies", default="random,once,loop,paper")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--first", type=float, default=0.02)
    parser.add_argument("--budget", type=float, default=0.2)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--hidden", default="32,32")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("discovery"))
    options = parser.parse_args()
    world = load_world(options.world, options.worlds)
    n = len(world.results)
    first = round(options.first * n)
    per_round = (int(options.budget * n) - first) // options.rounds
    size = Size(
        first, options.rounds, per_round, options.members, options.epochs, tuple(map(int, options.hidden.split(",")))
    )
    print(f"{world.name}: {n} candidates, {len(world.phases)} stable phases; {size}", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    jobs = [(strategy, seed) for seed in range(options.seeds) for strategy in options.strategies.split(",")]
    from workflows.embedded import EmbeddedDatabase

    with socket.socket() as probe:
        probe.bind((EmbeddedDatabase.host, 0))
        port = probe.getsockname()[1]
    server = EmbeddedDatabase(options.out / "database", port)
    server.start()
    try:
        with ProcessPoolExecutor(options.workers) as processes:
            futures = [
                processes.submit(run, world, size, strategy, seed, options.out.absolute(), port)
                for strategy, seed in jobs
            ]
            for future in as_completed(futures):
                record = json.loads(future.result().read_text())
                print(
                    f"{record['strategy']:14s} seed {record['seed']}: {record['found']}/{record['phases']} after "
                    f"{sum(r['relaxed'] for r in record['rounds'])}  hits "
                    + " ".join(f"{r['hits']}/{r['relaxed']}" for r in record["rounds"])
                    + "  mae "
                    + " ".join(f"{1000 * (r['prediction_mae'] or 0):.0f}" for r in record["rounds"])
                    + f"  {record['seconds']:.0f} s",
                    flush=True,
                )
    finally:
        server.stop()


if __name__ == "__main__":
    main()
