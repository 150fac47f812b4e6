"""A training on its way: everything that is needed to go on after a kill as if nothing had happened. No pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from gnome_torch.files import whole_path
from gnome_torch.training.learner import Learner

CHECKPOINT = "checkpoint.safetensors"
FORMAT_VERSION = 1


@dataclass
class Progress:
    """Where a training stands; orders and volumes follow from the seed, the epoch and the step, so they are not kept.

    Attributes:
        epoch: the one under way, from 1.
        step: steps of it that are done.
        total: sum of the absolute errors of its examples so far, eV/atom.
        seconds: time spent, earlier runs included.
        rows: lines of epochs.csv.
    """

    epoch: int
    step: int
    total: float
    seconds: float
    rows: list[dict[str, float | None]]


def write_state(directory: Path, identity: Mapping[str, object], progress: Progress, learner: Learner) -> None:
    """Write one file, in place of the one before, when it is complete.

    Args:
        directory: of the training.
        identity: JSON content: data, configurations. Another training does not go on from this file.
        progress: where it stands.
        learner: the network, its optimizer with a state for every parameter that has had a gradient, its average.
    """
    tensors: dict[str, Tensor] = {}
    for part, network in _networks(learner).items():
        tensors |= {f"{part}.{name}": value for name, value in network.state_dict().items()}
    for number, state in learner.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": value for name, value in state.items()}
    content = json.dumps(
        {"format_version": FORMAT_VERSION, "identity": identity, "progress": vars(progress)}, allow_nan=False
    )
    copies = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    with whole_path(directory / CHECKPOINT) as partial:
        save_file(copies, partial, metadata={"state": content})


def _networks(learner: Learner) -> dict[str, nn.Module]:
    """Part of a checkpoint -> whose weights it holds."""
    return {"model": learner.model} | ({} if learner.average is None else {"average": learner.average})


def read_state(directory: Path, identity: Mapping[str, object], learner: Learner) -> Progress | None:
    """Put everything back, or nothing.

    Returns:
        Where the training stood; None if there is no file, or not of this training, or it cannot be read.
    """
    try:
        with safe_open(directory / CHECKPOINT, framework="pt") as file:
            content = _content(file)
            if content.get("identity") != json.loads(json.dumps(identity)):
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        progress = Progress(**content["progress"])
        states: dict[int, dict[str, Tensor]] = {}
        for name in [name for name in tensors if name.startswith("optimizer.")]:
            _, number, key = name.split(".", 2)
            states.setdefault(int(number), {})[key] = tensors.pop(name)
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}}
        for name, value in tensors.items():
            part, key = name.split(".", 1)
            parts[part][key] = value
        networks, optimizer = _networks(learner), learner.optimizer
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        if not all(_fits(network, parts[part]) for part, network in networks.items()) or not all(
            states.get(number, {}).keys() == {"step", "exp_avg", "exp_avg_sq"}
            and states[number]["exp_avg"].shape == states[number]["exp_avg_sq"].shape == parameter.shape
            for number, parameter in enumerate(parameters)
        ):
            return None
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError):
        return None
    for part, network in networks.items():
        network.load_state_dict(parts[part])
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
    return progress


def _fits(network: nn.Module, tensors: Mapping[str, Tensor]) -> bool:
    """Whether a network has just these tensors."""
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    return shapes == {name: value.shape for name, value in tensors.items()}


def read_identity(directory: Path) -> Mapping[str, object] | None:
    """Of which training a directory holds a checkpoint; None if there is none that can be read."""
    try:
        with safe_open(directory / CHECKPOINT, framework="pt") as file:
            identity: Mapping[str, object] = _content(file)["identity"]
            return identity
    except (OSError, SafetensorError, ValueError, KeyError):
        return None


def _content(file: Any) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((file.metadata() or {})["state"])
    return content if content.get("format_version") == FORMAT_VERSION else {}
