"""my_launchpad.yaml, which may hold a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from workflows.store import StoreError
from workflows.store.connection import read_launchpad_file


@pytest.mark.parametrize(
    "text", ["host: h\npassword: hunter2\n", "host: mongodb://me:hunter2@h/\nuri_mode: true\n"], ids=["field", "uri"]
)
def test_passwords_are_for_their_owner(text: str, tmp_path: Path) -> None:
    path = tmp_path / "my_launchpad.yaml"
    path.write_text(text)
    for mode in (0o644, 0o640, 0o602):
        path.chmod(mode)
        with pytest.raises(StoreError, match=r"holds a password, and others may read it: chmod 600 .*yaml$"):
            read_launchpad_file(path)
    path.chmod(0o600)
    assert read_launchpad_file(path)["host"]
    path.write_text("host: h\npassword: null\n")
    path.chmod(0o644)
    assert read_launchpad_file(path)["host"] == "h"
