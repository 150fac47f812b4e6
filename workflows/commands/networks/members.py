"""Where the networks of an ensemble are, and what they run on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

DEVICE = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, …; auto takes the GPU if there is one")]


@dataclass(frozen=True)
class Members:
    """The networks that are wanted.

    Attributes:
        out: directory of the ensemble.
        count: how many.
        checkpoint_minutes: time between two checkpoints of one that is trained.
        overwrite: whether those of other data or settings are replaced.
    """

    out: Path
    count: int
    checkpoint_minutes: float
    overwrite: bool

    def directory(self, member: int) -> Path:
        """Where a network is."""
        return self.out / f"member-{member}"


def members_of(out: Path) -> dict[int, Path]:
    """Members that are there, finished or begun: number -> directory of the network."""
    names = [re.fullmatch(r"member-(\d+)(\.training)?", path.name) for path in out.glob("member-*")]
    return {int(name[1]): out / f"member-{name[1]}" for name in names if name}


def device_of(name: str) -> str:
    """The device of an option, which has to work.

    Raises:
        DataSetError: it does not.
    """
    import torch

    from gnome_torch.training.dataset import DataSetError

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise DataSetError(f"--device {name!r} cannot be used: {str(error).splitlines()[0]}") from error
    return name
