"""Closed worlds for benchmarks/discovery.py: every candidate of a world, relaxed once by exhaustion.

    python benchmarks/worlds.py alloys       Al, Ni, Cu, Pd, Ag, Pt, Au; ASE's EMT; half an hour of one core
    python benchmarks/worlds.py halides      K, Ca, Mg, F; SevenNet-0; an hour of two cores
    python benchmarks/worlds.py perovskites  ABX3 of ../shared/data (real DFT); a minute

A world is a directory:

    candidates/     everything that substitution proposes in the prototypes, as `gnome generate structural` writes it
    results.parquet what each of them, and each elemental crystal, relaxes to: the table of the theory `lookup`
    world.json      how it was made

A killed run goes on where it was. The alloys are kept in benchmarks/worlds, so that nobody has to make them again.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
from pymatgen.core import Lattice, PeriodicSite, Structure  # noqa: E402

from gnome_torch.candidates.chemistry.volumes import reference_volume  # noqa: E402
from gnome_torch.candidates.decoration import elemental_crystals  # noqa: E402
from gnome_torch.candidates.parents import Parent, ParentError, parent_of  # noqa: E402
from gnome_torch.candidates.prototypes import aflow_prototypes  # noqa: E402
from gnome_torch.candidates.structural.generation import generate  # noqa: E402
from gnome_torch.candidates.structural.selection import Request, Selection  # noqa: E402
from gnome_torch.candidates.tables.rows import Rows  # noqa: E402
from gnome_torch.candidates.tables.shards import (  # noqa: E402
    candidate_table,
    finish,
    parents_table,
    read_parents,
    read_shards,
    write_json,
    write_shards,
    write_table,
)
from gnome_torch.records import structure_key  # noqa: E402
from gnome_torch.stability.plausibility import implausible  # noqa: E402
from workflows.campaign.settings import CampaignSettings, parse_settings  # noqa: E402
from workflows.relax import Theory, theory  # noqa: E402

DATA = Path(__file__).parents[2] / "shared" / "data"
HERE = Path(__file__).parent / "worlds"
SUBSTITUTED: dict[str, dict[str, Any]] = {
    "alloys": {
        "elements": ["Al", "Ni", "Cu", "Pd", "Ag", "Pt", "Au"],
        "theory": {"name": "emt", "fmax": 0.02, "max_steps": 300},
        "seeds": {"references": 4, "max_sites": 8},
        "structural": {"max_sites": 8, "max_elements": 3, "threshold": 1e-4, "assignments": 0},
    },
    "halides": {
        "elements": ["K", "Ca", "Mg", "F"],
        "theory": {"name": "forcefield", "fmax": 0.1, "max_steps": 100},
        "seeds": {"references": 2, "max_sites": 12},
        "structural": {
            "max_sites": 12,
            "max_elements": 3,
            "threshold": 1e-6,
            "assignments": 0,
            "limit": 800,
            "order": "random",
        },
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("world", choices=[*SUBSTITUTED, "perovskites"])
    parser.add_argument("--out", type=Path, help="by default benchmarks/worlds/WORLD")
    parser.add_argument("--data", type=Path, default=DATA, help="where the perovskites are")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    directory = options.out or HERE / options.world
    if options.world == "perovskites":
        perovskites(directory, options.data)
    else:
        substituted(options.world, directory, options.workers)


def substituted(world: str, directory: Path, workers: int) -> None:
    """A world of everything that substitution proposes in the prototypes."""
    settings = parse_settings({"name": world, **SUBSTITUTED[world]}, world)
    directory.mkdir(parents=True, exist_ok=True)
    selection = Selection(settings.structural.limit, settings.structural.order, settings.seed)
    request = Request(settings.structural_options(settings.elements), selection)
    summary = generate(list(parents(settings)), request, directory / "candidates")
    elements, candidates = list(elemental(settings)), list(pool(directory))
    print(f"{world}: {summary['written']} candidates, {len(elements)} elemental crystals", flush=True)
    level = SUBSTITUTED[world]["theory"]
    results = relaxed([*elements, *candidates], level, directory / "relaxations.jsonl", workers)
    write(directory, elements, candidates, results, SUBSTITUTED[world], theory=theory(settings.theory).id)


def perovskites(directory: Path, data: Path) -> None:
    """The ABX3 of Castelli et al. (2012), real DFT, each beginning as an ideal cubic perovskite of estimated volume.

    Their energy is the heat of formation from the competing phases that the authors knew, so it is the distance to a
    hull already: elements are at 0, and a crystal counts as found at most 0.1 eV/atom above what it competes with (the
    range of the metastable compounds that are made: Sun et al., Sci. Adv. 2, e1600225, 2016).
    """
    path = data / "perovskites_abx3_dft.csv"
    if not path.is_file():
        raise SystemExit(f"{path}: no such file: name the directory of the perovskites with --data")
    parent = parent_of("perovskite", ideal_perovskite("Sr", "Ti", ["O"] * 3, SRTIO3))
    relaxed = [(in_order(crystal), energy) for crystal, energy in _rows_of(path)]
    numbers = np.array([[site.specie.Z for site in crystal] for crystal, _ in relaxed], dtype=np.uint8)
    volumes = reference_volume(parent.numbers[None], numbers, np.ones(5), parent.closest[None], parent.volume).round(3)
    # every atom is a group of its own
    rows = Rows(
        parent=np.zeros(len(numbers), dtype=np.int64),
        numbers=numbers,
        olds=np.tile(parent.numbers, (len(numbers), 1)),
        news=numbers,
        counts=np.ones((len(numbers), 5), dtype=np.uint8),
        partial=np.zeros(len(numbers), dtype=bool),
        probability=np.ones(len(numbers)),
        volume=volumes,
        contact=np.ones(len(numbers)),
        keys=np.zeros((len(numbers), 2), dtype=np.uint64),
    )
    write_shards([candidate_table(rows, lambda _: parent.id, parent.id, 0)], directory / "candidates")
    finish(
        directory / "candidates", parents_table([(parent, "Sr2+ Ti4+ O2-", "given", parent.id)]), {"source": str(path)}
    )
    symbols = sorted({site.specie.symbol for crystal, _ in relaxed for site in crystal})
    plan = {
        "elements": symbols,
        "seeds": {"references": 1, "max_sites": 20},
        "structural": {"max_sites": 5},
        "network": {"volume_jitter": 0.2},
    }
    elements = list(elemental(parse_settings({"name": "perovskites", **plan, "theory": EVERYTHING}, "perovskites")))
    candidates = list(pool(directory))
    results = {structure_key(crystal): answer(crystal, 0.0) for crystal in elements}
    for crystal, (end, energy) in zip(candidates, relaxed, strict=True):
        results[structure_key(crystal)] = answer(crystal, energy / 5, end)
    write(directory, elements, candidates, results, plan, theory="Castelli 2012", threshold=0.1)


SRTIO3 = 3.905
"""Edge of its cell, angstrom."""

EVERYTHING = {"name": "lookup", "table": "/nowhere"}
"""A theory that knows all elements, for settings that are never run."""


def ideal_perovskite(a: str, b: str, x: list[str], edge: float) -> Structure:
    """A cubic perovskite: A at the corner, B in the middle, X in the middles of the faces."""
    places = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Structure(Lattice.cubic(edge), [a, b, *x], places)


def in_order(crystal: Structure) -> Structure:
    """A relaxed perovskite with its atoms in the order A, B, X: the file shifts some of them along one axis."""

    def place(site: PeriodicSite) -> tuple[int, str]:
        across = tuple(round(2 * x) % 2 for x in site.frac_coords[1:])
        if site.specie.symbol in {"O", "N", "F", "S"}:
            return 2, site.specie.symbol
        return (0 if across == (0, 0) else 1), site.specie.symbol

    found = Structure.from_sites(sorted(crystal, key=place))
    if [place(site)[0] for site in found] != [0, 1, 2, 2, 2]:
        raise ValueError(f"{crystal.reduced_formula}: no perovskite")
    return found


def _rows_of(path: Path) -> Iterator[tuple[Structure, float]]:
    """Crystals and heats of formation, eV per cell."""
    with path.open(newline="") as file:
        for line in csv.DictReader(file):
            yield Structure.from_str(line["cif"], fmt="cif"), float(line["heat_all"])


def answer(crystal: Structure, energy: float, end: Structure | None = None) -> dict[str, Any]:
    """What a relaxation gives, eV/atom."""
    return {
        "key": structure_key(crystal),
        "energy": round(energy, 6),
        "initial_energy": None,
        "structure": written(end) if end is not None else None,
        "failure": None,
    }


def write(
    directory: Path,
    elements: list[Structure],
    candidates: list[Structure],
    results: dict[str, dict[str, Any]],
    settings: dict[str, Any],
    **about: Any,
) -> None:
    """Write what is known of a world: its table, then how it was made."""
    rows = [row(crystal, results, candidate=False) for crystal in elements]
    rows += [row(crystal, results, candidate=True) for crystal in candidates]
    rows = list({some["key"]: some for some in rows}.values())
    write_table(pa.Table.from_pylist(rows, schema=SCHEMA), directory / "results.parquet")
    failed = sum(some["failure"] is not None for some in rows)
    write_json({"settings": settings, "crystals": len(rows), "failed": failed, **about}, directory / "world.json")
    print(f"{len(rows)} results, {failed} failed")


def row(crystal: Structure, results: dict[str, dict[str, Any]], candidate: bool) -> dict[str, Any]:
    """A row of the table."""
    key = structure_key(crystal)
    return {"formula": crystal.composition.reduced_formula, "candidate": candidate, **results[key]}


SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("formula", pa.string()),
        ("candidate", pa.bool_()),
        ("energy", pa.float64()),
        ("initial_energy", pa.float64()),
        ("structure", pa.string()),
        ("failure", pa.string()),
    ]
)
"""What the theory `lookup` reads, the reduced formula, and whether it is a candidate or the crystal of an element."""


def parents(settings: CampaignSettings) -> Iterator[Parent]:
    """The prototypes that are small enough."""
    for key, structure in aflow_prototypes().items():
        try:
            yield parent_of(key, structure, settings.structural.max_sites)
        except ParentError:
            continue


def elemental(settings: CampaignSettings) -> Iterator[Structure]:
    """Crystals of the elements alone, as the first data of a campaign have them."""
    library, seeds = aflow_prototypes(), settings.seeds
    for candidate in elemental_crystals(settings.elements, library, seeds.references, seeds.max_sites):
        yield candidate.structure(library[candidate.parent_id])


def pool(directory: Path) -> Iterator[Structure]:
    """The candidates of a world as crystals."""
    crystals = read_parents(directory / "candidates")
    for candidate in read_shards(directory / "candidates"):
        yield candidate.structure(crystals[candidate.parent_id])


def relaxed(crystals: list[Structure], level: dict[str, Any], done: Path, workers: int) -> dict[str, dict[str, Any]]:
    """What each crystal relaxes to, by its key; results are kept as they come."""
    results = {result["key"]: result for result in _kept(done)}
    todo = {structure_key(crystal): crystal for crystal in crystals}
    todo = {key: crystal for key, crystal in todo.items() if key not in results}
    start = time.perf_counter()
    with done.open("a") as file, ProcessPoolExecutor(workers, initializer=_begin, initargs=(level,)) as processes:
        for count, result in enumerate(processes.map(_relax, todo.values(), chunksize=4), start=1):
            file.write(json.dumps(result) + "\n")
            file.flush()
            results[result["key"]] = result
            if count % 100 == 0 or count == len(todo):
                rate = count / (time.perf_counter() - start)
                print(f"{count} of {len(todo)}, {rate:.1f} a second", flush=True)
    return results


def _kept(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        yield from (json.loads(line) for line in path.read_text().splitlines() if line.endswith("}"))


_LEVEL: list[Theory] = []  # of a worker process: made once, not for every crystal


def _begin(level: dict[str, Any]) -> None:
    warnings.simplefilter("ignore")
    _LEVEL[:] = [theory(parse_settings({"name": "w", "elements": ["Cu", "Au"], "theory": level}, "world").theory)]


def _relax(crystal: Structure) -> dict[str, Any]:
    """A row of the table."""
    row: dict[str, Any] = {
        "key": structure_key(crystal),
        "energy": None,
        "initial_energy": None,
        "structure": None,
        "failure": None,
    }
    try:
        result = _LEVEL[0].relax(crystal)
    except Exception as error:  # whatever a calculator stumbles over
        return row | {"failure": f"{type(error).__name__}: {error}"[:200]}
    if (reason := implausible(result)) is not None:
        return row | {"failure": reason}
    n = len(crystal)
    initial = result.initial_energy / n if result.initial_energy is not None else None
    return row | {
        "energy": round(result.energy / n, 6),
        "initial_energy": round(initial, 6) if initial is not None else None,
        "structure": written(result.structure),
    }


def written(crystal: Structure) -> str:
    """A crystal as JSON of pymatgen, to 1e-5 angstrom."""
    cell = np.array(crystal.lattice.matrix).round(5)
    coordinates = np.array(crystal.frac_coords).round(6) % 1
    return Structure(Lattice(cell), crystal.species, coordinates).to_json()


if __name__ == "__main__":
    main()
