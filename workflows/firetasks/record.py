"""Record how a relaxation ended."""

from __future__ import annotations

import traceback
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from fireworks import FiretaskBase, FWAction, LaunchPad, explicit_serialize
from pymatgen.core import Structure

from gnome_torch.records import Entry, Lineage, Relaxation
from gnome_torch.stability.changes import changed
from gnome_torch.stability.corrections import UncorrectableError, correction
from gnome_torch.stability.plausibility import implausible
from workflows.campaign import advance, campaign_theory, entry_id, launch_restart
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
    "workflows.strict.SettingsError",  # a theory that is not installed on this worker
    "gnome_torch.candidates.random_search.options.GeneratorMissingError",
    "torch.OutOfMemoryError",
    "torch.cuda.",
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
        name, key = self["campaign"], self["candidate"]
        candidate = store.candidate(key)
        level = campaign_theory(store, name)
        # an older attempt that is run again has nothing to say any more
        if candidate["state"] != "relaxed" and candidate.get("restarts", 0) <= self.get("restart", 0):
            self._judge(store, level, candidate)
        if store.candidate(key).get("restarts", 0) > self.get("restart", 0):
            launch_restart(store, self.launchpad, name, self["round"], key)
        advance(store, self.launchpad, name)
        return FWAction(stored_data={"candidate": key, "state": store.candidate(key)["state"]})

    def _judge(self, store: Store, level: Theory, candidate: dict[str, Any]) -> None:
        output = store.job_output(self["job"])
        if output is None:
            failure, where = failure_of_parent(self.launchpad, self.fw_id)
            last = None
            if where is not None:
                failure = "; ".join(filter(None, [failure, level.why(Path(where))]))[:1000]
                last = level.last_structure(Path(where))
            self._fail(store, level, candidate, failure, where, last)
            return
        relaxation, directory = level.read(output), output.get("dir_name")
        directory = directory.rpartition(":")[2] if directory else None  # emmet writes host:path
        reason = implausible(relaxation)
        if reason is None:
            try:
                shift = correction(relaxation.structure, relaxation.energy, level.scheme, relaxation.parameters)
            except UncorrectableError as error:
                reason = str(error)
        if reason is not None:
            last = relaxation.structure if not relaxation.converged else None
            self._fail(store, level, candidate, reason, directory, last)
            return
        self._add(store, level, candidate, relaxation, shift, directory)

    def _fail(
        self,
        store: Store,
        level: Theory,
        candidate: dict[str, Any],
        reason: str,
        directory: str | None,
        last: Structure | None,
    ) -> None:
        """Restart from the last crystal, or give up."""
        fields: dict[str, Any] = {"reason": reason, "directory": directory}
        if last is not None and self.get("restart", 0) < getattr(level.settings, "max_restarts", 0):
            store.restart_candidate(candidate["_id"], self.get("restart", 0), last, **fields)
        else:
            store.end_candidate(
                candidate["_id"], "failed", last_structure=last.as_dict() if last is not None else None, **fields
            )

    def _add(
        self,
        store: Store,
        level: Theory,
        candidate: dict[str, Any],
        relaxation: Relaxation,
        shift: float,
        directory: str | None,
    ) -> None:
        key, start = candidate["_id"], Structure.from_dict(candidate["structure"])
        entry = Entry(
            id=entry_id(start, level.id),
            structure=relaxation.structure,
            energy=relaxation.energy,
            correction=shift,
            theory=level.id,
            lineage=replace(Lineage(**candidate["lineage"]), round=self["round"]),
        )
        calculation = {
            "job": self["job"],
            "directory": directory,
            "steps": relaxation.steps,
            "restarts": self.get("restart", 0),
            **(relaxation.parameters or {}),
            **relaxation.details,
        }
        initial = None
        if relaxation.initial_energy is not None and not self.get("restart", 0):
            initial = {"structure": candidate["structure"], "energy": relaxation.initial_energy}
        store.add_entry(
            entry,
            self["campaign"],
            prediction=candidate["prediction"],
            calculation=calculation,
            initial=initial,
            change=asdict(changed(start, relaxation.structure)),
        )
        store.end_candidate(key, "relaxed", entry=entry.id, directory=directory)


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
