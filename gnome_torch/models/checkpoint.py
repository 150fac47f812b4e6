"""A saved model: one directory with its configuration, weights and metrics. No pickle, no half-written directory."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from gnome_torch import __version__
from gnome_torch.files import whole_directory
from gnome_torch.models.composition import CompositionNetwork, CompositionNetworkConfig
from gnome_torch.models.network import Network, NetworkConfig
from gnome_torch.models.structure import StructureNetwork, StructureNetworkConfig
from gnome_torch.plugins import PluginError, plugin

FORMAT_VERSION = 1
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "weights.safetensors"
METRICS_FILE = "metrics.json"

GROUP = "gnome_torch.networks"
"""Entry points of other packages: the network's name = the network, whose module adds it to `ARCHITECTURES`."""

# a new network is added here: name -> network, its configuration
ARCHITECTURES: dict[str, tuple[type[Network], type[NetworkConfig]]] = {
    "StructureNetwork": (StructureNetwork, StructureNetworkConfig),
    "CompositionNetwork": (CompositionNetwork, CompositionNetworkConfig),
}


def new_network(config: NetworkConfig) -> Network:
    """The network of a configuration, with random weights from torch's generator."""
    return next(network(config) for network, kind in ARCHITECTURES.values() if type(config) is kind)


class CheckpointError(Exception):
    """A model directory that cannot be read; the message names it and says what to do."""


def write_model(folder: Path, model: Network, metrics: Mapping[str, object]) -> None:
    """Write the three files of a model into a folder that exists; `save_model` makes the folder safely.

    Args:
        folder: where.
        model: a network of `ARCHITECTURES`, on any device.
        metrics: JSON content, finite numbers only.
    """
    name = type(model).__name__
    if name not in ARCHITECTURES:
        raise ValueError(f"{name} is not one of the networks that can be saved: {', '.join(sorted(ARCHITECTURES))}")
    config = {
        "format_version": FORMAT_VERSION,
        "code_version": __version__,
        "class": name,
        "config": dataclasses.asdict(cast(Any, model.config)),
    }
    weights = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    save_file(weights, folder / WEIGHTS_FILE)
    (folder / METRICS_FILE).write_text(json.dumps(dict(metrics), indent=2, allow_nan=False) + "\n")
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2, allow_nan=False) + "\n")


def save_model(directory: str | Path, model: Network, metrics: Mapping[str, object]) -> None:
    """Save a model; what was in the directory before is replaced as a whole.

    Args:
        directory: the model's own directory.
        model: a network of `ARCHITECTURES`.
        metrics: JSON content, finite numbers only.
    """
    with whole_directory(Path(directory)) as folder:
        write_model(folder, model, metrics)


def load_model(directory: str | Path) -> Network:
    """Read a model, on the CPU and in evaluation mode.

    Args:
        directory: a directory of `save_model`.

    Raises:
        CheckpointError: if it is missing, broken or of another format.
    """
    directory = Path(directory)
    content = _read_json(directory, CONFIG_FILE)
    version = content.get("format_version")
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{directory}: model of format {version}, this code (gnome-torch {__version__}) reads format "
            f"{FORMAT_VERSION}; load it with gnome-torch {content.get('code_version')} or train it again"
        )
    name = content.get("class")
    if name not in ARCHITECTURES:
        try:
            plugin(GROUP, str(name))
        except PluginError as error:
            raise CheckpointError(f"{directory}: {error}") from error
    if name not in ARCHITECTURES:
        raise CheckpointError(
            f"{directory}: unknown network {name!r}; this code has {', '.join(sorted(ARCHITECTURES))}: "
            "update gnome-torch, install the package that has it, or train again"
        )
    network, config = ARCHITECTURES[name]
    try:
        model = network(config(**content["config"]))
        model.load_state_dict(load_file(directory / WEIGHTS_FILE))
    except (OSError, SafetensorError, RuntimeError, TypeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{directory}: broken model ({reason[:200]}); delete it and train again") from error
    return model.eval()


def load_metrics(directory: str | Path) -> dict[str, Any]:
    """Metrics saved with a model.

    Raises:
        CheckpointError: if they are missing or broken.
    """
    return _read_json(Path(directory), METRICS_FILE)


def _read_json(directory: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads((directory / name).read_text())
    except FileNotFoundError as error:
        raise CheckpointError(f"{directory}: no {name} there, so no model; check the path or train one") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{directory}: {name} cannot be read ({error}); delete it and train again") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{directory}: {name} is no JSON object; delete it and train again")
    return content
