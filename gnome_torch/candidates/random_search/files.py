"""Crystals of a search to files and back.

FORMULA.extxyz    the crystals, or FORMULA-ATTEMPT.cif, a file each
FORMULA.json      options, generator, attempts, what was rejected, a line a crystal; written last
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ase.io
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from gnome_torch.candidates.random_search.options import SearchError, SearchOptions
from gnome_torch.candidates.random_search.search import RandomCrystal, SearchResult
from gnome_torch.candidates.tables.shards import write_json
from gnome_torch.files import write_whole

FORMATS = ("extxyz", "cif")


def plan_of(formula: str, options: SearchOptions, generator: str, form: str = "extxyz") -> dict[str, Any]:
    """What fixes the content of a search's files, as JSON has it."""
    plan = {"formula": formula, "options": asdict(options), "generator": generator, "format": form}
    return dict(json.loads(json.dumps(plan)))


def is_written(directory: Path, plan: Mapping[str, Any], stem: str = "") -> bool:
    """Whether a search of the same plan has been written whole, and its files are there."""
    summary = _summary(directory, stem or plan["formula"])
    return summary.get("plan") == plan and all((directory / name).exists() for name in summary.get("files", ["?"]))


def is_complete(directory: Path, formula: str) -> bool:
    """Whether a search of a composition has been written whole, of whatever plan."""
    return all((directory / name).exists() for name in _summary(directory, formula).get("files", ["?"]))


def _summary(directory: Path, stem: str) -> dict[str, Any]:
    """The record of a search; empty where there is none."""
    try:
        summary = json.loads((directory / f"{stem}.json").read_text())
    except (OSError, ValueError):
        return {}
    return summary if isinstance(summary, dict) and "plan" in summary else {}


def write_search(result: SearchResult, directory: Path, plan: Mapping[str, Any], stem: str = "") -> list[Path]:
    """Write the crystals of a search, in place of those of an earlier one; the files with crystals.

    Args:
        result: the search.
        directory: made if it is not there.
        plan: `plan_of` the search; its format is used.
        stem: beginning of the files' names; by default the formula.

    Raises:
        SearchError: the directory cannot be made or written to.
    """
    stem = stem or result.formula
    try:
        return _write(result, directory, plan, stem)
    except OSError as error:
        raise SearchError(f"{directory}: cannot be written to: {error.strerror}") from error


def _write(result: SearchResult, directory: Path, plan: Mapping[str, Any], stem: str) -> list[Path]:
    directory.mkdir(parents=True, exist_ok=True)
    old = _summary(directory, stem).get("files", [])
    (directory / f"{stem}.json").unlink(missing_ok=True)
    cif = plan["format"] == "cif"
    paths = [directory / f"{result.formula}-{crystal.attempt:05d}.cif" for crystal in result.crystals]
    paths = paths if cif else [directory / f"{stem}.extxyz"]
    for name in set(old) - {path.name for path in paths}:
        (directory / name).unlink(missing_ok=True)
    if cif:
        for crystal, path in zip(result.crystals, paths, strict=True):
            write_whole(path, crystal.structure.to(fmt="cif", symprec=None))
    else:
        write_whole(paths[0], as_extxyz(result))
    summary = {
        "plan": plan,
        "files": [path.name for path in paths],
        "attempts": result.attempts,
        "rejected": dict(result.rejected),
        "crystals": [{**_described(crystal), "made_from": crystal.made_from} for crystal in result.crystals],
    }
    write_json(summary, directory / f"{stem}.json")
    return paths


def as_extxyz(result: SearchResult) -> str:
    """The crystals as extended XYZ, with where each comes from."""
    frames = []
    for crystal in result.crystals:
        atoms = AseAtomsAdaptor.get_atoms(crystal.structure, msonable=False)
        atoms.info = _described(crystal)
        frames.append(atoms)
    text = io.StringIO()
    ase.io.write(text, frames, format="extxyz")
    return text.getvalue()


def read_crystals(path: Path) -> list[RandomCrystal]:
    """The crystals of a FORMULA.extxyz."""
    crystals = []
    for atoms in ase.io.iread(path, index=":", format="extxyz"):
        info = atoms.info
        structure = AseAtomsAdaptor.get_structure(atoms)
        crystals.append(
            RandomCrystal(
                Structure(structure.lattice, structure.species, structure.frac_coords),
                int(info["attempt"]),
                int(info["units"]),
                float(info["volume"]),
                int(info["spacegroup"]),
                str(info["generator"]),
            )
        )
    return crystals


def _described(crystal: RandomCrystal) -> dict[str, object]:
    return {
        "attempt": crystal.attempt,
        "units": crystal.units,
        "volume": round(crystal.volume, 6),
        "spacegroup": crystal.spacegroup,
        "generator": crystal.generator,
    }
