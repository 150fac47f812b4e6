"""What became of a search's crystals in a cheap relaxation, on disk, and which of them become candidates.

The file has a line for each crystal, so that a killed process goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymatgen.core import Structure

from gnome_torch.candidates.random_search.search import RandomCrystal
from gnome_torch.records import Candidate, Lineage, Relaxation, structure_key
from gnome_torch.similarity import Distinct


@dataclass(frozen=True)
class PreRelaxed:
    """A random crystal after a cheap relaxation.

    Attributes:
        attempt: number of the crystal in its search.
        relaxation: what came of it; None for a failure.
        reason: of the failure.
    """

    attempt: int
    relaxation: Relaxation | None
    reason: str = ""


def write_pre_relaxed(result: PreRelaxed, path: Path) -> None:
    """Add one line."""
    line: dict[str, Any] = {"attempt": result.attempt, "reason": result.reason}
    if (relaxation := result.relaxation) is not None:
        line |= {
            "structure": relaxation.structure.as_dict(),
            "energy": relaxation.energy,
            "converged": relaxation.converged,
            "steps": relaxation.steps,
        }
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def read_pre_relaxed(path: Path) -> list[PreRelaxed]:
    """The results on disk, the last of each attempt; a torn line, left by a killed process, is cut off the file."""
    if not path.exists():
        return []
    results: dict[int, PreRelaxed] = {}
    whole = 0
    with path.open("rb") as file:
        for raw in file:
            try:
                line = json.loads(raw)
            except ValueError:
                break
            if not raw.endswith(b"\n"):
                break
            whole += len(raw)
            results[line["attempt"]] = PreRelaxed(line["attempt"], _relaxation(line), line["reason"])
    if whole < path.stat().st_size:
        with path.open("r+b") as file:
            file.truncate(whole)
    return list(results.values())


def _relaxation(line: dict[str, Any]) -> Relaxation | None:
    if "structure" not in line:
        return None
    return Relaxation(Structure.from_dict(line["structure"]), line["energy"], line["converged"], line["steps"])


def chosen_crystals(
    crystals: Sequence[RandomCrystal], pre_relaxed: Sequence[PreRelaxed] | None, limit: int
) -> list[tuple[RandomCrystal, Structure]]:
    """The crystals to relax at the campaign's theory, each with the structure its relaxation starts from.

    Args:
        crystals: of the search.
        pre_relaxed: what became of them; None where nothing is pre-relaxed, and all go on.
        limit: how many different ones go on after a pre-relaxation, the lowest in energy per atom.
    """
    if pre_relaxed is None:
        return [(crystal, crystal.structure) for crystal in crystals]
    by_attempt = {crystal.attempt: crystal for crystal in crystals}
    relaxed = [(result.attempt, result.relaxation) for result in pre_relaxed if result.relaxation is not None]
    ranked = sorted(relaxed, key=lambda row: (row[1].energy / len(row[1].structure), row[0]))
    distinct = Distinct()
    chosen: list[tuple[RandomCrystal, Structure]] = []
    for attempt, relaxation in ranked:
        if len(chosen) == limit:
            break
        if distinct.add(relaxation.structure):
            chosen.append((by_attempt[attempt], relaxation.structure))
    return chosen


def candidate_of(crystal: RandomCrystal, structure: Structure, seed: int, pre_relaxed_by: str | None) -> Candidate:
    """A crystal of a search as a candidate; its lineage says how to make the crystal again.

    Args:
        crystal: of the search.
        structure: what its relaxation starts from.
        seed: of the search.
        pre_relaxed_by: key of the cheap theory; None where the crystal was not pre-relaxed.
    """
    made = f"{crystal.generator}, seed {seed}, attempt {crystal.attempt}"
    if pre_relaxed_by:
        made += f", pre-relaxed by {pre_relaxed_by}"
    return Candidate(
        id=structure_key(structure),
        parent_id="",
        species=tuple(site.specie.symbol for site in structure),
        volume=float(structure.volume),
        lineage=Lineage(source="random", substitution=made),
    )
