"""What the machinery costs for each relaxation, and how that grows: python benchmarks/scale.py.

A round of 1,000, 3,000 and 10,000 selected crystals, each on a fresh embedded database, at theory `lookup`, which
answers at once from a table of (random) energies: whatever time passes is FireWorks', the database's and ours. Crystals
are prototypes with elements drawn from thirty. With fifty crystals in a Firework (`relaxations.per_firework`), and,
for the first size, with one each, which is what expensive theories have. Prints milliseconds for each relaxation

- adding: what was computed before is looked for, workflows are written;
- launching and recording: by FireWorks' own rapidfire, one worker, to the last entry in the database;
- the first and the last tenth of that: whether it grows with what is there already;

and the seconds that `lpad get_wflows` and `gnome campaign status` take afterwards.

Floor: an entry is one insert of some 4 kB and a candidate one update, a millisecond together on this database; symmetry
and prototype of a crystal take spglib some 2 ms.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
warnings.simplefilter("ignore")

import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from ase.data import covalent_radii  # noqa: E402
from ase.io import write  # noqa: E402
from fireworks import FWorker, LaunchPad  # noqa: E402
from fireworks.core.rocket_launcher import launch_rocket  # noqa: E402
from pymatgen.core import Composition, Structure  # noqa: E402
from pymatgen.io.ase import AseAtomsAdaptor  # noqa: E402

from gnome_torch.candidates.prototypes import prototypes  # noqa: E402
from workflows.campaign.begin import begin, first_crystals  # noqa: E402
from workflows.campaign.settings import CampaignSettings, parse_settings  # noqa: E402
from workflows.store import ENDED, Store  # noqa: E402
from workflows.store.embedded import EmbeddedDatabase  # noqa: E402

ELEMENTS = [
    "Li",
    "Na",
    "K",
    "Rb",
    "Mg",
    "Ca",
    "Sr",
    "Ba",
    "Al",
    "Ga",
    "In",
    "Si",
    "Ge",
    "Sn",
    "Ti",
    "Zr",
    "V",
    "Nb",
    "Mn",
    "Fe",
    "Co",
    "Ni",
    "Cu",
    "Zn",
    "Y",
    "O",
    "S",
    "N",
    "F",
    "Cl",
]


def settings_of(directory: Path, count: int, per_firework: int) -> CampaignSettings:
    """A campaign whose first data are so many crystals of a file, and its table of energies."""
    chance = random.Random(0)
    crystals = list(islice(_crystals(chance), count - len(ELEMENTS)))
    write(directory / "crystals.extxyz", [AseAtomsAdaptor.get_atoms(some, msonable=False) for some in crystals])
    energies = {some.composition.reduced_formula: -3.0 + chance.gauss(-0.1, 0.2) for some in crystals}
    energies |= {Composition(symbol).reduced_formula: -3.0 for symbol in ELEMENTS}
    table = pa.table({"key": list(energies), "energy": list(energies.values())})
    pq.write_table(table, directory / "table.parquet")
    data = {
        "name": f"scale-{count}-{per_firework}",
        "elements": ELEMENTS,
        "theory": {"name": "lookup", "table": str(directory / "table.parquet"), "by": "formula"},
        "seeds": {"source": str(directory / "crystals.extxyz"), "references": 1},
        "relaxations": {"per_firework": per_firework},
        "directory": str(directory / "campaign"),
    }
    return parse_settings(data, "benchmark")


def _crystals(chance: random.Random) -> Iterator[Structure]:
    """Prototypes with elements drawn at random, each formula once, at a volume where the nearest atoms touch."""
    library = [some for some in prototypes().values() if 2 <= len(some.composition) <= 3 and len(some) <= 12]
    seen: set[str] = set()
    while True:
        prototype = chance.choice(library)
        symbols = chance.sample(ELEMENTS, len(prototype.composition))
        species = dict(zip(prototype.composition.elements, symbols, strict=True))
        crystal = Structure(prototype.lattice, [species[site.specie] for site in prototype], prototype.frac_coords)
        if crystal.composition.reduced_formula not in seen:
            seen.add(crystal.composition.reduced_formula)
            centres, neighbours, _, distances = crystal.get_neighbor_list(6.0)
            radii = covalent_radii[list(crystal.atomic_numbers)]
            crystal.scale_lattice(crystal.volume * (min(distances / (radii[centres] + radii[neighbours])) ** -3))
            yield crystal


def measure(count: int, per_firework: int) -> None:
    """One round; prints a line."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        directory = Path(folder)
        probe.bind((EmbeddedDatabase.host, 0))
        port = probe.getsockname()[1]
        probe.close()
        settings = settings_of(directory, count, per_firework)
        server = EmbeddedDatabase(directory / "database", port)
        server.start()
        try:
            _round(directory, server, settings, per_firework)
        finally:
            server.stop()


