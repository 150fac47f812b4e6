"""A package as it is once it is installed: a directory on the path, with what pip writes of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def distribution(site: Path, package: str, group: str, entries: Mapping[str, str]) -> Path:
    """Write the metadata of a package with entry points; returns the directory, for its modules and for the path.

    Args:
        site: directory to make.
        package: its name.
        group: of its entry points.
        entries: name -> module:object.
    """
    info = site / f"{package}-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n")
    lines = [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))
    return site
