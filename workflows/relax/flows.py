"""A theory's flow as Fireworks."""

from __future__ import annotations

from typing import Any

from fireworks import Workflow
from pymatgen.core import Structure

from workflows.firetasks.relax import with_launchpad_store
from workflows.relax.base import Theory


def relaxation_workflow(
    structure: Structure, level: Theory, name: str, spec: dict[str, Any], rough: Theory | None = None
) -> tuple[Workflow, str]:
    """The Fireworks of one relaxation, and the jobflow uuid of the job that holds the result.

    Every Firework runs even if the one before it failed, and then fails for want of its input: so whatever waits for
    the last one always hears of the end.

    Args:
        structure: crystal to relax.
        level: level of theory.
        name: name of the workflow and its Fireworks.
        spec: put into every Firework (category, priority).
        rough: a cheap theory of one job, whose result the level goes on from.
    """
    from jobflow import Flow
    from jobflow.managers.fireworks import flow_to_workflow

    if rough is None:
        flow = level.flow(structure)
    else:
        first = rough.flow(structure)
        flow = Flow([first, level.flow(first.output.structure)])
    jobs = [job for job, _ in flow.iterflow()] if hasattr(flow, "iterflow") else [flow]
    for number, job in enumerate(jobs, start=1):
        job.name = name if len(jobs) == 1 else f"{name}: {number}/{len(jobs)} {job.name}"
    workflow = flow_to_workflow(flow, name=name)
    for firework in workflow.fws:
        firework.spec.update(spec)
        firework.spec["_allow_fizzled_parents"] = True
    with_launchpad_store(workflow)
    return workflow, str(jobs[-1].uuid)
