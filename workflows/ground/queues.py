"""What a site says about its queues: one SLURM job for each kind of work.

Everything in here is written into batch scripts, so names are held to the characters that mean nothing to a shell.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from workflows.ground.strict import Strict

Category = Literal["control", "generate", "screen", "relax", "train"]
CATEGORIES: tuple[Category, ...] = ("control", "generate", "screen", "relax", "train")
"""Kinds of work, as Fireworks name them in `_category`."""

SIGNAL_MARGIN_S = 60
"""SLURM may send the signal before a walltime by this much too early."""


def _only(characters: str, words: str) -> AfterValidator:
    pattern = re.compile(f"[{characters}]+")

    def check(text: str) -> str:
        if not pattern.fullmatch(text) or text.startswith("-"):
            raise ValueError(f"{text!r} goes into a batch script: {words} only")
        return text

    return AfterValidator(check)


def _one_line(text: str) -> str:
    if "\n" in text or "\r" in text:
        raise ValueError(f"{text!r} holds a line break: write it as two items")
    if "$$" in text:
        raise ValueError(f"{text!r} holds $$, which FireWorks takes for a placeholder of its own: write $BASHPID")
    return text


def _sbatch_line(text: str) -> str:
    if not re.match(r"#SBATCH -\S", text):
        raise ValueError(f"{text!r} is not a line for sbatch: write '#SBATCH --option=value', in quotes")
    return text


def seconds(walltime: str) -> int:
    """Length of a walltime, HH:MM:SS or D-HH:MM:SS.

    Raises:
        ValueError: it is neither, or nothing.
    """
    found = re.fullmatch(r"(?:(\d+)-)?(\d{1,3}):([0-5]\d):([0-5]\d)", walltime)
    days, hours, minutes, rest = (int(part or 0) for part in found.groups()) if found else (0, 0, 0, 0)
    length = ((days * 24 + hours) * 60 + minutes) * 60 + rest
    if not length:
        raise ValueError(f"{walltime!r} is not a walltime: HH:MM:SS or D-HH:MM:SS, such as 24:00:00")
    return length


def _walltime(text: str) -> str:
    seconds(text)
    return text


Word = Annotated[str, _only(r"\w.,:@+/-", "letters, digits and _ . , : @ + / -")]
Constraint = Annotated[str, _only(r"\w.,:@+/&|*=()\[\]-", "letters, digits and _ . , : @ + / - & | * = ( ) [ ]")]
Gpus = Annotated[str, BeforeValidator(str), _only(r"\w.:-", "a number, or a kind and a number such as a100:2,")]
Memory = Annotated[str, BeforeValidator(str), _only("0-9KMGT", "megabytes, or a number with K, M, G or T")]
Walltime = Annotated[str, AfterValidator(_walltime)]
Line = Annotated[str, AfterValidator(_one_line)]
SbatchLine = Annotated[str, AfterValidator(_one_line), AfterValidator(_sbatch_line)]


class Queue(Strict):
    """The jobs of one kind of work."""

    partition: Word | None = Field(None, description="empty: `slurm.partition`")
    walltime: Walltime = Field("04:00:00", description="HH:MM:SS or D-HH:MM:SS")
    nodes: int = Field(1, ge=1, description="nodes of a job")
    tasks: int | None = Field(None, ge=1, description="MPI processes of a job; empty: 1, for relax `vasp.cores`")
    cores: int = Field(1, ge=1, description="cores of each task")
    memory: Memory | None = Field(None, description="of each node, such as 64G; empty: the partition's default")
    gpus: Gpus | None = Field(None, description="of a job (--gpus), such as 1 or a100:2")
    gres: Word | None = Field(None, description="of each node (--gres), such as gpu:1, where --gpus is not available")
    qos: Word | None = Field(None, description="quality of service; empty: `slurm.qos`")
    constraint: Constraint | None = Field(None, description="features that a node must have")
    modules: tuple[Word, ...] = Field((), description="loaded before the work, for relax with those of `vasp.modules`")
    extra: tuple[SbatchLine, ...] = Field((), description="further lines for sbatch: '#SBATCH --exclusive'")
    jobs: int = Field(10, ge=1, description="jobs that wait or run at once, at most")
    pack: int = Field(1, ge=1, le=256, description="workers that share a job; 1: one Firework a job")
    warning_s: int = Field(120, ge=0, description="seconds before the walltime at which a job gets USR1; 0: never")

    @model_validator(mode="after")
    def _time_is_left(self) -> Queue:
        if self.last_start_s <= 0:
            raise ValueError(
                f"walltime {self.walltime} leaves no time to work: warning_s {self.warning_s} and {SIGNAL_MARGIN_S} s, "
                "by which SLURM may be early, come off it"
            )
        return self

    @property
    def last_start_s(self) -> int:
        """Until when after a job's start its workers take new work: what starts later would not be warned."""
        return seconds(self.walltime) - self.warning_s - (SIGNAL_MARGIN_S if self.warning_s else 0)


class ControlQueue(Queue):
    """Bookkeeping: seconds each, many of them, so workers share a job and take what comes."""

    walltime: Walltime = "01:00:00"
    cores: int = Field(2, ge=1)
    jobs: int = Field(2, ge=1)
    pack: int = Field(2, ge=1, le=256)


class RelaxQueue(Queue):
    """Relaxations: long, and a node each."""

    walltime: Walltime = "24:00:00"
    jobs: int = Field(100, ge=1)


class CoresQueue(Queue):
    """Candidates, and networks on them: several cores, each job."""

    cores: int = Field(4, ge=1)


class TrainQueue(CoresQueue):
    """Networks: one member of an ensemble each, on a GPU where `gpus` says so."""

    walltime: Walltime = "24:00:00"


class Slurm(Strict):
    """How SLURM is asked for nodes."""

    account: Word | None = Field(None, description="account that pays")
    partition: Word | None = Field(None, description="of every kind of work that names none; empty: SLURM's default")
    qos: Word | None = Field(None, description="of every kind of work that names none")
    shell: tuple[Line, ...] = Field((), description="lines that a job runs first: export, module use, conda activate")
    bin: Path | None = Field(None, description="where a node finds python and rlaunch; empty: as here")
    control: ControlQueue = Field(ControlQueue(), description="bookkeeping")
    generate: CoresQueue = Field(CoresQueue(), description="candidates")
    screen: CoresQueue = Field(CoresQueue(), description="networks on candidates, on a GPU where `gpus` says so")
    relax: RelaxQueue = Field(RelaxQueue(), description="relaxations")
    train: TrainQueue = Field(TrainQueue(), description="networks")

    def queue(self, category: Category) -> Queue:
        """The settings of one kind of work."""
        found: Queue = getattr(self, category)
        return found