def _round(directory: Path, server: EmbeddedDatabase, settings: CampaignSettings, per_firework: int) -> None:
    pad = LaunchPad(host=server.host, port=server.port, name="scale", strm_lvl="CRITICAL")
    pad.reset("", require_password=False, max_reset_wo_password=10**9)
    store = Store(pad.db)
    start = time.perf_counter()
    crystals = len(list(first_crystals(settings)))  # to read them is not what is measured here
    reading = time.perf_counter() - start
    start = time.perf_counter()
    begin(store, pad, settings)
    adding = time.perf_counter() - start - reading
    here, place = Path.cwd(), directory / "launches"
    place.mkdir()
    os.chdir(place)
    times = [time.perf_counter()]
    worker = FWorker(query={"spec._category": {"$in": ["relax", "control"]}})
    try:
        while launch_rocket(pad, worker, strm_lvl="CRITICAL"):
            times.append(time.perf_counter())
            if pad.workflows.find_one({"metadata.gnome_key": f"round/{settings.name}/1"}, {"_id": 1}):
                break  # all have ended
    finally:
        os.chdir(here)
    done = store.candidates.count(settings.name, 0, ENDED)
    if done != crystals:
        raise RuntimeError(f"{done} of {crystals} crystals have ended")
    whole, tenth = times[-1] - times[0], len(times) // 10
    early = 10000 * (times[tenth] - times[0]) / crystals
    late = 10000 * (times[-1] - times[-1 - tenth]) / crystals
    listing = _seconds(
        [f"{Path(sys.executable).parent}/lpad", "-l", _file(directory, server), "get_wflows", "-m", "20"]
    )
    status = _seconds(
        [sys.executable, "-m", "launchers.cli", "campaign", "status", settings.name],
        {"GNOME_MONGODB_URI": f"mongodb://{server.host}:{server.port}", "GNOME_MONGODB_NAME": "scale"},
    )
    each = 1000 / crystals
    print(
        f"{crystals:9,d}{per_firework:13d}{each * adding:10.1f}{each * whole:15.1f}{early:14.1f}{late:13.1f}"
        f"{each * (adding + whole):9.1f}{listing:12.1f}{status:10.1f}",
        flush=True,
    )


def _file(directory: Path, server: EmbeddedDatabase) -> str:
    path = directory / "lp.yaml"
    path.write_text(f"host: {server.host}\nport: {server.port}\nname: scale\n")
    return str(path)


def _seconds(command: Sequence[str], environment: dict[str, str] | None = None) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **(environment or {})})
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", type=int, nargs="*", default=[1000, 3000, 10000], help="crystals of a round")
    parser.add_argument(
        "--single", type=int, default=1000, help="crystals of the round with one in a Firework; 0: none"
    )
    arguments = parser.parse_args()
    logging.disable(logging.ERROR)
    print("crystals  per Firework   adding  launch+record   first tenth   last tenth      all   get_wflows    status")
    print("                         ms each        ms each       ms each      ms each  ms each            s         s")
    for size in arguments.sizes:
        measure(size, 50)
    if arguments.single:
        measure(arguments.single, 1)


if __name__ == "__main__":
    main()
