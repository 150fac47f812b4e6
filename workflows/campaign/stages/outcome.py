"""What becomes of a relaxation that has ended: an entry, a restart, or a failure with its reason."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pymatgen.core import Structure

from gnome_torch.records import Entry, Lineage, Relaxation
from gnome_torch.stability.changes import changed
from gnome_torch.stability.corrections import UncorrectableError, correction
from gnome_torch.stability.plausibility import implausible
from workflows.relax import Theory
from workflows.store import Store, entry_id


@dataclass(frozen=True)
class Ended:
    """A relaxation that has ended.

    Attributes:
        relaxation: its result; None for a failure.
        reason: of the failure, with the remedy where there is one.
        directory: where it ran.
        job: jobflow uuid of the job with the result; None for one that ran in a Firework with others.
        last: crystal that a broken relaxation can go on from.
        pre_relaxed: whether it began from another crystal than the candidate's.
    """

    relaxation: Relaxation | None
    reason: str = ""
    directory: str | None = None
    job: str | None = None
    last: Structure | None = None
    pre_relaxed: bool = False


def settle(store: Store, level: Theory, candidate: Mapping[str, Any], ended: Ended, restart: int = 0) -> None:
    """Write down what has become of a candidate; safe to repeat.

    Args:
        store: the database.
        level: theory that it was relaxed at.
        candidate: its document.
        ended: the end of its relaxation.
        restart: how often it had been restarted before.
    """
    relaxation, reason, last = ended.relaxation, ended.reason, ended.last
    shift = 0.0
    if relaxation is not None:
        reason = implausible(relaxation) or ""
        last = relaxation.structure if reason and not relaxation.converged else None
        if not reason:
            try:
                shift = correction(relaxation.structure, relaxation.energy, level.scheme, relaxation.parameters)
            except UncorrectableError as error:
                reason = str(error)
    if relaxation is not None and not reason:
        _add(store, level, candidate, relaxation, shift, ended, restart)
    else:
        _fail(store, level, str(candidate["_id"]), reason, ended.directory, last, restart)


def _fail(
    store: Store, level: Theory, key: str, reason: str, directory: str | None, last: Structure | None, restart: int
) -> None:
    """Restart from the last crystal, or give up."""
    fields: dict[str, Any] = {"reason": reason, "directory": directory}
    if last is not None and restart < level.max_restarts:
        store.candidates.restart(key, restart, last, **fields)
    else:
        store.candidates.end(key, "failed", last_structure=last.as_dict() if last is not None else None, **fields)


def _add(
    store: Store,
    level: Theory,
    candidate: Mapping[str, Any],
    relaxation: Relaxation,
    shift: float,
    ended: Ended,
    restart: int,
) -> None:
    start = Structure.from_dict(candidate["structure"])
    entry = Entry(
        id=entry_id(start, level.id),
        structure=relaxation.structure,
        energy=relaxation.energy,
        correction=shift,
        theory=level.id,
        lineage=Lineage(**candidate["lineage"]),
    )
    calculation = {
        "job": ended.job,
        "directory": ended.directory,
        "steps": relaxation.steps,
        "restarts": restart,
        **(relaxation.parameters or {}),
        **relaxation.details,
    }
    # the first energy is the candidate's own only if the relaxation began from it
    own = None if restart or ended.pre_relaxed else relaxation.initial_energy
    store.entries.add(
        entry,
        candidate["campaign"],
        recheck_of=candidate.get("recheck_of"),
        prediction=candidate["prediction"],
        calculation=calculation,
        initial={"structure": candidate["structure"], "energy": own},
        change=asdict(changed(start, relaxation.structure)),
    )
    store.candidates.end(candidate["_id"], "relaxed", entry=entry.id, directory=ended.directory)


def keep_steps(level: Theory, directories: Sequence[Path], path: Path) -> int:
    """Write energy, forces and stress of every ionic step into one file of extended XYZ, and return how many.

    Units are ASE's: eV, eV/angstrom, eV/cubic angstrom. Each frame names its theory. A file that is there is replaced
    when the new one is complete.

    Args:
        level: theory, which reads its own files.
        directories: of the calculations, in their order.
        path: of the file.
    """
    from ase.io import write

    frames = [frame for directory in directories for frame in level.steps(directory)]
    for frame in frames:
        frame.info["theory"] = level.id
    if frames:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        write(partial, frames, format="extxyz")
        os.replace(partial, path)
    return len(frames)
