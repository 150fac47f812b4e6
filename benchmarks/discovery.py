"""Does the loop discover? Campaigns in closed worlds, where the whole truth is known: python benchmarks/discovery.py.

    python benchmarks/discovery.py --short     five metals, the strategies that matter: under 30 minutes on two cores
    python benchmarks/discovery.py --smoke     three metals, two strategies: a minute; what `make test` runs
    python benchmarks/discovery.py alloys      seven metals, every strategy, three seeds: hours
    python benchmarks/discovery.py perovskites halides --strategies random,loop --seeds 1

Worlds are made by benchmarks/worlds.py; the alloys are kept beside it. Every strategy is an ordinary campaign
(Firetasks, FireWorks, the embedded database, the theory `lookup`), launched in this process, with the same first data
and the same budget of relaxations. Results are kept in --out, a file for each run: a command that was stopped goes on
there, a repeated one only prints.

Prints, as means over the seeds with their deviation: how many of the truly stable phases are found after so many
relaxations, hits per round, the error of the predictions per round. Writes the same as discovery.md and discovery.svg.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import shutil
import socket
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # runs share the cores, not a run
warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from pymatgen.core import Composition, Structure  # noqa: E402

from gnome_torch.candidates.tables.shards import read_parents, read_shards, write_json  # noqa: E402
from gnome_torch.files import write_whole  # noqa: E402
from gnome_torch.records import structure_key  # noqa: E402
from gnome_torch.stability.hull import STABLE_TOLERANCE, Hull  # noqa: E402

WORLDS = Path(__file__).parent / "worlds"
SAME = 0.001
"""A crystal this near the true hull is the stable phase, whichever candidate it came from, eV/atom."""


# ---- what is compared


@dataclass(frozen=True)
class Comparison:
    """Campaigns of equal cost in one world.

    Attributes:
        world: name.
        elements: corner of it; None for all.
        first: share of the candidates that are the first data, drawn at random.
        budget: share of the candidates that is relaxed in all, the first data among them.
        rounds: of the loop.
        members: of the ensemble.
        epochs: of a training.
        hidden: widths of the networks.
        strategies: names.
        seeds: of the first data and the networks.
    """

    world: str
    elements: tuple[str, ...] | None = None
    first: float = 0.02
    budget: float = 0.2
    rounds: int = 6
    members: int = 4
    epochs: int = 100
    hidden: tuple[int, int] = (32, 32)
    strategies: tuple[str, ...] = ()
    seeds: int = 3

    @property
    def title(self) -> str:
        return f"{self.world} ({', '.join(self.elements)})" if self.elements else self.world


MAIN = ("random", "once", "loop", "paper")
SHORT = Comparison("alloys", ("Cu", "Pd", "Ag", "Pt", "Au"), epochs=60, strategies=MAIN, seeds=2)
SMOKE = Comparison(
    "alloys",
    ("Al", "Ag", "Au"),
    0.1,
    0.3,
    rounds=2,
    members=2,
    epochs=10,
    hidden=(16, 16),
    strategies=("random", "loop"),
    seeds=1,
)
FULL = {
    "alloys": Comparison("alloys", hidden=(64, 64)),
    "perovskites": Comparison("perovskites", budget=0.1),
    "halides": Comparison("halides"),
}


def changes(comparison: Comparison, per_round: int) -> dict[str, dict[str, Any]]:
    """What each strategy does otherwise than the loop, as campaign settings."""
    in_all = comparison.rounds * per_round
    return {
        "random": {
            "screening": {"threshold": 1e3, "ranking": {"rule": "random"}},
            "network": {"members": 1, "epochs": 1},
        },
        "once": {"rounds": 1, "screening": {"max_relaxations": in_all}},
        "loop": {},
        # as published: networks that know relaxed crystals alone, twenty volumes, a computed composition is closed
        "paper": {
            "network": {"starts": "none"},
            "screening": {"volumes": 20},
            "structural": {"polymorphs": False},
        },
        "starts: none with jitter": {"network": {"starts": "none", "volume_jitter": 0.2}, "screening": {"volumes": 20}},
        "starts: own energy": {"network": {"starts": "own"}, "screening": {"volumes": 20}},
        "20 volumes": {"screening": {"volumes": 20}},
        "closed compositions": {"structural": {"polymorphs": False}},
        "1 member": {"network": {"members": 1}},
        "10 members": {"network": {"members": 10}},
        "no SAPS": {"structural": {"saps": False}},
        "lower bound": {"screening": {"ranking": {"rule": "bound"}}},
        "Thompson": {"screening": {"ranking": {"rule": "thompson"}}},
        "diverse": {"screening": {"per_system": 6}},
        "warm start": {"network": {"warm_epochs": max(1, comparison.epochs // 3)}},
        "threshold 0.05": {"screening": {"threshold": 0.05}},
        "threshold 0.01": {"screening": {"threshold": 0.01}},
        "threshold 0.2": {"screening": {"threshold": 0.2}},
        "half rounds": {"rounds": 2 * comparison.rounds, "screening": {"max_relaxations": max(1, per_round // 2)}},
        # results come one by one; the others of the round are not waited for, and known to the next training
        "retrain at 70 %": {"retrain": {"fraction": 0.7}, "relaxations": {"per_firework": 1}},
    }


# ---- the worlds


@dataclass(frozen=True)
class World:
    """A closed world.

    Attributes:
        directory: as benchmarks/worlds.py writes it.
        settings: of a campaign in it.
        results: energy (eV/atom; None: its relaxation fails) and formula of each candidate, by the key of its crystal.
        allowed: for the formula of every truly stable phase the energy, eV/atom, at or below which a crystal is it.
    """

    directory: Path
    settings: dict[str, Any]
    results: dict[str, tuple[float | None, str]]
    allowed: dict[str, float]


@dataclass(frozen=True)
class Known:
    """An entry of the true hull."""

    id: str
    reduced_formula: str
    energy_per_atom: float
    theory: str = "the world's"


def load_world(name: str, directory: Path, elements: Sequence[str] | None = None) -> World:
    """Read a world, or a corner of it, and work out its truth.

    Raises:
        SystemExit: it is not there.
    """
    path = (directory / name).absolute()
    try:
        about = json.loads((path / "world.json").read_text())
    except OSError:
        raise SystemExit(f"{path}: no world in it; make it with: python benchmarks/worlds.py {name}") from None
    settings = about["settings"] | ({"elements": list(elements)} if elements else {})
    allowed_elements = set(settings["elements"])
    rows = [
        row
        for row in pq.read_table(
            path / "results.parquet", columns=["key", "energy", "formula", "candidate"]
        ).to_pylist()
        if allowed_elements.issuperset(element.symbol for element in Composition(row["formula"]))
    ]
    results = {row["key"]: (row["energy"], row["formula"]) for row in rows if row["candidate"]}
    finished = [row for row in rows if row["energy"] is not None]
    if "threshold" in about:  # its energies are distances from a hull already
        stable = {
            formula for energy, formula in results.values() if energy is not None and energy <= about["threshold"]
        }
        return World(path, settings, results, dict.fromkeys(stable, about["threshold"]))
    hull = Hull(Known(row["key"], row["formula"], row["energy"]) for row in finished)
    lowest: dict[str, float] = {}
    for row in finished:
        lowest[row["formula"]] = min(row["energy"], lowest.get(row["formula"], np.inf))
    formulas = sorted({formula for energy, formula in results.values() if energy is not None})
    formation = np.array([hull.formation_energy(Composition(formula), lowest[formula]) for formula in formulas])
    stable_there = formation - hull.energies(formulas) <= STABLE_TOLERANCE
    return World(
        path, settings, results, {f: lowest[f] + SAME for f, yes in zip(formulas, stable_there, strict=True) if yes}
    )


def crystals_of(world: World) -> dict[str, Structure]:
    """The candidates as crystals, by their keys."""
    parents = read_parents(world.directory / "candidates")
    some = (
        candidate.structure(parents[candidate.parent_id]) for candidate in read_shards(world.directory / "candidates")
    )
    return {key: crystal for crystal in some if (key := structure_key(crystal)) in world.results}


# ---- a run


def campaign_of(world: World, comparison: Comparison, strategy: str, seed: int, directory: Path) -> dict[str, Any]:
    """Campaign settings of a run; its first data are written into the directory."""
    finished = {key: crystal for key, crystal in crystals_of(world).items() if world.results[key][0] is not None}
    first = random.Random(seed).sample(sorted(finished), round(comparison.first * len(world.results)))
    per_round = (int(comparison.budget * len(world.results)) - len(first)) // comparison.rounds
    directory.mkdir(parents=True)
    write_whole(directory / "first.json", json.dumps([finished[key].as_dict() for key in first]))
    loop = {
        "name": "run",
        "theory": {"name": "lookup", "table": str(world.directory / "results.parquet")},
        "seeds": {"source": str(directory / "first.json")},
        "structural": {"pool": str(world.directory / "candidates")},
        "network": {
            "members": comparison.members,
            "hidden": comparison.hidden,
            "epochs": comparison.epochs,
            "batch_size": 64,
            "learning_rate": 3e-3,
        },
        "screening": {"threshold": 0.1, "max_relaxations": per_round},
        "relaxations": {"per_firework": 1000},
        "rounds": comparison.rounds,
        "seed": seed,
        "directory": str(directory / "campaign"),
    }
    of_world = {key: value for key, value in world.settings.items() if key != "theory"}
    return merged(of_world, loop, changes(comparison, per_round)[strategy])


def merged(*settings: dict[str, Any]) -> dict[str, Any]:
    """Nested settings, the later ones over the earlier ones."""
    result: dict[str, Any] = {}
    for some in settings:
        for key, value in some.items():
            result[key] = merged(result.get(key, {}), value) if isinstance(value, dict) else value
    return result


def run(comparison: Comparison, worlds: Path, strategy: str, seed: int, out: Path, port: int) -> dict[str, Any]:
    """One campaign from its first data to its end; what came of it is kept."""
    from fireworks import LaunchPad
    from fireworks.core.rocket_launcher import rapidfire

    from workflows.campaign.plan import start_workflow
    from workflows.campaign.settings import parse_settings
    from workflows.store import Store

    path = run_path(out, strategy, seed)
    began = time.perf_counter()
    world = load_world(comparison.world, worlds, comparison.elements)
    work = out / "work" / path.stem
    shutil.rmtree(work, ignore_errors=True)
    settings = parse_settings(campaign_of(world, comparison, strategy, seed, work), strategy)
    name = f"discovery-{os.getpid()}"
    pad = LaunchPad(host="127.0.0.1", port=port, name=name, strm_lvl="CRITICAL")
    pad.reset("", require_password=False)
    logging.getLogger("jobflow").setLevel(logging.WARNING)  # it says every crystal
    here = Path.cwd()
    try:
        pad.add_wf(start_workflow(settings))
        rapidfire(pad, m_dir=str(work), strm_lvl="CRITICAL")
        record = {"strategy": strategy, "seed": seed, **outcome(Store(pad.db), world)}
    finally:
        os.chdir(here)
        pad.connection.drop_database(name)
    record["seconds"] = round(time.perf_counter() - began, 1)
    write_json(record, path)
    shutil.rmtree(work)
    return record


def run_path(out: Path, strategy: str, seed: int) -> Path:
    """Where a run is kept."""
    words = "".join(letter if letter.isalnum() else " " for letter in strategy).split()
    return out / f"{'-'.join(words)}-{seed}.json"


def outcome(store: Any, world: World) -> dict[str, Any]:
    """What a campaign relaxed, round by round."""
    from workflows.catalogue.hits import Hits

    state = store.campaigns.get("run")
    if state["state"] != "finished":
        raise RuntimeError(f"the campaign is {state['state']}: {state.get('reason')}")
    rounds = []
    found: set[str] = set()
    for document in store.rounds.all("run"):
        number, result = document["number"], document.get("result")
        if result is None:
            continue
        # elements are given, not discovered
        candidates = [
            some for some in store.candidates.of_round("run", number) if some["lineage"]["source"] != "element"
        ]
        before = len(found)
        for candidate in candidates:
            allowed = world.allowed.get(candidate["formula"])
            if candidate["state"] == "relaxed" and allowed is not None:
                entry = store.entries.get(candidate["entry"])
                if entry["energy"] / entry["nsites"] <= allowed:
                    found.add(candidate["formula"])
        rounds.append(
            {
                "relaxed": len(candidates),
                "failed": sum(some["state"] == "failed" for some in candidates),
                "hits": len(found) - before,
                "on_the_hull_then": Hits.read(result).on_hull,
                "prediction_mae": result["prediction_mae"],
                "test_mae": (store.models.get(f"run/{number}") or {}).get("test_mae"),
                "screened": document["counts"].get("screened"),
                "near": document["counts"].get("near_hull"),
            }
        )
    return {"rounds": rounds, "found": len(found), "phases": len(world.allowed), "candidates": len(world.results)}


def compare(comparison: Comparison, worlds: Path, out: Path, workers: int) -> list[dict[str, Any]]:
    """All runs of a comparison; those that are kept are not run again."""
    from workflows.store.embedded import EmbeddedDatabase

    out.mkdir(parents=True, exist_ok=True)
    _same_comparison(comparison, worlds, out)
    jobs = [(strategy, seed) for seed in range(comparison.seeds) for strategy in comparison.strategies]
    todo = [job for job in jobs if not run_path(out, *job).exists()]
    if todo:
        with socket.socket() as probe:
            probe.bind((EmbeddedDatabase.host, 0))
            port = probe.getsockname()[1]
        server = EmbeddedDatabase(out / "database", port)
        server.start()
        try:
            with ProcessPoolExecutor(workers) as processes:
                running = [processes.submit(run, comparison, worlds, *job, out, port) for job in todo]
                for number, future in enumerate(as_completed(running), start=1):
                    print(f"[{number} of {len(todo)}] {_line(future.result())}", flush=True)
        finally:
            server.stop()
    return [json.loads(run_path(out, *job).read_text()) for job in jobs]


def _same_comparison(comparison: Comparison, worlds: Path, out: Path) -> None:
    """Runs of different sizes, or in another world of that name, must not meet in one table."""
    what = {key: value for key, value in asdict(comparison).items() if key not in ("strategies", "seeds")}
    results = load_world(comparison.world, worlds, comparison.elements).results
    what["truth"] = sha256(json.dumps(sorted(results.items())).encode()).hexdigest()
    path = out / "comparison.json"
    if path.exists() and json.loads(path.read_text()) != json.loads(json.dumps(what)):
        raise SystemExit(f"{out}: holds runs of another comparison: name another directory with --out")
    write_json(what, path)


def _line(record: dict[str, Any]) -> str:
    rounds = record["rounds"]
    hits = " ".join(f"{some['hits']}/{some['relaxed']}" for some in rounds)
    found = f"{record['found']} of {record['phases']}"
    return f"{record['strategy']}, seed {record['seed']}: {found}; {hits}; {record['seconds']:.0f} s"


# ---- tables and plot


def report(comparison: Comparison, records: list[dict[str, Any]], out: Path) -> str:
    """Tables as Markdown; the plot beside them."""
    by_strategy = {name: [r for r in records if r["strategy"] == name] for name in comparison.strategies}
    n, phases = records[0]["candidates"], records[0]["phases"]
    lines = [
        f"### {comparison.title}",
        "",
        f"{n:,} candidates, {phases} of them truly stable ({phases / n:.1%}); {comparison.first:.0%} at random first, "
        f"{comparison.budget:.0%} relaxed in all; {comparison.members} members of {comparison.hidden}, "
        f"{comparison.epochs} epochs; {comparison.seeds} seeds.",
        "",
        *_by_strategy(comparison, by_strategy, n, phases),
        "",
        "True hits of each round, and the error of its predictions, meV/atom:",
        "",
        *_by_round(comparison, by_strategy),
    ]
    if "random" in by_strategy and "loop" in by_strategy:
        lines += ["", _against_random(by_strategy, phases)]
    text = "\n".join(lines) + "\n"
    write_whole(out / "discovery.md", text)
    _plot(comparison, by_strategy, out / "discovery.svg")
    return text


def _by_strategy(
    comparison: Comparison, by_strategy: dict[str, list[dict[str, Any]]], n: int, phases: int
) -> Iterator[str]:
    """The lines of the table of what each strategy has found in the end."""
    yield (
        "| strategy | found after half | found in the end | relaxed | failed | last round, hits | on the hull then | "
        "error of the last round, meV/atom | s a run |"
    )
    yield "|---" * 9 + "|"
    for name, runs in by_strategy.items():
        last = [r["rounds"][-1] for r in runs]
        relaxed = [sum(x["relaxed"] for x in r["rounds"]) for r in runs]
        failed = [sum(x["failed"] for x in r["rounds"]) for r in runs]
        cells = [
            _mean([100 * found_after(r, comparison.budget / 2) / phases for r in runs], " %"),
            _mean([100 * r["found"] / phases for r in runs], " %"),
            _mean([100 * count / n for count in relaxed], " %", 1),
            _mean([100 * lost / count for lost, count in zip(failed, relaxed, strict=True)], " %", 1),
            _mean([100 * x["hits"] / max(1, x["relaxed"]) for x in last], " %", 1),
            _mean([100 * x["on_the_hull_then"] / max(1, x["relaxed"]) for x in last], " %", 1),
            _mean([1000 * x["prediction_mae"] for x in last if x["prediction_mae"] is not None], ""),
            _mean([r["seconds"] for r in runs], ""),
        ]
        yield f"| {name} | {' | '.join(cells)} |"


def _by_round(comparison: Comparison, by_strategy: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    """The lines of the table of hits and errors round by round, of the strategies whose runs have all rounds."""
    yield "| strategy | " + " | ".join(f"{i}" for i in range(comparison.rounds + 1)) + " |"
    yield "|---" * (comparison.rounds + 2) + "|"
    for name, runs in by_strategy.items():
        if any(len(r["rounds"]) != comparison.rounds + 1 for r in runs):
            continue
        cells = []
        for number in range(comparison.rounds + 1):
            those = [r["rounds"][number] for r in runs]
            hits = 100 * fmean(x["hits"] / max(1, x["relaxed"]) for x in those)
            errors = [1000 * x["prediction_mae"] for x in those if x["prediction_mae"] is not None]
            cells.append(f"{hits:.1f} %" + (f", {fmean(errors):.0f}" if errors else ""))
        yield f"| {name} | {' | '.join(cells)} |"


def _against_random(by_strategy: dict[str, list[dict[str, Any]]], phases: int) -> str:
    rate = fmean(
        sum(x["hits"] for x in r["rounds"]) / sum(x["relaxed"] for x in r["rounds"]) for r in by_strategy["random"]
    )
    last = fmean(r["rounds"][-1]["hits"] / max(1, r["rounds"][-1]["relaxed"]) for r in by_strategy["loop"])
    best = fmean(max(x["hits"] / max(1, x["relaxed"]) for x in r["rounds"]) for r in by_strategy["loop"])
    found = [fmean(r["found"] for r in by_strategy[name]) for name in ("random", "loop")]
    return (
        f"Random choice hits at {rate:.1%}. The loop's last round at {last:.1%} ({last / rate:.1f} times that), its "
        f"best at {best:.1%} ({best / rate:.1f} times); in all it finds {found[1]:.1f} phases against {found[0]:.1f} "
        f"({found[1] / found[0]:.1f} times), of {phases}."
    )


def found_after(record: dict[str, Any], share: float) -> float:
    """Phases found when so many of the candidates are relaxed; between the ends of rounds on a straight line."""
    relaxed = np.cumsum([0, *(some["relaxed"] for some in record["rounds"])])
    hits = np.cumsum([0, *(some["hits"] for some in record["rounds"])])
    return float(np.interp(share * record["candidates"], relaxed, hits))


def _mean(values: Sequence[float], unit: str, digits: int = 0) -> str:
    if not values:
        return "–"
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{fmean(values):.{digits}f}{spread}{unit}"


def _plot(comparison: Comparison, by_strategy: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Share of the stable phases found against the share of candidates relaxed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    shares = np.linspace(0, comparison.budget, 121)
    for number, (name, runs) in enumerate(by_strategy.items()):
        curves = np.array([[100 * found_after(r, share) / r["phases"] for share in shares] for r in runs])
        colour, style = f"C{number % 10}", "-" if number < 10 else "--"
        axes.plot(100 * shares, curves.mean(axis=0), style, color=colour, label=name)
        axes.fill_between(100 * shares, curves.min(axis=0), curves.max(axis=0), color=colour, alpha=0.12, linewidth=0)
    axes.set(xlabel="candidates relaxed, %", ylabel="truly stable phases found, %", title=comparison.title)
    axes.set(xlim=(0, 100 * comparison.budget), ylim=(0, 100))
    axes.legend(fontsize=8)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("worlds", nargs="*", help=f"of: {', '.join(FULL)}; by default alloys and perovskites")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--smoke", action="store_true")
    known = tuple(changes(FULL["alloys"], 1))
    of_known = ", ".join(known).replace("%", "%%")  # argparse formats its helps
    parser.add_argument("--strategies", help=f"separated by commas, of: {of_known}")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--directory", type=Path, default=WORLDS, help="of the worlds")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, default=Path("discovery"))
    options = parser.parse_args()
    if unknown := [name for name in options.worlds if name not in FULL]:
        raise SystemExit(f"there is no world {unknown[0]!r}: choose among {', '.join(FULL)}")
    comparisons = [SHORT] if options.short else [SMOKE] if options.smoke else []
    comparisons = comparisons or [FULL[name] for name in options.worlds or ("alloys", "perovskites")]
    for comparison in comparisons:
        names = tuple(options.strategies.split(",")) if options.strategies else comparison.strategies or known
        if unknown := [name for name in names if name not in known]:
            raise SystemExit(f"--strategies: there is no {unknown[0]!r}: choose among {', '.join(known)}")
        chosen = replace(comparison, strategies=names, seeds=options.seeds or comparison.seeds)
        out = (options.out / chosen.title.replace(", ", "-").replace(" ", "-")).absolute()
        records = compare(chosen, options.directory, out, options.workers)
        print(f"\n{report(chosen, records, out)}\n{out / 'discovery.md'}, {out / 'discovery.svg'}")


if __name__ == "__main__":
    main()
