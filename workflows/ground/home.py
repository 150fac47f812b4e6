"""Where gnome keeps its own data."""

from __future__ import annotations

import os
from pathlib import Path


def data_home() -> Path:
    """$GNOME_HOME, else `gnome-torch` in the user's data directory ($XDG_DATA_HOME, or ~/.local/share)."""
    if home := os.environ.get("GNOME_HOME"):
        return Path(home).expanduser().absolute()
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "gnome-torch"
