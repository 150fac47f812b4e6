"""The plan: every Workflow and Firework of the loop, as data. Nothing else makes one.

    start ──> for each first crystal:  relax ──> record
                                                   │ the record that sees the round full adds, once:
                                                   v
    close ─┬─> train, one for each member ──> evaluate ─┬─> screen ──> for each chosen crystal:  relax ──> record
           ├─> generate [ ──> baseline ] ───────────────┘     │
           │                                                  v  (so that no composition is chosen twice)
           ├─> train compositions ──> evaluate ─┬─> screen compositions ──> for each chosen formula:
           ├─> generate compositions ───────────┘                             make crystals ──> pre-relax ──> record
           │                                                                  ──> for its lowest:  relax ──> record
           └─> for each stable phase, and what it stands against, at the theory of `recheck`:  relax ──> record

Where a theory is cheap, `relax many ──> resume` takes the place of `relax ──> record` for many crystals at once. After
the last round the close adds no more than its rechecks.

A step names its Firetask as the database stores it, so that planning loads no stage; the worker does. A task that stops
before its walltime goes on in a Firework that repeats it (`workflows.ground.continuation`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from fireworks import FiretaskBase, Firework, Workflow
from pymatgen.core import Structure

from gnome_torch.records import content_hash
from workflows.campaign.pipelines import STRUCTURAL, Pipeline, pipelines_of
from workflows.campaign.settings import CampaignSettings
from workflows.relax import Theory
from workflows.store.base import Document

# ---- the steps


@dataclass(frozen=True)
class Step:
    """A kind of Firework.

    Attributes:
        task: Firetask, by the name that the database stores: never rename one.
        category: of the workers that take it.
        priority: the higher the sooner. Recording first, so that the loop never waits behind its own relaxations; then
            what every worker waits for.
        hears_failures: it runs even if what it waits for has failed.
        is_recorded: what becomes of it is recorded by a later step, so that its failure stops nothing.
    """

    task: str
    category: str
    priority: int
    hears_failures: bool = False
    is_recorded: bool | None = None


START = Step("workflows.firetasks.start.StartCampaign", "control", 30)
CLOSE = Step("workflows.firetasks.close.CloseRound", "control", 30)
TRAIN = Step("workflows.firetasks.train.TrainMember", "train", 20)
EVALUATE = Step("workflows.firetasks.evaluate.EvaluateEnsemble", "train", 20)
GENERATE = {
    "structural": Step("workflows.firetasks.generate.GenerateCandidates", "generate", 20),
    "compositional": Step("workflows.firetasks.compositions.GenerateCompositions", "generate", 20),
}
SCREEN = {
    "structural": Step("workflows.firetasks.screen.ScreenCandidates", "screen", 20),
    "compositional": Step("workflows.firetasks.compositions.ScreenCompositions", "screen", 20),
}
JUDGE = Step("workflows.firetasks.baseline.JudgeCandidates", "screen", 20)
MAKE_CRYSTALS = Step("workflows.firetasks.search.MakeCrystals", "generate", 10, False, is_recorded=True)
PRE_RELAX = Step("workflows.firetasks.search.PrerelaxCrystals", "relax", 10, True, is_recorded=True)
RECORD_SEARCH = Step("workflows.firetasks.search.RecordSearch", "control", 40, True, is_recorded=False)
RELAX = Step("workflows.firetasks.relax.RunJob", "relax", 10, True)
RECHECK = Step("workflows.firetasks.relax.RunJob", "relax", 5, True)
RECORD = Step("workflows.firetasks.record.RecordRelaxation", "control", 40, True)
RELAX_MANY = Step("workflows.firetasks.relax_many.RelaxMany", "relax", 10)
RESUME = Step("workflows.firetasks.relax_many.Resume", "control", 40, True)

STEPS: Sequence[Step] = (
    START, CLOSE, TRAIN, EVALUATE, *GENERATE.values(), JUDGE, *SCREEN.values(),
    MAKE_CRYSTALS, PRE_RELAX, RECORD_SEARCH, RELAX, RECHECK, RECORD, RELAX_MANY, RESUME,
)  # fmt: skip


# ---- the workflows


def start_workflow(settings: CampaignSettings) -> Workflow:
    """The workflow that `lpad add` reads from a campaign file, under a key by which it is added once."""
    name = f"{settings.name}: start"
    start = _firework(START, name, spec={"campaign": settings.model_dump(mode="json")})
    return _workflow([start], name, settings.name, 0, "start", f"start/{settings.name}")


def round_workflow(settings: CampaignSettings, number: int) -> Workflow:
    """Close round `number - 1`; unless it was the last: train, generate and screen for round `number`."""
    name = settings.name
    close = _firework(CLOSE, f"{name}: close round {number - 1}", campaign=name, round=number - 1)
    fireworks = [close]
    before: list[Firework] = []  # screening that has to have chosen first, so that no composition is chosen twice
    for pipeline in pipelines_of(settings, number):
        fireworks += _pipeline(settings, number, pipeline, close, before)
        before = fireworks[-1:]
    title = f"{name}: round {number}" if number <= settings.last_round else f"{name}: end"
    return _workflow(fireworks, title, name, number, "round", f"round/{name}/{number}")


def _pipeline(
    settings: CampaignSettings, number: int, pipeline: Pipeline, close: Firework, before: Sequence[Firework]
) -> list[Firework]:
    """Train (a Firework per member) -> evaluate, and generate -> baseline; then screen, which is the last."""
    name, what, count = settings.name, pipeline.of_what, pipeline.members(settings)
    which: dict[str, Any] = {"campaign": name, "round": number}
    # earlier versions knew one network, and the tasks of that one still name none
    network: dict[str, Any] = {"network": pipeline.network.value} if what else {}
    train = [
        _firework(
            TRAIN,
            f"{name}: train {member + 1}/{count} for round {number}{what and ',' + what}",
            [close],
            **which,
            **network,
            member=member,
        )
        for member in range(count)
    ]
    evaluate = _firework(EVALUATE, f"{name}: evaluate {number}{what}", train, **which, **network)
    generate = _firework(GENERATE[pipeline.name], f"{name}: generate {number}{what}", [close], **which)
    proposed = [generate]
    if pipeline is STRUCTURAL and settings.baseline is not None:
        proposed.append(_firework(JUDGE, f"{name}: baseline {number}", [generate], **which))
    waits_for = [evaluate, proposed[-1], *before]
    screen = _firework(SCREEN[pipeline.name], f"{name}: screen {number}{what}", waits_for, **which)
    return [*train, evaluate, *proposed, screen]


def search_workflow(settings: CampaignSettings, number: int, formula: str) -> Workflow:
    """Make the random crystals of a formula, relax them roughly where the settings say so, record the search."""
    which: dict[str, Any] = {"campaign": settings.name, "round": number, "formula": formula}
    title = f"{settings.name}: search {formula}"
    fireworks = [_firework(MAKE_CRYSTALS, f"{title}: make crystals", **which)]
    if settings.compositional.search.prerelax is not None:
        fireworks.append(_firework(PRE_RELAX, f"{title}: pre-relax", fireworks[-1:], **which))
    fireworks.append(_firework(RECORD_SEARCH, f"{title}: record", fireworks[-1:], **which))
    key = f"search/{settings.name}/{number}/{formula}"
    return _workflow(fireworks, title, settings.name, number, "search", key)


def candidate_workflow(document: Document, theory: Theory, rough: Theory | None) -> Workflow:
    """Relax one candidate, roughly first if there is a theory for that, then record it, whatever became of it.

    Args:
        document: of the candidate; one that broke off before goes on from its last crystal.
        theory: that it is relaxed at.
        rough: a cheap theory of one job, whose result the theory goes on from.
    """
    name, key, restart = document["campaign"], document["_id"], document.get("restarts", 0)
    recheck = bool(document.get("recheck_of"))
    number = document["after_round"] if recheck else document["round"]
    title = f"{name}: {document['formula']} {key.rsplit('/', 1)[-1][:8]}" + (", again" if recheck else "")
    title += f", restart {restart}" if restart else ""
    structure = Structure.from_dict(document["restart_structure" if restart else "structure"])
    step = RECHECK if recheck else RELAX
    relax, job = relaxation_workflow(structure, theory, title, None if restart else rough, step)
    parameters = {"campaign": name, "round": number, "candidate": key, "job": job}
    record = _firework(RECORD, f"{title}: record", **parameters, **({"restart": restart} if restart else {}))
    relax.append_wf(Workflow([record]), relax.leaf_fw_ids)
    stage = "recheck" if recheck else "relax"
    relax.metadata = _metadata(name, number, stage, f"relax/{key}" + (f"/{restart}" if restart else ""))
    return relax


def relaxation_workflow(
    structure: Structure, theory: Theory, title: str, rough: Theory | None = None, step: Step = RELAX
) -> tuple[Workflow, str]:
    """The Fireworks of a theory's own flow, and the jobflow uuid of the job that holds the result.

    Every Firework runs even if the one before it failed, and then fails for want of its input: so whatever waits for
    the last one always hears of the end.
    """
    from jobflow import Flow
    from jobflow.managers.fireworks import flow_to_workflow

    if rough is None:
        flow = theory.flow(structure)
    else:
        first = rough.flow(structure)
        flow = Flow([first, theory.flow(first.output.structure)])
    jobs = [job for job, _ in flow.iterflow()] if hasattr(flow, "iterflow") else [flow]
    for number, job in enumerate(jobs, start=1):
        job.name = title if len(jobs) == 1 else f"{title}: {number}/{len(jobs)} {job.name}"
    workflow = flow_to_workflow(flow, name=title)
    for firework in workflow.fws:
        firework.spec.update(_spec(step))
    run_by_us(workflow)
    return workflow, str(jobs[-1].uuid)


def run_by_us(workflow: Workflow) -> None:
    """Make the jobs of a workflow that jobflow built write to the LaunchPad's own database."""
    for firework in workflow.fws:
        firework.tasks = [NamedTask(RELAX.task, job=task["job"]) for task in firework.tasks]


