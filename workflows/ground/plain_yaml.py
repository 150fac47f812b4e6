"""YAML that a person wrote: small, and no larger when its aliases are written out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

MOST_BYTES = 1 << 20
DEEPEST = 50
MOST_VALUES = 100_000
"""Values with all aliases written out; a campaign has some dozens, a few lines of aliases of aliases billions."""


class YamlError(ValueError):
    """YAML that no person wrote; one line that says why."""


def plain_yaml(path: Path) -> Any:
    """The content of a file as plain data.

    Raises:
        YamlError: it is too large, or nested too deeply.
        yaml.YAMLError: it is not YAML.
        OSError, UnicodeDecodeError: it cannot be read.
    """
    with path.open("rb") as file:
        raw = file.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise YamlError(f"more than {MOST_BYTES >> 20} MB")
    text = raw.decode()
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise YamlError(f"more than {DEEPEST} levels, one inside the other")
    node = yaml.compose(text, yaml.SafeLoader)
    if node is not None and _values(node, {}) > MOST_VALUES:
        raise YamlError(f"more than {MOST_VALUES} values once its aliases are written out")
    return yaml.safe_load(text)


def _values(node: yaml.Node, known: dict[int, int]) -> int:
    """Values below a node, those of an alias as often as it stands there."""
    if id(node) not in known:
        known[id(node)] = MOST_VALUES  # of an alias of what it stands in, which would never end
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        known[id(node)] = 1 + (0 if isinstance(node, yaml.ScalarNode) else sum(_values(part, known) for part in parts))
    return known[id(node)]
