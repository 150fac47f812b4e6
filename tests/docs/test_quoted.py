"""What pages quote of the code is there: messages, fields."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from campaigns import run_all, small_campaign
from fireworks import LaunchPad
from pages import ROOT

PACKAGES = ("gnome_torch", "workflows", "launchers")
MESSAGES = re.findall(r"^\| `(.+?)` \|", (ROOT / "docs" / "faq.md").read_text(), re.MULTILINE)
FIELDS = re.findall(r"^\| `(\w+)` \| [^|]+ \| (.+) \|$", (ROOT / "docs" / "data_model.md").read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Every text in the code, with "…" in the place of what is filled in."""
    nodes = [
        node
        for package in PACKAGES
        for p in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(p.read_text()))
    ]
    plain = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    filled = [
        "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        for node in nodes
        if isinstance(node, ast.JoinedStr)
    ]
    return plain + filled


def test_there_are_messages() -> None:
    assert len(MESSAGES) == len(set(MESSAGES)) >= 40


@pytest.mark.parametrize("message", MESSAGES)
def test_messages_are_in_the_code(message: str, texts: list[str]) -> None:
    assert any(message in text for text in texts)


def test_a_campaign_writes_the_fields(launchpad: LaunchPad, tmp_path: Path) -> None:
    store = run_all(launchpad, small_campaign(tmp_path), tmp_path / "launches")
    assert len(FIELDS) == 5
    for collection, row in FIELDS:
        written = {key for document in store.database[collection].find({}) for key in document}
        assert set(re.findall(r"`(\w+)`", row)) <= written, collection