def chunk_workflow(campaign: str, number: int, keys: Sequence[str]) -> Workflow:
    """Relax some candidates one after another in one Firework; each result is written when it is there."""
    title = f"{campaign}: {len(keys)} crystals of round {number}"
    which: dict[str, Any] = {"campaign": campaign, "round": number, "candidates": list(keys)}
    relax = _firework(RELAX_MANY, title, **which)
    resume = _firework(RESUME, f"{title}: resume", [relax], **which)
    key = f"relax/{content_hash({'candidates': list(keys)})}"
    return _workflow([relax, resume], title, campaign, number, "relax", key)


# ---- what they are made of

RANK = 1e-6
"""By how much the priority of a crystal is below that of the one before it."""


def in_turn(workflows: Iterable[Workflow], first: int) -> list[Workflow]:
    """Rank relaxations so that campaigns that share a queue take turns.

    FireWorks runs what has the highest priority, then what was added first: a campaign of a thousand crystals would
    keep all others waiting. So the first of a campaign's crystals ranks beside the first that still waits of the
    others, the second beside their second, and so on (start-time fair queueing; Goyal, Vin and Cheng, 1997).

    Args:
        workflows: the relaxations, in their order.
        first: rank of the relaxation that is next in the queue.
    """
    ranked = list(workflows)
    for rank, workflow in enumerate(ranked, start=first):
        for firework in workflow.fws:
            if firework.spec["_category"] == RELAX.category:
                firework.spec["_rank"] = rank
                firework.spec["_priority"] = RELAX.priority - min(rank * RANK, 1.0)
    return ranked


