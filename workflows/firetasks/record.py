"""Record how a relaxation ended."""

from __future__ import annotations

import traceback
from dataclasses import replace
from typing import Any

from fireworks import FiretaskBase, FWAction, LaunchPad, explicit_serialize
from pymatgen.core import Structure

from gnome_torch.records import Entry, Lineage, Relaxation
from gnome_torch.stability.corrections import UncorrectableError, correction
from gnome_torch.stability.plausibility import implausible
from workflows.campaign import advance, campaign_theory, entry_id
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

    Required parameters:
        campaign: name.
        round: number.
        candidate: key of the candidate.
        job: jobflow uuid of the job with the result.
    """

    required_params = ("campaign", "round", "candidate", "job")

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        store = Store(self.launchpad.db)
        name, key = self["campaign"], self["candidate"]
        candidate = store.candidate(key)
        if candidate["state"] != "relaxed":
            level = campaign_theory(store, name)
            output = store.job_output(self["job"])
            if output is None:
                reason, directory = failure_of_parent(self.launchpad, self.fw_id)
                store.end_candidate(key, "failed", reason=reason, directory=directory)
            else:
                self._record(store, level, candidate, level.read(output), output.get("dir_name"))
        advance(store, self.launchpad, name)
        return FWAction(stored_data={"candidate": key, "state": store.candidate(key)["state"]})

    def _record(
        self, store: Store, level: Theory, candidate: dict[str, Any], relaxation: Relaxation, directory: str | None
    ) -> None:
        key = candidate["_id"]
        reason = implausible(relaxation)
        if reason is None:
            try:
                shift = correction(relaxation.structure, relaxation.energy, level.scheme)
            except UncorrectableError as error:
                reason = str(error)
        if reason is not None:
            store.end_candidate(key, "failed", reason=reason, directory=directory)
            return
        entry = Entry(
            id=entry_id(Structure.from_dict(candidate["structure"]), level.id),
            structure=relaxation.structure,
            energy=relaxation.energy,
            correction=shift,
            theory=level.id,
            lineage=replace(Lineage(**candidate["lineage"]), round=self["round"]),
        )
        calculation = {"job": self["job"], "directory": directory, "steps": relaxation.steps}
        initial = None
        if relaxation.initial_energy is not None:
            initial = {"structure": candidate["structure"], "energy": relaxation.initial_energy}
        store.add_entry(
            entry, self["campaign"], prediction=candidate["prediction"], calculation=calculation, initial=initial
        )
        store.end_candidate(key, "relaxed", entry=entry.id, directory=directory)


def failure_of_parent(
    launchpad: LaunchPad, fw_id: int, otherwise: str = "no result in the job store"
) -> tuple[str, str | None]:
    """Reason (last line of the traceback) and directory of the parent that failed.

    Args:
        launchpad: where it is.
        fw_id: the child.
        otherwise: reason where none of them failed.

    Raises:
        RelaxationInterruptedError: it did not fail, it was stopped.
    """
    workflow = launchpad.get_wf_by_fw_id(fw_id)
    for parent in workflow.links.parent_links.get(fw_id, []):
        firework = launchpad.get_fw_by_id(parent)
        for launch in reversed(firework.launches):
            if launch.state != "FIZZLED":
                continue
            stored = launch.action.stored_data if launch.action else {}
            trace = str(stored.get("_exception", {}).get("_stacktrace", "")).strip()
            reason = trace.splitlines()[-1] if trace else "lost: the worker ended without a word"
            if reason.startswith(NOT_RESULTS):
                raise RelaxationInterruptedError(
                    f"{reason[:200]}: no result; mend the cause, then run it again with 'lpad rerun_fws -i {parent}'"
                )
            return reason[:500], launch.launch_dir
        if firework.state == "FIZZLED":
            # FireWorks gives up a Firework that it cannot load without launching it
            raise RelaxationInterruptedError(
                f"a worker cannot load Firework {parent}: install gnome-torch and its theory there, then run it "
                f"again with 'lpad rerun_fws -i {parent}'"
            )
    return otherwise, None
