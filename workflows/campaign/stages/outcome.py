"""What becomes of a relaxation that has ended: an entry, a restart, or a failure with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pymatgen.core import Structure

from gnome_torch.files import whole_path
from gnome_torch.records import Entry, Lineage, Relaxation
from gnome_torch.stability.changes import changed
from gnome_torch.stability.corrections import UncorrectableError, correction, stamp
from gnome_torch.stability.plausibility import implausible
from workflows.campaign.campaign import Campaign
from workflows.campaign.places import steps_file
from workflows.campaign.stages.relaxations import launch_restart
from workflows.ground.failures import calculations, failure_of_parent
from workflows.relax import Theory
from workflows.store import CandidateState, entry_id
from workflows.store.base import Document


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
        restart: how often it had been restarted before.
    """

    relaxation: Relaxation | None
    reason: str = ""
    directory: str | None = None
    job: str | None = None
    last: Structure | None = None
    pre_relaxed: bool = False
    restart: int = 0


@dataclass(frozen=True)
class Recorder:
    """The Firework that records a relaxation, as far as the stage must know it.

    Attributes:
        fw_id: its number, by which what came before it is found.
        number: of the round.
        job: jobflow uuid of the job with the result.
        restart: how often the relaxation has been restarted before.
    """

    fw_id: int
    number: int
    job: str
    restart: int


def record_relaxation(campaign: Campaign, key: str, recorder: Recorder) -> CandidateState:
    """Turn a finished relaxation into an entry and a failed one into a reason.

    One that broke off, or did not converge, goes on from its last crystal as often as its theory allows.

    Args:
        campaign: whose.
        key: of the candidate.
        recorder: who asks.

    Raises:
        RelaxationInterruptedError: it was stopped, and is to be run again.
    """
    candidates = campaign.store.candidates
    candidate = candidates.get(key)
    # an older attempt that is run again has nothing to say any more
    if candidate["state"] != CandidateState.RELAXED and candidate.get("restarts", 0) <= recorder.restart:
        record(campaign, candidate, _ended(campaign, candidate, recorder))
        _keep_files(campaign, candidate, recorder)
    if candidates.get(key).get("restarts", 0) > recorder.restart:
        launch_restart(campaign, recorder.number, key)
    return CandidateState(candidates.get(key)["state"])


def record(campaign: Campaign, candidate: Document, ended: Ended) -> None:
    """Write down what has become of a candidate; safe to repeat.

    Args:
        campaign: whose.
        candidate: its document.
        ended: the end of its relaxation.
    """
    theory, relaxation = campaign.theory_of(candidate), ended.relaxation
    if relaxation is None:
        _fail(campaign, theory, candidate, ended, ended.reason, ended.last)
        return
    if reason := implausible(relaxation):
        last = None if relaxation.converged else relaxation.structure
        _fail(campaign, theory, candidate, ended, reason, last)
        return
    try:
        shift = correction(relaxation.structure, relaxation.energy, theory.scheme, relaxation.parameters)
    except UncorrectableError as error:
        _fail(campaign, theory, candidate, ended, str(error), None)
        return
    _add(campaign, theory, candidate, ended, relaxation, shift)


def _fail(
    campaign: Campaign,
    theory: Theory,
    candidate: Document,
    ended: Ended,
    reason: str,
    last: Structure | None,
) -> None:
    """Restart from the last crystal, or give up."""
    key, candidates = str(candidate["_id"]), campaign.store.candidates
    why = {"reason": reason, "directory": ended.directory}
    if last is not None and ended.restart < theory.max_restarts:
        candidates.restart(key, ended.restart, last, **why)
    else:
        structure = last.as_dict() if last is not None else None
        candidates.end(key, CandidateState.FAILED, last_structure=structure, **why)


def _add(
    campaign: Campaign,
    theory: Theory,
    candidate: Document,
    ended: Ended,
    relaxation: Relaxation,
    shift: float,
) -> None:
    """Write the entry, with a correction of `shift`, eV per cell."""
    start = Structure.from_dict(candidate["structure"])
    entry = Entry(
        id=entry_id(start, theory.id),
        structure=relaxation.structure,
        energy=relaxation.energy,
        correction=shift,
        theory=theory.id,
        lineage=Lineage(**candidate["lineage"]),
    )
    calculation = {
        "job": ended.job,
        "directory": ended.directory,
        "steps": relaxation.steps,
        "restarts": ended.restart,
        **(relaxation.parameters or {}),
        **relaxation.details,
    }
    # the first energy is the candidate's own only if the relaxation began from it
    own = None if ended.restart or ended.pre_relaxed else relaxation.initial_energy
    campaign.store.entries.add(
        entry,
        candidate["campaign"],
        recheck_of=candidate.get("recheck_of"),
        correction_scheme=stamp(theory.scheme),
        prediction=candidate["prediction"],
        calculation=calculation,
        initial={"structure": candidate["structure"], "energy": own},
        change=asdict(changed(start, relaxation.structure)),
    )
    campaign.store.candidates.end(candidate["_id"], CandidateState.RELAXED, entry=entry.id, directory=ended.directory)


def _ended(campaign: Campaign, candidate: Document, recorder: Recorder) -> Ended:
    """What became of a relaxation in Fireworks of its own."""
    theory, job, restart = campaign.theory_of(candidate), recorder.job, recorder.restart
    output = campaign.store.jobs.output(job)
    if output is not None:
        directory = output.get("dir_name")
        directory = directory.rpartition(":")[2] if directory else None  # emmet writes host:path
        rough = not candidate.get("recheck_of") and campaign.settings.prerelax is not None
        return Ended(theory.read(output), directory=directory, job=job, pre_relaxed=rough, restart=restart)
    failure, where = failure_of_parent(campaign.launchpad, recorder.fw_id)
    if where is None:
        return Ended(None, reason=failure, job=job, restart=restart)
    reason = "; ".join(filter(None, [failure, theory.why(Path(where)), theory.remedy(failure)]))[:1000]
    return Ended(None, reason, where, job, theory.last_structure(Path(where)), restart=restart)


def _keep_files(campaign: Campaign, candidate: Document, recorder: Recorder) -> None:
    """Keep what is asked for of the calculations' files."""
    key, theory = candidate["_id"], campaign.theory_of(candidate)
    if not theory.settings.keep_steps and theory.keep_files:
        return
    directories = calculations(campaign.launchpad, recorder.fw_id)
    if theory.settings.keep_steps:
        keep_steps(theory, directories, steps_file(campaign.settings.root, key, recorder.restart))
    if not theory.keep_files and campaign.store.candidates.get(key)["state"] == CandidateState.RELAXED:
        for directory in directories:
            theory.discard(directory)


def keep_steps(theory: Theory, directories: Sequence[Path], path: Path) -> int:
    """Write energy, forces and stress of every ionic step into one file of extended XYZ, and return how many.

    Units are ASE's: eV, eV/angstrom, eV/cubic angstrom. Each frame names its theory. A file that is there is replaced
    when the new one is complete.

    Args:
        theory: reads its own files.
        directories: of the calculations, in their order.
        path: of the file.
    """
    from ase.io import write

    frames = [frame for directory in directories for frame in theory.steps(directory)]
    for frame in frames:
        frame.info["theory"] = theory.id
    if frames:
        with whole_path(path) as partial:
            write(partial, frames, format="extxyz")
    return len(frames)
