"""Record how a relaxation ended."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fireworks import FiretaskBase, FWAction, LaunchPad, explicit_serialize

from workflows.campaign.begin import advance
from workflows.campaign.campaign import campaign_settings, candidate_theory
from workflows.campaign.stages.outcome import Ended, keep_steps, settle
from workflows.campaign.stages.rechecks import conclude
from workflows.campaign.stages.relaxations import launch_restart
from workflows.relax import Theory
from workflows.store import Store

# Ends of a relaxation that say nothing about the crystal: its user, the machine, or the worker's installation.
NOT_RESULTS = (
    "KeyboardInterrupt",
    "SystemExit",
    "MemoryError",
    "ImportError",
    "ModuleNotFoundError",
    "OSError: [Errno 28]",  # no space left on device
    "OSError: [Errno 122]",  # quota exceeded
    "pymongo.errors.",
    "workflows.ground.strict.SettingsError",
    "workflows.strict.SettingsError",  # a theory that is not installed on this worker
    "gnome_torch.candidates.random_search.options.GeneratorMissingError",
    "torch.OutOfMemoryError",
    "torch.cuda.",
    "torch.AcceleratorError",
    "RuntimeError: CUDA",
    "workflows.ground.continuation.NoProgressError",
    "workflows.continuation.NoProgressError",  # a walltime that is too short
)


def is_a_result(error: BaseException) -> bool:
    """Whether an error of a relaxation says something about the crystal."""
    return not traceback.format_exception_only(error)[-1].startswith(NOT_RESULTS)


class RelaxationInterruptedError(RuntimeError):
    """The relaxation has no result, for a reason that lies outside it, and is to be run again."""


@explicit_serialize
class RecordRelaxation(FiretaskBase):
    """Turn a finished relaxation into an entry and a failed one into a reason; then see whether the round is full.

    One that broke off, or did not converge, goes on from its last crystal as often as its theory allows.

    Required parameters:
        campaign: name.
        round: number.
        candidate: key of the candidate.
        job: jobflow uuid of the job with the result.
    Optional parameters:
        restart: how often the relaxation has been restarted before (0).
    """

    required_params = ("campaign", "round", "candidate", "job")
    optional_params = ("restart",)

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        store = Store(self.launchpad.db)
        name, key, restart = self["campaign"], self["candidate"], self.get("restart", 0)
        candidate = store.candidates.get(key)
        # an older attempt that is run again has nothing to say any more
        if candidate["state"] != "relaxed" and candidate.get("restarts", 0) <= restart:
            level = candidate_theory(store, candidate)
            settle(store, level, candidate, self._result(store, level, candidate), restart)
            self._files(store, level, candidate)
        if store.candidates.get(key).get("restarts", 0) > restart:
            launch_restart(store, self.launchpad, name, self["round"], key)
        advance(store, self.launchpad, name)
        conclude(store, name)
        return FWAction(stored_data={"candidate": key, "state": store.candidates.get(key)["state"]})

    def _result(self, store: Store, level: Theory, candidate: Mapping[str, Any]) -> Ended:
        """What became of the relaxation."""
        output = store.jobs.output(self["job"])
        if output is not None:
            directory = output.get("dir_name")
            directory = directory.rpartition(":")[2] if directory else None  # emmet writes host:path
            rough = not candidate.get("recheck_of") and campaign_settings(store, self["campaign"]).prerelax is not None
            return Ended(level.read(output), directory=directory, job=self["job"], pre_relaxed=rough)
        failure, where = failure_of_parent(self.launchpad, self.fw_id)
        if where is None:
            return Ended(None, reason=failure, directory=None, job=self["job"])
        reason = "; ".join(filter(None, [failure, level.why(Path(where)), level.remedy(failure)]))[:1000]
        return Ended(None, reason, where, self["job"], level.last_structure(Path(where)))

    def _files(self, store: Store, level: Theory, candidate: Mapping[str, Any]) -> None:
        """Keep what is asked for of the calculations' files."""
        key, settings = candidate["_id"], level.settings
        if not settings.keep_steps and level.keep_files:
            return
        directories = calculations(self.launchpad, self.fw_id)
        if settings.keep_steps:
            name = key.rpartition("/")[2] + (f"-{self['restart']}" if self.get("restart") else "")
            keep_steps(level, directories, campaign_settings(store, self["campaign"]).root / "steps" / f"{name}.extxyz")
        if not level.keep_files and store.candidates.get(key)["state"] == "relaxed":
            for directory in directories:
                level.discard(directory)


def calculations(launchpad: LaunchPad, fw_id: int) -> list[Path]:
    """Directories of all that ran before a Firework in its workflow, the first first."""
    parents = launchpad.get_wf_by_fw_id(fw_id).links.parent_links
    launches = (launchpad.get_fw_by_id(ancestor).launches for ancestor in _ancestors(parents, fw_id))
    return [Path(some[-1].launch_dir) for some in launches if some]


def failure_of_parent(
    launchpad: LaunchPad, fw_id: int, otherwise: str = "no result in the job store"
) -> tuple[str, str | None]:
    """Reason (last line of the traceback) and directory of what failed first among all that came before.

    Args:
        launchpad: where it is.
        fw_id: the Firework that hears of the failure.
        otherwise: reason where none of them failed.

    Raises:
        RelaxationInterruptedError: it did not fail, it was stopped.
    """
    workflow = launchpad.get_wf_by_fw_id(fw_id)
    states = {firework.fw_id: firework.state for firework in workflow.fws}
    parents = workflow.links.parent_links
    for ancestor in _ancestors(parents, fw_id):
        if states[ancestor] != "FIZZLED" or any(states[p] == "FIZZLED" for p in _ancestors(parents, ancestor)):
            continue  # what comes after a failure fails for want of its input
        for launch in reversed(launchpad.get_fw_by_id(ancestor).launches):
            if launch.state != "FIZZLED":
                continue
            stored = launch.action.stored_data if launch.action else {}
            trace = str(stored.get("_exception", {}).get("_stacktrace", "")).strip()
            reason = trace.splitlines()[-1] if trace else "lost: the worker ended without a word"
            if reason.startswith(NOT_RESULTS):
                raise RelaxationInterruptedError(
                    f"{reason[:200]}: no result; mend the cause, then run it again with 'lpad rerun_fws -i {ancestor}'"
                )
            return reason[:500], launch.launch_dir
        # FireWorks gives up a Firework that it cannot load without launching it
        raise RelaxationInterruptedError(
            f"a worker cannot load Firework {ancestor}: install gnome-torch and its theory there, then run it "
            f"again with 'lpad rerun_fws -i {ancestor}'"
        )
    return otherwise, None


def _ancestors(parents: dict[int, list[int]], fw_id: int) -> list[int]:
    """Everything that comes before a Firework, the first first."""
    found: set[int] = set()
    waiting = list(parents.get(fw_id, []))
    while waiting:
        some = waiting.pop()
        if some not in found:
            found.add(some)
            waiting += parents.get(some, [])
    return sorted(found)
