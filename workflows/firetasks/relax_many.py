"""Relax many candidates in one Firework, for theories that are cheap: what FireWorks costs is shared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fireworks import FiretaskBase, FWAction, explicit_serialize
from pymatgen.core import Structure

from workflows.campaign.begin import advance
from workflows.campaign.campaign import campaign_settings, campaign_theory, prerelaxation
from workflows.campaign.stages.outcome import Ended, keep_steps, settle
from workflows.firetasks.record import RelaxationInterruptedError, failure_of_parent, is_a_result
from workflows.ground.continuation import go_on, watch
from workflows.relax import Theory
from workflows.store import Store

MAX_DEATHS = 5
"""A crystal at which so many workers have ended without a word has failed."""


@explicit_serialize
class RelaxMany(FiretaskBase):
    """Relax candidates one after another, and write each result when it is there; those that have ended are passed by.

    So a Firework that is killed repeats the crystal it was at, and no other.

    Required parameters:
        campaign: name.
        round: number.
        candidates: their keys.
    """

    required_params = ("campaign", "round", "candidates")

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        store = Store(self.launchpad.db)
        name = self["campaign"]
        level, rough = campaign_theory(store, name), prerelaxation(store, name)
        steps = campaign_settings(store, name).root / "steps"
        # all have ended and it is run again all the same: somebody wants the failures tried once more
        todo = store.candidates.among(self["candidates"], "selected")
        todo = todo or store.candidates.among(self["candidates"], "failed")
        with watch() as stopped:
            for key in todo:
                if stopped():
                    title = f"{name}: crystals of round {self['round']}, goes on"
                    return go_on(self, fw_spec, title, f"candidate {key}")
                candidate = store.candidates.begin(key)
                if candidate["begun"] > MAX_DEATHS:
                    reason = f"{MAX_DEATHS} workers ended without a word while they relaxed it"
                    store.candidates.end(key, "failed", reason=reason, directory=str(Path.cwd()))
                    continue
                try:
                    ended = relaxed(candidate, level, rough)
                except BaseException:
                    store.candidates.leave(key)  # it did not end without a word
                    raise
                if level.settings.keep_steps and ended.relaxation is not None:
                    keep_steps(level, [Path.cwd()], steps / f"{key.rpartition('/')[2]}.extxyz")
                settle(store, level, candidate, ended)
                store.candidates.leave(key)
        return FWAction(stored_data={"candidates": len(self["candidates"])})


def relaxed(candidate: Mapping[str, Any], level: Theory, rough: Theory | None) -> Ended:
    """Relax one candidate here and now; a failure is a result.

    Raises:
        Exception: what says nothing about the crystal: memory, disk, installation.
    """
    here = str(Path.cwd())
    try:
        structure = Structure.from_dict(candidate["structure"])
        if rough is not None:
            structure = rough.relax(structure).structure
        return Ended(level.relax(structure), directory=here, pre_relaxed=rough is not None)
    except Exception as error:  # whatever a calculator stumbles over
        if not is_a_result(error):
            raise
        return Ended(None, f"{type(error).__name__}: {error}"[:500], here)


@explicit_serialize
class Resume(FiretaskBase):
    """Let the campaign go on after a chunk of relaxations; whatever broke it off is told.

    Required parameters: as `RelaxMany`.
    """

    required_params = ("campaign", "round", "candidates")

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        store = Store(self.launchpad.db)
        waiting = store.candidates.among(self["candidates"], "selected")
        if waiting:
            failure, directory = failure_of_parent(self.launchpad, self.fw_id)
            raise RelaxationInterruptedError(
                f"{len(waiting)} of {len(self['candidates'])} crystals were not relaxed: {failure} ({directory}); mend "
                "the cause, then run the Firework before this one again with 'lpad rerun_fws -i ID'"
            )
        advance(store, self.launchpad, self["campaign"])
        return FWAction()