class NamedTask(FiretaskBase):
    """A Firetask by its stored name, to be written into the database and never to be run from here.

    Args:
        task: dotted path of the class.
        parameters: of the task.
    """

    def __init__(self, task: str, **parameters: Any) -> None:
        super().__init__(**parameters)
        self._fw_name = f"{{{{{task}}}}}"

    def run_task(self, fw_spec: dict[str, Any]) -> NoReturn:
        """Nothing runs it.

        Raises:
            TypeError: always.
        """
        raise TypeError(f"{self._fw_name} is planned here, and run by a worker that reads it from the database")


def _firework(
    step: Step, name: str, parents: Sequence[Firework] = (), spec: Mapping[str, Any] | None = None, **parameters: Any
) -> Firework:
    """One Firework of a step; `parameters` are those of its Firetask."""
    task = NamedTask(step.task, **parameters)
    return Firework(task, spec={**_spec(step), **(spec or {})}, name=name, parents=list(parents))


def _spec(step: Step) -> dict[str, Any]:
    """What FireWorks is told of a step."""
    spec: dict[str, Any] = {"_category": step.category, "_priority": step.priority, "_add_launchpad_and_fw_id": True}
    if step.hears_failures or step.is_recorded is not None:
        spec["_allow_fizzled_parents"] = step.hears_failures
    if step.is_recorded is not None:
        spec["_result_is_recorded"] = step.is_recorded
    return spec


def _workflow(fireworks: Sequence[Firework], name: str, campaign: str, number: int, stage: str, key: str) -> Workflow:
    return Workflow(list(fireworks), name=name, metadata=_metadata(campaign, number, stage, key))


def _metadata(campaign: str, number: int, stage: str, key: str) -> dict[str, Any]:
    """By which a workflow is found again; under its key it is added once."""
    return {"campaign": campaign, "round": number, "stage": stage, "gnome_key": key}
