"""Mutated and torn files of every kind: each gives a result or one clear line, soon, and with a bounded memory."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import random
import re
import resource
import shutil
import subprocess
import sys
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from pymatgen.core import Lattice, Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.cif import CifWriter
from pymatgen.io.vasp import Poscar

from gnome_torch.candidates.chemistry.policy import ElementPolicy
from gnome_torch.candidates.parents import parent_of
from gnome_torch.candidates.prototypes import prototypes
from gnome_torch.candidates.structural.generation import generate
from gnome_torch.candidates.structural.pool import draw
from gnome_torch.candidates.structural.proposals import StructuralOptions
from gnome_torch.candidates.structural.selection import Request, Selection
from gnome_torch.candidates.structural.substitution import SubstitutionRules
from gnome_torch.candidates.tables.shards import ShardError, decorations, read_parents, read_shards, read_tables
from gnome_torch.data.energy_files import EnergyFile
from gnome_torch.data.files import StructureFileError, read_crystals
from gnome_torch.data.gnome_release import GnomeRelease
from gnome_torch.data.outside import OutsideRecord, SourceError
from gnome_torch.data.rejects import Reject
from workflows.campaign.settings import read_campaign_file
from workflows.ground.strict import SettingsError

ROOT = Path(__file__).parents[1]
CASES = ROOT / "tests" / "data" / "cases"
MUTANTS = 420
"""Of each file of the corpus."""
TORN = 36
"""Of each file, plain and packed, as a power loss, a full disk or a broken line leaves it."""
TORN_POOLS = 90
"""Of each file of a directory of candidates."""
SITES = [[0, 0, 0], [0.5, 0.5, 0.5]]
POOL = StructuralOptions(ElementPolicy(frozenset(["Cu", "Ag", "Au", "Pd"]), max_sites=8), SubstitutionRules(1e-3))
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


def release(path: Path) -> Iterator[str]:
    """What is wrong with each record of GNoME's release, whose crystals are a zip."""
    summary = path.with_name("summary.csv")
    summary.write_text("MaterialId,Composition,Corrected Energy\na,Mg4O4,-53.5\nb,Mg4O4,-53.6\n")
    try:
        for batch in GnomeRelease(summary, path).batches():
            yield from (item.reason for item in batch.items if isinstance(item, Reject))
    except SourceError as error:
        yield str(error)


def candidates(pool: Path) -> Iterator[str]:
    """What is wrong with a directory of candidates, for each of those who read it."""
    for read in (read_and_decorate, draw_all):
        try:
            read(pool)
        except ShardError as error:
            yield str(error)


def read_and_decorate(pool: Path) -> None:
    parents = read_parents(pool)
    for table in read_tables(pool):
        decorations(table, parents)


def draw_all(pool: Path) -> None:
    summary = draw(pool, Request(POOL), pool.parent / "round")
    for candidate in read_shards(pool.parent / "round"):
        assert candidate.volume > 0
        assert np.isfinite([candidate.volume, candidate.probability, candidate.contact]).all()
    assert summary["proposed"] >= summary["written"]


def readers(name: str) -> list[Callable[[Path], Iterator[str]]]:
    """What reads files of a kind."""
    match Path(re.sub(r"\.(gz|bz2|xz)$", "", name)).suffix:
        case ".yaml":
            return [settings]
        case ".csv" | ".xml":
            return [records]
        case ".json" | ".extxyz" | ".traj" | ".db":
            return [crystals, records]
        case ".zip":
            return [release]
        case _:
            return [crystals]


