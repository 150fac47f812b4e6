"""The processes that train one network together, under torchrun; alone otherwise."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Workers:
    """This process among those that train together.

    Attributes:
        rank: number of this one.
        count: how many there are.
    """

    rank: int = 0
    count: int = 1

    @classmethod
    def of_this_process(cls) -> Workers:
        """As torch.distributed has it, which `join` sets up."""
        if not dist.is_initialized():
            return cls()
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network with its gradients averaged over the processes."""
        return network if self.count == 1 else DistributedDataParallel(network)

    def share(self, n: int) -> tuple[slice, float]:
        """Which of n examples are this process's, and how they count: 0 for one that stands in where none is left."""
        mine = slice(self.rank, None, self.count)
        return (mine, 1.0) if self.rank < n else (slice(0, 1), 0.0)

    def sum(self, value: float) -> float:
        """Over all processes."""
        return self._reduced(value, dist.ReduceOp.SUM) if self.count > 1 else value

    def largest(self, value: int) -> int:
        """Over all processes."""
        return int(self._reduced(value, dist.ReduceOp.MAX)) if self.count > 1 else value

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            dist.barrier()

    def _reduced(self, value: float, operation: dist.ReduceOp.RedOpType) -> float:
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        tensor = torch.tensor(float(value), dtype=torch.float64, device=device)
        dist.all_reduce(tensor, operation)
        return float(tensor)


def join(device: str) -> str:
    """Meet the other processes, if torchrun has started several; returns the device of this one.

    Args:
        device: "cpu", "cuda" (each process takes a GPU of its own) or a certain GPU.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return device
    if torch.device(device).type == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        # one process builds the data set while the others wait: that may take hours
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=timedelta(hours=24))
    return device


def leave() -> None:
    """Part from the other processes."""
    if dist.is_initialized():
        dist.destroy_process_group()
