"""Finished calculations of VASP: `vasprun.xml`, directories of them, and the documents that atomate2 makes of them.

Each says by itself what it was computed with: functional, U values, potentials.
"""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gnome_torch.data.kinds import EnergyKind
from gnome_torch.data.outside import OutsideRecord, SourceError, crystal_record
from gnome_torch.data.pymatgen_json import structure_of

_NAME = re.compile(r"vasprun(\.\w+)?\.xml(\.\w+)?(\.(gz|bz2|xz))?", re.IGNORECASE)
_MOVING = {0: "molecular dynamics", 5: "a calculation of vibrations", 6: "a calculation of vibrations"}
"""Values of IBRION whose last crystal is not at rest."""


def is_vasprun(path: Path) -> bool:
    """Whether a file has the name of VASP's results, such as vasprun.xml, vasprun.xml.gz or vasprun.xml.relax2.gz."""
    return _NAME.fullmatch(path.name) is not None


def vaspruns(path: Path) -> list[Path]:
    """The results at a path, in the order of their names: a file, or the last calculation of each directory below it.

    Raises:
        SourceError: there is none.
    """
    if not path.is_dir():
        return [path]
    found = []
    for directory, folders, names in os.walk(path):
        folders.sort()
        results = sorted(name for name in names if is_vasprun(Path(name)))
        # relax1 and relax2 stand before a run that has no such name, which comes after them
        plain = [name for name in results if "relax" not in name]
        if results:
            found.append(Path(directory) / (plain or results)[-1])
    if not found:
        raise SourceError(f"{path}: no vasprun.xml in this directory or below")
    return sorted(found)


def vasprun_record(path: Path, key: str) -> OutsideRecord:
    """The last crystal of a calculation, with its energy and what it was computed with.

    Raises:
        ValueError: it has not converged, or its last crystal is not at rest.
        Exception: whatever a broken file makes pymatgen raise.
    """
    from pymatgen.io.vasp import Vasprun

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is checked below
        run = Vasprun(path, parse_dos=False, parse_eigen=False, parse_potcar_file=False)
        if not run.ionic_steps:
            raise ValueError("no ionic step in it: a calculation of a response or of spectra has no energy")
        if not run.converged:
            raise ValueError("not converged")
        if not math.isfinite(run.final_energy):
            raise ValueError("no total energy in it: a calculation of a response or of quasi-particles has none")
        if (moving := _MOVING.get(int(run.parameters.get("IBRION", -1)))) is not None:
            raise ValueError(f"{moving}: its last crystal is not at rest")
        parameters = {
            "run_type": _run_type(run.run_type, run.potcar_symbols),
            "hubbards": dict(run.hubbards),
            "potentials": list(run.potcar_symbols),
        }
        crystal = run.final_structure
        energy = float(run.final_energy) / len(crystal)
    return crystal_record(key, crystal, energy, EnergyKind.TOTAL, parameters=parameters)


def is_task(item: Any) -> bool:
    """Whether JSON is a document of atomate2 or of jobflow around one."""
    output = _task(item).get("output") if isinstance(item, Mapping) else None
    return isinstance(output, Mapping) and "energy" in output


def task_record(item: Mapping[str, Any], key: str) -> OutsideRecord:
    """The result of a document of atomate2 (emmet's `TaskDoc`), with or without jobflow's around it.

    Raises:
        ValueError: the calculation has not ended well.
        Exception: whatever a broken document makes pymatgen raise.
    """
    task = _task(item)
    output, inputs = task["output"], task.get("input") or {}
    last = (task.get("calcs_reversed") or [{}])[0]
    state = _word(task.get("state"))
    if state and state.lower() != "successful":
        raise ValueError(f"not converged: its state is {state}")
    entry = (task.get("entry") or {}).get("parameters") or {}
    titles = [str(potential.get("titel") or "") for potential in inputs.get("potcar_spec") or []]
    run_type = _word(last.get("run_type") or task.get("run_type") or entry.get("run_type"))
    crystal = structure_of(output.get("structure") or task["structure"])
    parameters = {
        "run_type": _run_type(run_type, titles),
        "hubbards": dict(inputs.get("hubbards") or entry.get("hubbards") or {}),
        "potentials": titles,
    }
    name = str(task.get("task_id") or item.get("uuid") or key)
    energy = float(output["energy"]) / len(crystal)
    return crystal_record(name, crystal, energy, EnergyKind.TOTAL, parameters=parameters if run_type else None)


def _task(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """atomate2's document inside jobflow's."""
    inner = item.get("output")
    return inner if isinstance(inner, Mapping) and isinstance(inner.get("output"), Mapping) else item


def _word(value: Any) -> str:
    """A word that may be written as a member of an enumeration."""
    text = str(value.get("value") if isinstance(value, Mapping) else value or "")
    return text.rpartition(".")[2] if text.startswith(("RunType.", "TaskState.", "VaspObject.")) else text


def _run_type(run_type: str, titles: list[str]) -> str:
    """The run type; where pymatgen says "GGA" since INCAR says nothing, the potentials tell PBE from PW91 and LDA."""
    families = {title.split()[0] for title in titles if title.strip()}
    if run_type.startswith("GGA") and families and "PAW_PBE" not in families:
        return run_type.replace("GGA", "PW91" if "PAW_GGA" in families else "LDA", 1)
    return run_type