def look(path: Path, readers: Sequence[Callable[[Path], Iterator[str]]], counts: Counter[str]) -> None:
    """Read a path, and look at what is said of it."""
    for reader in readers:
        began = time.monotonic()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            problems = list(reader(path))
        content = path.read_bytes()[:2000] if path.is_file() else path
        assert time.monotonic() - began < SECONDS, (path.name, content)
        for problem in problems:
            assert problem.strip(), (path.name, content)
            assert len(problem.splitlines()) == 1 or reader is settings, (problem, content)
            assert len(problem) < 2000, problem
            assert not PYTHONS_OWN.search(problem), (problem, content)
        counts["refused" if problems else "read"] += 1


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
        for _ in range(MUTANTS // 3):
            path = tmp_path / name
            path.write_bytes(mutant(sound, chance))
            look(path, readers(name), counts)
    print(f"{counts.total()} mutants: {counts['read']} read, {counts['refused']} refused")
    assert counts["read"] > 20
    assert counts["refused"] > 20


def torn(content: bytes, chance: random.Random) -> bytes:
    """What is left of a file: a part, nothing, zeros in the place of what had not reached the disk, old content."""
    size, at = len(content), chance.randrange(len(content) + 1)
    block = min(512 * chance.randint(1, 8), size)
    match chance.randrange(6):
        case 0:
            return content[:at]
        case 1:
            return content[:at] + bytes(size - at)
        case 2:
            return content + bytes(block)
        case 3:
            return chance.choice((b"", bytes(size), content[: max(size - chance.randint(1, 16), 0)]))
        case 4:  # a block that was not written, and those behind it
            return content[:at] + bytes(min(block, size - at)) + content[at + block :]
        case _:  # written over a longer file
            return content + content[at:]


def whole_files(directory: Path) -> dict[str, bytes]:
    """Sound files of every kind, and packed ones of those that may be."""
    files = corpus(directory)
    files = {name: text for name, text in files.items() if not name.endswith(".cif") or name == "al_al2o3.cif"}
    salt = AseAtomsAdaptor.get_atoms(Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.21), ["Mg", "O"], SITES))
    salt.calc = SinglePointCalculator(salt, energy=-40.0)
    for name in ("salt.traj", "salt.db", "salt.extxyz"):
        ase.io.write(directory / name, [salt, salt])
        files[name] = (directory / name).read_bytes()
    with zipfile.ZipFile(directory / "by_id.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a", "b"):
            archive.writestr(f"{name}.cif", str(CifWriter(AseAtomsAdaptor.get_structure(salt))))
    files["by_id.zip"] = (directory / "by_id.zip").read_bytes()
    (directory / "vasp").mkdir()
    Poscar(AseAtomsAdaptor.get_structure(salt)).write_file(directory / "vasp" / "POSCAR")
    (directory / "vasp" / "INCAR").write_text("NSW = 0\nGGA = PE\n")
    (directory / "vasp" / "POTCAR.spec").write_text("Mg\nO\n")
    stand_in = Path(__file__).parent / "support" / "vasp_stand_in.py"
    subprocess.run([sys.executable, stand_in], cwd=directory / "vasp", check=True, capture_output=True)
    files["vasprun.xml"] = (directory / "vasp" / "vasprun.xml").read_bytes()
    packed = {}
    for name in ("al_al2o3.cif", "POSCAR", "salt.extxyz", "entries.json", "energies.csv", "vasprun.xml"):
        for end, pack in ((".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)):
            packed[name + end] = pack(files[name])
    return files | packed


@pytest.mark.usefixtures("bounded_memory")
def test_a_torn_file_gives_a_result_or_one_clear_line(tmp_path: Path) -> None:
    chance = random.Random(0)
    (tmp_path / "made").mkdir()
    files = whole_files(tmp_path / "made")
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        sound: Counter[str] = Counter()
        look(tmp_path / name, readers(name), sound)
        if name != "structure.json":  # of which there is no energy
            assert not sound["refused"], name
    counts: Counter[str] = Counter()
    for name, content in files.items():
        for _ in range(TORN):
            (tmp_path / name).write_bytes(torn(content, chance))
            look(tmp_path / name, readers(name), counts)
    print(f"{counts.total()} readings of torn files: {counts['read']} read, {counts['refused']} refused")
    assert counts["read"] > 20
    assert counts["refused"] > 200


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small directory of candidates."""
    directory = tmp_path_factory.mktemp("pool") / "candidates"
    parents = [parent_of(key, crystal) for key, crystal in prototypes().items() if len(crystal) in (2, 3, 4)]
    assert generate(parents, Request(POOL, Selection(30)), directory)["written"] > 10
    return directory


@pytest.mark.usefixtures("bounded_memory")
def test_a_torn_or_mutated_pool_gives_candidates_or_one_clear_line(pool: Path, tmp_path: Path) -> None:
    chance = random.Random(0)
    names = sorted(path.name for path in pool.iterdir())
    assert {"summary.json", "parents.parquet", "candidates-00000.parquet"} <= set(names)
    counts: Counter[str] = Counter()
    look(pool, [candidates], counts)
    assert not counts["refused"]
    for name in ("summary.json", "parents.parquet", "candidates-00000.parquet"):
        content = (pool / name).read_bytes()
        directory = tmp_path / name
        shutil.copytree(pool, directory)
        for number in range(TORN_POOLS):
            (directory / name).write_bytes(mutant(content, chance) if number % 2 else torn(content, chance))
            look(directory, [candidates], counts)
    print(f"{counts.total()} torn pools: {counts['read']} read, {counts['refused']} refused")
    assert counts["refused"] > 100
