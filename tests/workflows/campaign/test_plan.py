"""The plan as the database gets it: every name in it resolves, and every Firework says what its task needs."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from campaigns import small_campaign
from fireworks import FiretaskBase, Firework, LaunchPad, Workflow
from pymatgen.core import Lattice, Structure

from workflows.campaign.pipelines import PIPELINES
from workflows.campaign.plan import (
    GENERATE,
    SCREEN,
    STEPS,
    NamedTask,
    Step,
    candidate_workflow,
    chunk_workflow,
    round_workflow,
    run_by_us,
    search_workflow,
    start_workflow,
)
from workflows.campaign.settings import START_TASK
from workflows.ground.queues import CATEGORIES
from workflows.relax import theory

ALLOY = Structure(Lattice.cubic(3.8), ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]])
CANDIDATE: dict[str, Any] = {
    "_id": "emt/0123456789ab",
    "campaign": "emt",
    "round": 1,
    "formula": "CuAu",
    "structure": ALLOY.as_dict(),
}
RECHECK = CANDIDATE | {"_id": "emt/recheck/01", "round": None, "after_round": 1, "recheck_of": "01"}


def task_of(step: Step) -> type[FiretaskBase]:
    module, _, name = step.task.rpartition(".")
    found: type[FiretaskBase] = getattr(import_module(module), name)
    return found


def workflows(directory: Path) -> Iterator[Workflow]:
    """One of every kind."""
    rough = {"name": "emt", "fmax": 0.2}
    settings = small_campaign(
        directory,
        pipelines=["compositional", "structural"],
        prerelax=rough,
        baseline=rough,
        network={},
        screening={},
        compositional={"search": {"prerelax": rough}},
        rounds=2,
    )
    own, first = theory(settings.theory), theory(settings.prerelax)  # type: ignore[arg-type]
    yield start_workflow(settings)
    yield from (round_workflow(settings, number) for number in (1, 2, 3))
    yield search_workflow(settings, 1, "CuAu")
    yield candidate_workflow(CANDIDATE, own, None)
    yield candidate_workflow(CANDIDATE, own, first)
    yield candidate_workflow(CANDIDATE | {"restarts": 1, "restart_structure": ALLOY.as_dict()}, own, first)
    yield candidate_workflow(RECHECK, own, None)
    yield chunk_workflow("emt", 1, ["emt/a", "emt/b"])


def fireworks(directory: Path) -> Iterator[Firework]:
    for workflow in workflows(directory):
        yield from workflow.fws


def test_every_name_resolves() -> None:
    for step in STEPS:
        assert task_of(step)._fw_name == f"{{{{{step.task}}}}}"
        assert step.category in CATEGORIES
    assert f"{{{{{STEPS[0].task}}}}}" == START_TASK  # as campaign files name it
    assert set(GENERATE) == set(SCREEN) == {pipeline.name for pipeline in PIPELINES}


def test_every_task_is_planned() -> None:
    """A Firetask that no step names would never run."""
    folder = Path(import_module("workflows.firetasks").__file__ or "").parent
    there = set()
    for path in folder.glob("*.py"):
        module = import_module(f"workflows.firetasks.{path.stem}") if path.stem != "__init__" else None
        there |= {
            f"{value.__module__}.{name}"
            for name, value in vars(module).items()
            if isinstance(value, type) and "_fw_name" in vars(value)
        } if module else set()  # fmt: skip
    assert there == {step.task for step in STEPS}


def test_every_firework_has_what_its_task_needs(tmp_path: Path) -> None:
    known = {f"{{{{{step.task}}}}}": step for step in STEPS}
    seen = set()
    for firework in fireworks(tmp_path):
        (task,) = firework.to_dict()["spec"]["_tasks"]
        name = task.pop("_fw_name")
        step = known[name]
        kind = task_of(step)
        seen.add(name)
        required = set(kind.required_params or ())
        assert required <= task.keys() <= required | set(kind.optional_params or ()), name
        assert firework.spec["_category"] == step.category
        assert bool(firework.spec.get("_allow_fizzled_parents")) is step.hears_failures
        assert kind(task) == task  # the class takes it
    assert seen == known.keys()


def test_records_go_before_all_else(tmp_path: Path) -> None:
    order = {step.task.rpartition(".")[2]: step.priority for step in STEPS}
    assert min(order["RecordRelaxation"], order["RecordSearch"], order["Resume"]) > order["CloseRound"]
    assert order["CloseRound"] > order["TrainMember"] > order["RelaxMany"]
    # a relaxation that is to be checked by another theory waits for all that the loop waits for
    (recheck,) = [w for w in workflows(tmp_path) if w.metadata["stage"] == "recheck"]
    relax, _ = sorted(recheck.fws, key=lambda firework: firework.spec["_priority"])
    assert relax.spec["_priority"] < order["RelaxMany"]


def test_keys_are_of_one_workflow_each(tmp_path: Path) -> None:
    keys = [workflow.metadata["gnome_key"] for workflow in workflows(tmp_path)]
    assert keys == [
        "start/emt", "round/emt/1", "round/emt/2", "round/emt/3", "search/emt/1/CuAu", "relax/emt/0123456789ab",
        "relax/emt/0123456789ab", "relax/emt/0123456789ab/1", "relax/emt/recheck/01", keys[-1],
    ]  # fmt: skip


def test_a_round_waits_for_what_it_needs(tmp_path: Path) -> None:
    """Networks and candidates after the close, screening after both, formulas after crystals have chosen."""
    workflow = round_workflow(small_campaign(tmp_path, pipelines=["compositional", "structural"], rounds=2), 1)
    names = {firework.fw_id: firework.name.removeprefix("emt: ") for firework in workflow.fws}
    parents = {
        names[child]: {names[parent] for parent, children in workflow.links.items() if child in children}
        for child in names
    }
    assert parents.pop("close round 0") == set()
    assert parents.pop("screen 1") == {"evaluate 1", "generate 1"}
    assert parents.pop("screen 1 compositions") == {"evaluate 1 compositions", "generate 1 compositions", "screen 1"}
    assert {parent for name in parents if name.startswith(("train", "generate")) for parent in parents[name]} == {
        "close round 0"
    }
    assert parents["evaluate 1"] == {
        name for name in parents if name.startswith("train") and "compositions" not in name
    }
    # after the last round nothing follows but its close
    assert [f.name for f in round_workflow(small_campaign(tmp_path, rounds=2), 3).fws] == ["emt: close round 2"]


def test_a_planned_task_is_not_run_from_the_plan(launchpad: LaunchPad, tmp_path: Path) -> None:
    planned = start_workflow(small_campaign(tmp_path))
    with pytest.raises(TypeError, match=r"StartCampaign\}\} is planned here"):
        planned.fws[0].tasks[0].run_task({})
    launchpad.add_wf(planned)
    (stored,) = launchpad.get_wf_by_fw_id(1).fws
    assert not isinstance(stored.tasks[0], NamedTask)
    assert type(stored.tasks[0]).__name__ == "StartCampaign"


def test_what_a_job_adds_is_run_by_us(tmp_path: Path) -> None:
    workflow = candidate_workflow(CANDIDATE, theory(small_campaign(tmp_path).theory), None)
    jobs = Workflow([firework for firework in workflow.fws if firework.spec["_category"] == "relax"])
    run_by_us(jobs)
    run_by_us(jobs)  # twice is once
    assert [task.fw_name for firework in jobs.fws for task in firework.tasks] == [
        "{{workflows.firetasks.relax.RunJob}}"
    ]
