"""The readers over the test files of others: python benchmarks/peer_files.py DIRECTORY...

Give checkouts of pymatgen, ase, spglib, phonopy, jarvis, cod-tools or any others; every file below that is named as one
of crystals is read once, copies are passed over. Prints, for each kind of file,

- how many crystals are read and how many are refused, the reasons in groups, and whatever no reader caught;
- how the others' own reader (pymatgen for CIF, POSCAR, JSON and vasprun.xml, ASE for extended XYZ) sees the same files:
  the same formulas and volumes an atom, others, or nothing. `--differences FILE` lists each that is not the same.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import os
import re
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
warnings.simplefilter("ignore")

import ase.io  # noqa: E402
from pymatgen.core import Structure  # noqa: E402
from pymatgen.entries.computed_entries import ComputedStructureEntry  # noqa: E402
from pymatgen.io.cif import CifParser  # noqa: E402
from pymatgen.io.vasp import Poscar, Vasprun  # noqa: E402

from gnome_torch.data.ase_crystals import AseAtomsAdaptor  # noqa: E402
from gnome_torch.data.energy_files import EnergyFile  # noqa: E402
from gnome_torch.data.files import StructureFileError, read_crystals  # noqa: E402
from gnome_torch.data.outside import OutsideRecord, SourceError  # noqa: E402
from gnome_torch.data.texts import read_text  # noqa: E402

PACKED = r"(\.(gz|bz2|xz))?$"
KINDS = {
    "CIF": re.compile(r"\.m?cif" + PACKED, re.IGNORECASE),
    "vasprun.xml": re.compile(r"^vasprun(\.\w+)?\.xml(\.\w+)?" + PACKED, re.IGNORECASE),
    "POSCAR": re.compile(r"^[\w.-]*(poscar|contcar)[\w.-]*$|\.vasp" + PACKED, re.IGNORECASE),
    "extended XYZ": re.compile(r"\.(ext)?xyz" + PACKED, re.IGNORECASE),
    "JSON": re.compile(r"\.json" + PACKED, re.IGNORECASE),
}
SCRIPTS = {".py", ".rb", ".pyc", ".md", ".rst", ".html"}
PATIENCE = 60  # seconds for the others' reader

Seen = tuple[str, float]
"""Reduced formula and volume an atom, cubic angstrom."""


@dataclass
class Tally:
    """What became of the files of one kind."""

    files: int = 0
    read: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    against: Counter[str] = field(default_factory=Counter)
    uncaught: list[str] = field(default_factory=list)
    slowest: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directories", type=Path, nargs="+")
    parser.add_argument("--kind", choices=READERS, help="files of this kind alone")
    parser.add_argument("--differences", type=Path, help="CSV file: kind, file, what, ours, theirs, reasons")
    options = parser.parse_args()
    tallies: dict[str, Tally] = {}
    rows = []
    for named, path in files(options.directories):
        for kind in (kind for kind in READERS if kind.startswith(named) and options.kind in (None, kind)):
            rows += compare(tallies.setdefault(kind, Tally()), kind, path)
    if options.differences:
        with options.differences.open("w", newline="") as file:
            csv.writer(file).writerows([("kind", "file", "what", "ours", "theirs", "reasons"), *rows])
    for kind, tally in tallies.items():
        show(kind, tally)
    if any(tally.uncaught for tally in tallies.values()):
        sys.exit(1)


def files(directories: list[Path]) -> Iterator[tuple[str, Path]]:
    """Kind and path of every file, copies left out."""
    known = set()
    for path in sorted(path for directory in directories for path in directory.rglob("*")):
        kind = next((kind for kind, pattern in KINDS.items() if pattern.search(path.name)), None)
        if kind and path.is_file() and path.suffix not in SCRIPTS:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if digest not in known:
                known.add(digest)
                yield kind, path


def compare(tally: Tally, kind: str, path: Path) -> Iterator[tuple[str, str, str, str, str, str]]:
    """Read a file as we do and as others do; yields a row where these differ."""
    began = time.monotonic()
    try:
        ours, reasons = READERS[kind][0](path)
    except Exception as error:
        tally.uncaught.append(f"{path}: {type(error).__name__}: {error}")
        return
    tally.slowest = max(tally.slowest, time.monotonic() - began)
    tally.files += 1
    tally.read += len(ours)
    tally.refused.update(group(reason) for reason in reasons)
    theirs = quietly(READERS[kind][1], path)
    what = verdict(ours, theirs)
    tally.against[what] += 1
    if what != "the same":
        yield kind, str(path), what, text(ours), text(theirs), "; ".join(sorted(set(reasons)))[:300]


def crystals(path: Path) -> tuple[list[Seen], list[str]]:
    """What our reader of crystals makes of a file, and why it refuses the others."""
    ours, reasons = [], []
    try:
        for crystal in read_crystals(path):
            if crystal.structure is None:
                reasons.append(crystal.problem)
            else:
                ours.append(seen(crystal.structure))
    except StructureFileError as error:
        reasons.append(str(error).removeprefix(f"{path}: "))
    return ours, reasons


def records(path: Path) -> tuple[list[Seen], list[str]]:
    """What our reader of energies makes of a file, and why it refuses the others."""
    ours, reasons = [], []
    try:
        for item in EnergyFile(path).records():
            if isinstance(item, OutsideRecord):
                ours.append(seen(item.structure) if item.structure is not None else (item.formula, math.nan))
            else:
                reasons.append(item.reason)
    except SourceError as error:
        reasons.append(str(error).removeprefix(f"{path}: "))
    return ours, reasons


def verdict(ours: list[Seen], theirs: list[Seen]) -> str:
    """How two readings of a file compare; crystals that one of them refuses do not count against the other."""
    if not ours or not theirs:
        return {(False, False): "neither reads it", (True, False): "only we", (False, True): "only they"}[
            (bool(ours), bool(theirs))
        ]
    fewer, more = sorted((ours, list(theirs)), key=len)
    rest = list(more)
    for formula, volume in fewer:
        found = next((s for s in rest if s[0] == formula and abs(s[1] / volume - 1) < 0.01), None)
        if found is None:
            return "other crystals"
        rest.remove(found)
    return "the same" if not rest else "the same, and more by " + ("us" if more is ours else "them")


def seen(structure: Structure) -> Seen:
    elements = structure.composition.element_composition
    return elements.reduced_formula.replace("D", "H") if "D" in elements else elements.reduced_formula, (
        structure.volume / elements.num_atoms
    )


# ---- the others' own readers


def pymatgens_cifs(path: Path) -> list[Seen]:
    parser = CifParser.from_str(read_text(path))
    return [seen(crystal) for crystal in parser.parse_structures(primitive=False, on_error="ignore")]


def pymatgens_poscar(path: Path) -> list[Seen]:
    return [seen(Poscar.from_str(read_text(path)).structure)]


def pymatgens_vasprun(path: Path) -> list[Seen]:
    run = Vasprun(path, parse_dos=False, parse_eigen=False, parse_potcar_file=False, exception_on_bad_xml=True)
    return [seen(run.final_structure)]


def pymatgens_json(path: Path) -> list[Seen]:
    content = json.loads(read_text(path))
    content = content.get("entries", content) if isinstance(content, dict) else content
    items = content if isinstance(content, list) else [content]
    found = [item.get("structure", item) for item in items if isinstance(item, dict)]
    return [seen(Structure.from_dict(item)) for item in found if isinstance(item, dict) and "sites" in item]


def pymatgens_entries(path: Path) -> list[Seen]:
    content = json.loads(read_text(path))
    content = content.get("entries", content) if isinstance(content, dict) else content
    items = content if isinstance(content, list) else [content]
    return [seen(ComputedStructureEntry.from_dict(item).structure) for item in items if "structure" in item]


def ases_frames(path: Path) -> list[Seen]:
    frames = [atoms for atoms in ase.io.read(path, index=":") if atoms.cell.rank == 3 and atoms.pbc.all()]
    return [seen(AseAtomsAdaptor.get_structure(atoms)) for atoms in frames]


READERS: dict[str, tuple[Callable[[Path], tuple[list[Seen], list[str]]], Callable[[Path], list[Seen]]]] = {
    "CIF": (crystals, pymatgens_cifs),
    "POSCAR": (crystals, pymatgens_poscar),
    "vasprun.xml": (records, pymatgens_vasprun),
    "extended XYZ": (crystals, ases_frames),
    "JSON": (crystals, pymatgens_json),
    "JSON, with energies": (records, pymatgens_entries),
}


def quietly(read: Callable[[Path], list[Seen]], path: Path) -> list[Seen]:
    """What another reader sees; nothing where it fails or takes too long."""
    try:
        with limited(PATIENCE):
            return read(path)
    except Exception:
        return []


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# ---- the table


def group(reason: str) -> str:
    """A reason without what is one file's own."""
    short = re.sub(r"'[^']*'|\"[^\"]*\"", "'…'", reason.removeprefix("cannot be read: "))
    short = re.sub(r"\(.*?\)|site \S+|^line \d+: |group \S+", "…", short)
    short = re.sub(r"\b[A-Z][A-Za-z0-9]*\d[A-Za-z0-9]*\b|-?\d+(\.\d+)?(e[+-]?\d+)?", "N", short)
    return short[:90]


def text(found: list[Seen]) -> str:
    return "; ".join(f"{formula} {volume:.2f}" for formula, volume in found[:4]) + ("; …" if len(found) > 4 else "")


def show(kind: str, tally: Tally) -> None:
    refused = tally.refused.total()
    print(
        f"\n{kind}: {tally.files} files, {tally.read} crystals read, {refused} refused; slowest {tally.slowest:.1f} s"
    )
    print("  beside the others' reader: " + ", ".join(f"{n} {what}" for what, n in tally.against.most_common()))
    for reason, count in tally.refused.most_common():
        print(f"  {count:6}  {reason}")
    for error in tally.uncaught:
        print(f"  uncaught: {error}")


if __name__ == "__main__":
    main()
