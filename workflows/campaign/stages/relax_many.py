"""Many candidates relaxed one after another in one Firework: what FireWorks costs is shared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pymatgen.core import Structure

from workflows.campaign.campaign import Campaign
from workflows.campaign.places import steps_file
from workflows.campaign.stages.outcome import Ended, keep_steps, record
from workflows.ground.continuation import Stopped, StopRequested, never
from workflows.ground.failures import RelaxationInterruptedError, failure_of_parent, is_a_result
from workflows.relax import Theory
from workflows.store import CandidateState
from workflows.store.base import Document

MAX_DEATHS = 5
"""A crystal at which so many workers have ended without a word has failed."""


def relax_candidates(campaign: Campaign, keys: Sequence[str], stopped: Stopped = never) -> None:
    """Relax candidates, and write each result when it is there; those that have ended are passed by.

    So one that is killed repeats the crystal it was at, and no other.

    Args:
        campaign: whose.
        keys: of the candidates.
        stopped: looked at before each crystal.

    Raises:
        StopRequested: a signal has asked to stop.
    """
    # before any candidate is touched: a worker without the theory says nothing about a crystal
    theory, rough = campaign.theory, campaign.rough_theory
    candidates = campaign.store.candidates
    # all have ended and it is run again all the same: somebody wants the failures tried once more
    todo = candidates.among(keys, CandidateState.SELECTED) or candidates.among(keys, CandidateState.FAILED)
    for key in todo:
        if stopped():
            raise StopRequested(f"candidate {key}")
        candidate = candidates.begin(key)
        if candidate["begun"] > MAX_DEATHS:
            reason = f"{MAX_DEATHS} workers ended without a word while they relaxed it"
            candidates.end(key, CandidateState.FAILED, reason=reason, directory=str(Path.cwd()))
            continue
        try:
            ended = _relaxed(candidate, theory, rough)
        except BaseException:
            candidates.leave(key)  # it did not end without a word
            raise
        if theory.settings.keep_steps and ended.relaxation is not None:
            keep_steps(theory, [Path.cwd()], steps_file(campaign.settings.root, key))
        record(campaign, candidate, ended)
        candidates.leave(key)


def _relaxed(candidate: Document, theory: Theory, rough: Theory | None) -> Ended:
    """Relax one candidate here and now; a failure is a result.

    Raises:
        Exception: what says nothing about the crystal: memory, disk, installation.
    """
    here = str(Path.cwd())
    try:
        structure = Structure.from_dict(candidate["structure"])
        if rough is not None:
            structure = rough.relax(structure).structure
        return Ended(theory.relax(structure), directory=here, pre_relaxed=rough is not None)
    except Exception as error:  # whatever a calculator stumbles over
        if not is_a_result(error):
            raise
        return Ended(None, f"{type(error).__name__}: {error}"[:500], here)


def check_all_ended(campaign: Campaign, keys: Sequence[str], fw_id: int) -> None:
    """Make sure that a chunk of relaxations has come to its end.

    Args:
        campaign: whose.
        keys: of the candidates.
        fw_id: the Firework that comes after them.

    Raises:
        RelaxationInterruptedError: it has not; what broke it off is told.
    """
    waiting = campaign.store.candidates.among(keys, CandidateState.SELECTED)
    if waiting:
        failure, directory = failure_of_parent(campaign.launchpad, fw_id)
        raise RelaxationInterruptedError(
            f"{len(waiting)} of {len(keys)} crystals were not relaxed: {failure} ({directory}); mend "
            "the cause, then run the Firework before this one again with 'lpad rerun_fws -i ID'"
        )
