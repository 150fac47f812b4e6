"""Files that we write say so, and nothing else is ever written over.

The last line of each holds a hash of all that is above it: a file that somebody has changed is theirs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from gnome_torch.files import write_whole
from workflows.ground.strict import SettingsError

MARK = "# written by 'gnome launchers write'; change the site file instead. sha256 "


def write_owned(directory: Path, files: Mapping[str, str]) -> list[str]:
    """Write files, none of them if one is not ours, and return the paths of those that changed.

    Args:
        directory: made if need be.
        files: text by the path below the directory.

    Raises:
        SettingsError: a file is there that somebody else has written or changed, or cannot be written.
    """
    sealed = {name: _seal(text) for name, text in files.items()}
    try:
        foreign = [name for name in files if not _is_ours(directory / name)]
        if foreign:
            reason = "not written by 'gnome launchers write', or changed since: move it away, or take another --out"
            raise SettingsError("\n".join(f"{directory / name}: {reason}" for name in foreign))
        changed = [name for name, text in sealed.items() if _content(directory / name) != text.encode()]
        for name in changed:
            write_whole(directory / name, sealed[name])
    except OSError as error:
        raise SettingsError(f"{error.filename or directory}: cannot be written: {error.strerror}") from None
    return changed


def _seal(text: str) -> str:
    return f"{text}{MARK}{hashlib.sha256(text.encode()).hexdigest()}\n"


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _is_ours(path: Path) -> bool:
    if not path.exists():
        return not path.is_symlink()
    text = path.read_bytes().decode(errors="replace")
    return text == _seal(text.rpartition(MARK)[0])
