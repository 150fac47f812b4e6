"""Does a campaign find the true ground states? Known ternaries of eight systems: python benchmarks/ground_states.py.

    python benchmarks/ground_states.py                    eight systems, the loop and its ablations, three seeds: hours
    python benchmarks/ground_states.py K-Ca-Mg-F --seeds 1 --strategies loop,networks     ten minutes

A run is an ordinary campaign with SevenNet-0 in the place of DFT: elements and binaries are its first data, the
ternaries are to be found, with at most 120 relaxations. Truth is the hull of everything that any run has relaxed and
of the known types (structure types of the literature, below), relaxed with the same potential. Relaxations are kept in
--out, so that what two runs have in common is computed once; the seconds of a run are those that it would have needed.

Prints for each system and strategy: known ternaries found in their type, phases listed as stable that are not and by
how much, relaxations until each find. Writes the same as ground_states.md.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import socket
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # runs share the cores, not a run
warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
from pymatgen.core import Structure  # noqa: E402

from gnome_torch.candidates.chemistry.policy import ElementPolicy  # noqa: E402
from gnome_torch.candidates.parents import parent_of  # noqa: E402
from gnome_torch.candidates.prototypes import prototypes  # noqa: E402
from gnome_torch.candidates.structural.generation import plan, stream  # noqa: E402
from gnome_torch.candidates.structural.proposals import StructuralOptions  # noqa: E402
from gnome_torch.candidates.structural.substitution import SubstitutionRules  # noqa: E402
from gnome_torch.candidates.tables.shards import candidates_of, write_json  # noqa: E402
from gnome_torch.files import write_whole  # noqa: E402
from gnome_torch.records import EntryEnergy, Relaxation, structure_key  # noqa: E402
from gnome_torch.stability.corrections import correction  # noqa: E402
from gnome_torch.stability.hull import Hull  # noqa: E402
from gnome_torch.stability.novelty import prototype_of  # noqa: E402

BUDGET = 120
"""Relaxations of a run at most, those of the first data among them."""

SAME = 0.002
"""Energies of one crystal from two starts agree to this, eV/atom; a listed phase further above the truth is false."""

THEORY = {"name": "forcefield", "model": "7net-0", "fmax": 0.05, "max_steps": 150}
CHGNET = {"name": "forcefield", "model": "chgnet"}


@dataclass(frozen=True)
class Known:
    """A ternary of the literature.

    Attributes:
        formula: reduced.
        prototype: key of its structure type in the library.
        source: of the structure.
    """

    formula: str
    prototype: str
    source: str


PEROVSKITE, GDFEO3, K2NIF4 = "aflow:AB3C_cP5_221_a_c_b", "aflow:AB3C_oP20_62_c_cd_a", "aflow:AB2C4_tI14_139_a_e_ce"
HEUSLER, HALF_HEUSLER = "aflow:AB2C_cF16_225_a_c_b", "aflow:ABC_cF12_216_b_c_a"
SYSTEMS: dict[str, tuple[Known, ...]] = {
    "K-Ca-Mg-F": (
        Known("KMgF3", PEROVSKITE, "Pm-3m; Muradyan et al., Acta Cryst. B 40, 1984"),
        Known("KCaF3", GDFEO3, "Pnma; Bulou et al., 1980"),
        Known("K2MgF4", K2NIF4, "I4/mmm; Babel and Herdtweck, Z. Anorg. Allg. Chem. 487, 75 (1982)"),
    ),
    "Sr-Ti-O": (
        Known("SrTiO3", PEROVSKITE, "Pm-3m"),
        Known("Sr2TiO4", K2NIF4, "Ruddlesden and Popper, Acta Cryst. 10, 538 (1957)"),
        Known("Sr3Ti2O7", "type:Sr3Ti2O7", "Ruddlesden and Popper, Acta Cryst. 11, 54 (1958)"),
        Known("Sr4Ti3O10", "type:Sr4Ti3O10", "Ruddlesden and Popper, Acta Cryst. 11, 54 (1958)"),
    ),
    "Li-Al-O": (
        Known("LiAlO2", "type:gamma-LiAlO2", "P4_12_12; Marezio, Acta Cryst. 19, 396 (1965)"),
        Known("Li5AlO4", "type:beta-Li5AlO4", "Pmmn; Stewner and Hoppe, Z. Anorg. Allg. Chem. 380, 241 (1971)"),
    ),
    "Hf-Co-Sn": (Known("HfCoSn", HALF_HEUSLER, "F-43m"), Known("HfCo2Sn", HEUSLER, "Fm-3m")),
    "Ca-Zn-N": (
        Known("Ca2ZnN2", "type:Na2HgO2", "I4/mmm; Chern and DiSalvo, J. Solid State Chem. 88, 528 (1990)"),
        Known("Ca(ZnN)2", "type:CaAl2Si2", "P-3m1; Hinuma et al., Nat. Commun. 7, 11962 (2016)"),
    ),
    "Li-Ga-Pd": (
        Known("LiGaPd2", HEUSLER, "Fm-3m"),
        Known("Li2GaPd", HEUSLER, "Heusler family"),
        Known("LiGa2Pd", HEUSLER, "Heusler family"),
    ),
    "Ba-Zr-S": (Known("BaZrS3", GDFEO3, "Pnma; Lelieveld and IJdo, Acta Cryst. B 36, 2223 (1980)"),),
    "Al-Ni-Ti": (Known("TiAlNi2", HEUSLER, "Fm-3m"), Known("TiAlNi6", "type:AlNi6Ti", "ordered Cu3Au")),
}
"""At most 20 atoms in the cell; the energies that make them stable: ../shared/data/README.md."""

STRATEGIES: dict[str, dict[str, Any]] = {
    "loop": {},
    "networks": {"baseline": "none"},
    "no confirmation": {"screening": {"per_composition": 1, "confirm": 0}},
}
"""What each does otherwise than the loop."""


def campaign_of(system: str, strategy: str, seed: int, directory: Path) -> dict[str, Any]:
    """Campaign settings of a run."""
    loop = {
        "name": "run",
        "elements": system.split("-"),
        "theory": THEORY,
        "baseline": CHGNET,
        "seeds": {"limit": 24, "max_elements": 2, "polymorphs": 2, "references": 3, "max_sites": 12},
        "structural": {"max_elements": 3, "limit": 4000},
        "network": {"members": 4, "hidden": [64, 64], "epochs": 120, "batch_size": 16, "learning_rate": 0.002},
        "screening": {"threshold": 0.1, "max_relaxations": 20, "per_composition": 2, "confirm": 3},
        "relaxations": {"per_firework": 1000},
        "rounds": 3,
        "seed": seed,
        "directory": str(directory / "campaign"),
    }
    return merged(loop, STRATEGIES[strategy])


def merged(*settings: dict[str, Any]) -> dict[str, Any]:
    """Nested settings, the later ones over the earlier ones."""
    result: dict[str, Any] = {}
    for some in settings:
        for key, value in some.items():
            nested = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if nested else value
    return result


# ---- relaxations, each computed once


def remember_relaxations(directory: Path) -> list[float]:
    """Keep every relaxation of this process on disk, and take what is there; a list that holds the seconds of each."""
    from workflows.relax.potentials import AseRelaxation

    seconds: list[float] = []
    compute = AseRelaxation.relax

    def relax(self: Any, structure: Structure) -> Relaxation:
        path = directory / f"{structure_key(structure)}.json"
        if not path.exists():
            began = time.perf_counter()
            try:
                found = compute(self, structure)
                kept = {
                    "structure": found.structure.as_dict(),
                    "energy": found.energy,
                    "converged": found.converged,
                    "steps": found.steps,
                    "initial_energy": found.initial_energy,
                    "details": found.details,
                }
            except ValueError as error:
                kept = {"error": str(error)}
            write_json({**kept, "seconds": time.perf_counter() - began}, path)
        kept = json.loads(path.read_text())
        seconds.append(kept.pop("seconds"))
        if "error" in kept:
            raise ValueError(kept["error"])
        return Relaxation(**{**kept, "structure": Structure.from_dict(kept["structure"])})

    AseRelaxation.relax = relax  # type: ignore[method-assign]
    return seconds


def known_crystals(system: str) -> Iterator[tuple[str, Structure]]:
    """Formula and crystal of the known types, in every assignment of the elements that gives the formula."""
    for known in SYSTEMS[system]:
        policy = ElementPolicy(frozenset(system.split("-")), max_elements=3, min_contact=0.3)
        options = StructuralOptions(policy, SubstitutionRules(1e-30), saps=False)
        parent = prototypes()[known.prototype]
        if parent.reduced_formula == known.formula:  # substitution leaves out what is there already
            yield known.formula, parent
        for table in stream(plan([parent_of(known.prototype, parent)], options)):
            for candidate in candidates_of(table):
                if candidate.reduced_formula == known.formula:
                    yield known.formula, candidate.structure(parent)


# ---- a run


def run(system: str, strategy: str, seed: int, out: Path, port: int) -> dict[str, Any]:
    """One campaign from its first data to its end; what came of it is kept."""
    from fireworks import LaunchPad
    from fireworks.core.rocket_launcher import rapidfire

    from workflows.campaign.plan import start_workflow
    from workflows.campaign.settings import parse_settings
    from workflows.store import Store

    path = run_path(out, system, strategy, seed)
    seconds = remember_relaxations(out / "relaxed")
    began = time.perf_counter()
    work = out / "work" / path.stem
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    settings = parse_settings(campaign_of(system, strategy, seed, work), strategy)
    name = f"ground-states-{os.getpid()}"
    pad = LaunchPad(host="127.0.0.1", port=port, name=name, strm_lvl="CRITICAL")
    pad.reset("", require_password=False)
    logging.getLogger("jobflow").setLevel(logging.WARNING)  # it says every crystal
    here = Path.cwd()
    computed = len(list((out / "relaxed").glob("*.json")))
    try:
        pad.add_wf(start_workflow(settings))
        rapidfire(pad, m_dir=str(work), strm_lvl="CRITICAL")
        record = {"system": system, "strategy": strategy, "seed": seed, **outcome(Store(pad.db))}
    finally:
        os.chdir(here)
        pad.connection.drop_database(name)
    record["wall_s"] = round(time.perf_counter() - began, 1)
    record["relaxing_s"] = round(sum(seconds), 1)
    record["new_relaxations"] = len(list((out / "relaxed").glob("*.json"))) - computed
    write_json(record, path)
    shutil.rmtree(work)
    return record


def run_path(out: Path, system: str, strategy: str, seed: int) -> Path:
    """Where a run is kept."""
    words = "".join(letter if letter.isalnum() else " " for letter in f"{system} {strategy}").split()
    return out / f"{'-'.join(words)}-{seed}.json"


def outcome(store: Any) -> dict[str, Any]:
    """What a campaign has relaxed, in its order, and what it lists as stable."""
    state = store.campaigns.get("run")
    if state["state"] != "finished":
        raise RuntimeError(f"the campaign is {state['state']}: {state.get('reason')}")
    candidates = [c for d in store.rounds.all("run") for c in store.candidates.of_round("run", d["number"])]
    candidates.sort(key=lambda candidate: candidate["ended"])
    relaxed = []
    for candidate in candidates:
        entry = store.entries.get(candidate["entry"]) if candidate.get("entry") else None
        if entry is None:
            relaxed.append({"round": candidate["round"], "formula": candidate["formula"], "energy": None})
            continue
        relaxed.append(
            {
                "round": candidate["round"],
                "formula": entry["formula"],
                "energy": (entry["energy"] + entry["correction"]) / entry["nsites"],
                "prototype": entry["novelty"]["prototype"],
                "stable": entry["stability"]["e_above_hull"] < 1e-4,
                "predicted": (candidate.get("prediction") or {}).get("formation_energy"),
                "formation_energy": entry["stability"]["formation_energy"],
                "parent": candidate["lineage"]["parent_id"],
            }
        )
    rounds = []
    for d in store.rounds.all("run"):
        model = store.models.get(f"run/{d['number']}")
        rounds.append(
            {
                "counts": d["counts"],
                "result": d.get("result"),
                "test_mae": model.get("test_mae"),
                "baseline": model.get("baseline"),
            }
        )
    return {"relaxed": relaxed, "rounds": rounds}


# ---- truth


def truth_of(system: str, records: Sequence[dict[str, Any]], out: Path) -> tuple[Hull, dict[str, str]]:
    """The hull of everything that is known of a system, and the label of the lowest crystal of each known ternary."""
    from workflows.campaign.settings import parse_settings
    from workflows.relax import theory

    level = theory(parse_settings(campaign_of(system, "loop", 0, out), "truth").theory)
    remember_relaxations(out / "relaxed")
    energies = [
        EntryEnergy(f"{i}/{j}", some["formula"], some["energy"], 0.0, "truth")
        for i, record in enumerate(records)
        for j, some in enumerate(record["relaxed"])
        if some["energy"] is not None
    ]
    lowest: dict[str, tuple[float, str]] = {}
    here = Path.cwd()
    (out / "work").mkdir(parents=True, exist_ok=True)
    os.chdir(out / "work")
    for formula, crystal in known_crystals(system):
        found = level.relax(crystal)
        energy = (found.energy + correction(found.structure, found.energy, level.scheme)) / len(found.structure)
        energies.append(EntryEnergy(f"known/{formula}/{energy}", formula, energy, 0.0, "truth"))
        lowest[formula] = min(lowest.get(formula, (np.inf, "")), (energy, str(prototype_of(found.structure))))
    os.chdir(here)
    return Hull(energies), {formula: label for formula, (_, label) in lowest.items()}


def judged(system: str, record: dict[str, Any], hull: Hull, labels: dict[str, str]) -> dict[str, Any]:
    """What a run has found, against the truth."""
    points = {}
    for some in record["relaxed"]:
        if some["energy"] is not None:
            entry = EntryEnergy("asked", some["formula"], some["energy"], 0.0, "truth")
            points[id(some)] = hull.point(entry).e_above_hull
    listed = {}
    for some in record["relaxed"]:
        if some.get("stable") and sum(map(str.isupper, some["formula"])) > 1:
            listed[some["formula"]] = min(points[id(some)], listed.get(some["formula"], 1.0))
    found = {}
    for known in SYSTEMS[system]:
        at = [
            number
            for number, some in enumerate(record["relaxed"], start=1)
            if some["formula"] == known.formula
            and some["energy"] is not None
            and some["prototype"] == labels[known.formula]
            and some["stable"]
        ]
        found[known.formula] = at[0] if at else None
    return {
        "found": found,
        "false": {formula: distance for formula, distance in listed.items() if distance > SAME},
        "listed": len(listed),
        "relaxed": len(record["relaxed"]),
    }


# ---- tables


def main(argv: Sequence[str] | None = None) -> None:
    """Run what is asked for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", nargs="*", default=list(SYSTEMS), help="such as K-Ca-Mg-F; all by default")
    parser.add_argument("--strategies", default=",".join(STRATEGIES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("ground-states"))
    asked = parser.parse_args(argv)
    for system in asked.systems:
        if system not in SYSTEMS:
            raise SystemExit(f"{system}: one of {', '.join(SYSTEMS)}")
    strategies = asked.strategies.split(",")
    for strategy in strategies:
        if strategy not in STRATEGIES:
            raise SystemExit(f"{strategy}: one of {', '.join(STRATEGIES)}")
    out = asked.out.absolute()
    (out / "relaxed").mkdir(parents=True, exist_ok=True)
    jobs = [(system, some, seed) for seed in range(asked.seeds) for system in asked.systems for some in strategies]
    run_all([job for job in jobs if not run_path(out, *job).exists()], out, asked.workers)
    text = report(asked.systems, strategies, asked.seeds, out)
    write_whole(out / "ground_states.md", text)
    print(text)


def run_all(jobs: Sequence[tuple[str, str, int]], out: Path, workers: int) -> None:
    """Run campaigns, a process each, on a database of their own."""
    from workflows.store.embedded import EmbeddedDatabase

    if not jobs:
        return
    with socket.socket() as probe:
        probe.bind((EmbeddedDatabase.host, 0))
        port = probe.getsockname()[1]
    server = EmbeddedDatabase(out / "database", port)
    server.start()
    try:
        with ProcessPoolExecutor(workers, max_tasks_per_child=1) as processes:
            running = [processes.submit(run, *job, out, port) for job in jobs]
            for number, future in enumerate(as_completed(running), start=1):
                record = future.result()
                which = f"{record['system']}, {record['strategy']}, seed {record['seed']}"
                print(f"[{number} of {len(jobs)}] {which}: {record['wall_s']:.0f} s", file=sys.stderr, flush=True)
    finally:
        server.stop()


def report(systems: Sequence[str], strategies: Sequence[str], seeds: int, out: Path) -> str:
    """The table as Markdown."""
    lines = [
        "| system | strategy | seed | known ternaries found at relaxation | listed | false, meV/atom | relaxed | s |",
        "|---" * 8 + "|",
    ]
    totals: dict[str, list[tuple[int, int, int, int]]] = {name: [] for name in strategies}
    for system in systems:
        paths = [run_path(out, system, some, seed) for some in STRATEGIES for seed in range(seeds)]
        records = [json.loads(path.read_text()) for path in paths if path.exists()]
        hull, labels = truth_of(system, records, out)
        for record in records:
            if record["strategy"] not in strategies:
                continue
            verdict = judged(system, record, hull, labels)
            found = ", ".join(f"{name} {at or '-'}" for name, at in verdict["found"].items())
            false = ", ".join(f"{name} {1000 * value:.0f}" for name, value in sorted(verdict["false"].items()))
            lines.append(
                f"| {system} | {record['strategy']} | {record['seed']} | {found} | {verdict['listed']} | "
                f"{false or 'none'} | {verdict['relaxed']} | {record['wall_s']:.0f} |"
            )
            totals[record["strategy"]].append(
                (
                    sum(at is not None for at in verdict["found"].values()),
                    len(verdict["found"]),
                    len(verdict["false"]),
                    verdict["listed"],
                )
            )
    lines += ["", "| strategy | known ternaries found | listed phases that are false |", "|---|---|---|"]
    for name, rows in totals.items():
        found, known, false, listed = (sum(column) for column in zip(*rows, strict=True)) if rows else (0, 0, 0, 0)
        lines.append(f"| {name} | {found} of {known} | {false} of {listed} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
