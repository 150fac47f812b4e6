"""What other packages add to this one: entry points, found by group and name, and loaded when they are asked for."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any


class PluginError(ValueError):
    """An entry point that cannot be used; the message is one line and names the package."""


@cache
def registered(group: str) -> tuple[EntryPoint, ...]:
    """The entry points of a group; looked up once in each process."""
    return tuple(entry_points(group=group))


def plugin(group: str, name: str, taken: bool = False) -> Any:
    """What a package registers under a name, loaded; None if no package does.

    Args:
        group: of entry points.
        name: in the group.
        taken: whether gnome-torch has something of this name itself, which no package may replace.

    Raises:
        PluginError: the name is taken, or what it stands for cannot be loaded.
    """
    found = [entry for entry in registered(group) if entry.name == name]
    if not found:
        return None
    packages = " and ".join(sorted(_package(entry) for entry in found))
    if taken or len(found) > 1:
        raise PluginError(
            f"{group}: the name {name!r} is taken: {packages}{' and gnome-torch' if taken else ''} have it: "
            "uninstall one of the packages"
        )
    (entry,) = found
    try:
        return entry.load()
    except Exception as error:  # importing a package runs whatever is in it
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise PluginError(f"{group}: {name!r} of {packages} ({entry.value}) cannot be loaded: {reason}") from error


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "?"
