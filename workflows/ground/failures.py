"""Failures: which say something about the crystal, which pass by themselves, and what failed before a Firework.

FireWorks keeps a failure as a traceback, so its last line decides: `module.ErrorName: message`.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

from fireworks import LaunchPad

from gnome_torch.candidates.random_search.options import GeneratorMissingError
from workflows.ground.continuation import NoProgressError
from workflows.ground.strict import SettingsError

STOPPED = ("KeyboardInterrupt", "SystemExit")
"""Somebody stopped it."""

PASSING = (
    *STOPPED,
    "pymongo.errors.",
    "OSError: [Errno 28]",  # no space left on device
    "OSError: [Errno 122]",  # quota exceeded
)
"""Ends that have nothing to do with the work, and that a repetition may well not meet again."""

OURS = (
    SettingsError,  # a theory that is not installed on this worker
    GeneratorMissingError,
    NoProgressError,  # a walltime that is too short
)
FORMER = ("workflows.strict.SettingsError", "workflows.continuation.NoProgressError")
"""What tracebacks call them that earlier versions have written."""

NOT_RESULTS = (
    *PASSING,
    "MemoryError",
    "ImportError",
    "ModuleNotFoundError",
    "torch.OutOfMemoryError",
    "torch.cuda.",
    "torch.AcceleratorError",
    "RuntimeError: CUDA",
    *(f"{kind.__module__}.{kind.__qualname__}" for kind in OURS),
    *FORMER,
)
"""Ends of a relaxation that say nothing about the crystal: its user, the machine, or the worker's installation."""


class RelaxationInterruptedError(RuntimeError):
    """The relaxation has no result, for a reason that lies outside it, and is to be run again."""


def is_a_result(error: BaseException) -> bool:
    """Whether an error of a relaxation says something about the crystal."""
    return not traceback.format_exception_only(error)[-1].startswith(NOT_RESULTS)


def reason_of(launchpad: LaunchPad, fw_id: int) -> str:
    """Last line of the traceback of a failed Firework."""
    launches = launchpad.get_fw_by_id(fw_id).launches
    return _reason(launches[-1]) if launches else "lost: its worker ended without a word"


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
            reason = _reason(launch)
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


def _reason(launch: Any) -> str:
    stored = launch.action.stored_data if launch.action else {}
    trace = str(stored.get("_exception", {}).get("_stacktrace", "")).strip()
    return trace.splitlines()[-1] if trace else "lost: its worker ended without a word"


def _ancestors(parents: dict[int, list[int]], fw_id: int) -> list[int]:
    """Everything that comes before a Firework, the first first."""
    found: set[int] = set()
    waiting = list(parents.get(fw_id, []))
    while waiting:
        parent = waiting.pop()
        if parent not in found:
            found.add(parent)
            waiting += parents.get(parent, [])
    return sorted(found)
