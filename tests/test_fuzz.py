"""Mutated files of every kind: each gives a result or one clear line, soon, and with a bounded memory."""

from __future__ import annotations

import json
import random
import re
import resource
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import ase.io
import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.vasp import Poscar

from gnome_torch.data.energy_files import EnergyFile
from gnome_torch.data.files import StructureFileError, read_crystals
from gnome_torch.data.outside import OutsideRecord, SourceError
from gnome_torch.data.rejects import Reject
from workflows.campaign.settings import read_campaign_file
from workflows.ground.strict import SettingsError

ROOT = Path(__file__).parents[1]
CASES = ROOT / "tests" / "data" / "cases"
MUTANTS = 600
"""Of each file of the corpus."""
SECONDS = 20.0
"""One mutant may take; the slowest machine that runs the tests takes a tenth of it."""
PYTHONS_OWN = re.compile(
    r"NoneType|object has no attribute|index out of range|indices must be|not subscriptable|unpack|KeyError|Traceback"
    r"|[Mm]emory|calculator"
)
"""Words of Python about its own objects: nobody who has written a file knows what they mean."""
POISON = (
    b"",
    b"\x00",
    b"\xff\xfe",
    b"nan",
    b"-1e999",
    b"1e400",
    b"'",
    b'"',
    b"\n",
    b"[[[[",
    b"{",
    b"_",
    b"loop_",
    b"*",
    b"?",
)


def corpus(directory: Path) -> dict[str, bytes]:
    """Sound files of every kind, and the small ones that were read wrongly once."""
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.21), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    entry = ComputedStructureEntry(salt, -40.0, parameters={"run_type": "GGA", "hubbards": {}}, entry_id="mp-1")
    atoms = AseAtomsAdaptor.get_atoms(salt)
    ase.io.write(directory / "salt.extxyz", [atoms, atoms], format="extxyz")
    files = {
        "POSCAR": Poscar(salt).get_str().encode(),
        "salt.extxyz": (directory / "salt.extxyz").read_bytes(),
        "entries.json": json.dumps([entry.as_dict()], default=float).encode(),
        "structure.json": json.dumps(salt.as_dict(), default=float).encode(),
        "energies.csv": b"formula,target\nMgO,-3.0\nCaSO4.2H2O,-1.2\nK2MgF4,-2.9\n",
        "campaign.yaml": (ROOT / "workflows" / "examples" / "quickstart.yaml").read_bytes(),
    }
    cifs = {path.name: path.read_bytes() for path in sorted((CASES / "cif").glob("*.cif"))}
    return files | {name: text for name, text in cifs.items() if len(text) < 8000}


def mutant(text: bytes, chance: random.Random) -> bytes:
    """The text with one to three small faults: cut, doubled, swapped, poisoned, or with another number."""
    for _ in range(chance.randint(1, 3)):
        start = chance.randrange(len(text) + 1)
        end = min(len(text), start + chance.choice((1, 3, 10, 80)))
        match chance.randrange(6):
            case 0:
                text = text[:start] + text[end:]
            case 1:
                text = text[:end] + text[start:end] * chance.choice((1, 50)) + text[end:]
            case 2:
                text = text[:start] + chance.choice(POISON) + text[end:]
            case 3:
                text = text[:start] + text[start:end][::-1] + text[end:]
            case 4:
                text = text[:start]
            case _:
                numbers = list(re.finditer(rb"-?\d+\.?\d*", text))
                if numbers:
                    chosen = chance.choice(numbers)
                    other = chance.choice((b"0", b"-1", b"1e30", b"99999999999", b"0.3333", b"1/3", b"7"))
                    text = text[: chosen.start()] + other + text[chosen.end() :]
        text = text or b" "
    return text


def crystals(path: Path) -> Iterator[str]:
    """What is wrong with each crystal of a file; those that are read are sound."""
    try:
        for crystal in read_crystals(path):
            if crystal.structure is None:
                yield crystal.problem
                continue
            assert np.isfinite(crystal.structure.lattice.matrix).all()
            assert np.isfinite(crystal.structure.frac_coords).all()
            distances = crystal.structure.distance_matrix
            assert len(crystal.structure) == 1 or distances[~np.eye(len(distances), dtype=bool)].min() > 0.4
    except StructureFileError as error:
        yield str(error)


def records(path: Path) -> Iterator[str]:
    """What is wrong with each record of a file; the energies of the others are numbers."""
    try:
        for item in EnergyFile(path).records():
            if isinstance(item, Reject):
                yield item.reason
            else:
                assert isinstance(item, OutsideRecord)
                assert np.isfinite(item.energy_per_atom)
    except SourceError as error:
        yield str(error)


def settings(path: Path) -> Iterator[str]:
    """What is wrong with a campaign's file."""
    try:
        read_campaign_file(path)
    except SettingsError as error:
        yield str(error)


def readers(name: str) -> list[Callable[[Path], Iterator[str]]]:
    """What reads files of a kind."""
    match Path(name).suffix:
        case ".yaml":
            return [settings]
        case ".csv":
            return [records]
        case ".json" | ".extxyz":
            return [crystals, records]
        case _:
            return [crystals]


@pytest.fixture
def bounded_memory() -> Iterator[None]:
    """What asks for more than 3 GiB beyond what the process has gets a MemoryError."""
    has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (has + (3 << 30), hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.usefixtures("bounded_memory")
@pytest.mark.parametrize("seed", range(3))
def test_a_mutated_file_gives_a_result_or_one_clear_line(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    counts: Counter[str] = Counter()
    for name, sound in corpus(tmp_path).items():
        for number in range(MUTANTS // 3):
            path = tmp_path / name
            path.write_bytes(mutant(sound, chance))
            for reader in readers(name):
                began = time.monotonic()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    problems = list(reader(path))
                assert time.monotonic() - began < SECONDS, (name, number, path.read_bytes())
                for problem in problems:
                    assert problem.strip(), (name, number, path.read_bytes())
                    assert len(problem.splitlines()) == 1 or reader is settings, (problem, path.read_bytes())
                    assert len(problem) < 2000, problem
                    assert not PYTHONS_OWN.search(problem), (problem, path.read_bytes())
                counts["refused" if problems else "read"] += 1
    print(f"{counts.total()} mutants: {counts['read']} read, {counts['refused']} refused")
    assert counts["read"] > 20
    assert counts["refused"] > 20
