"""What pages quote of the code is there: messages, fields."""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path

import pytest
from campaigns import run_all, small_campaign
from fireworks import LaunchPad
from pages import ROOT

from workflows.campaign import plan

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


def test_the_graph_of_the_loop_is_the_plans() -> None:
    """The page shows what the plan says of itself."""
    page = (ROOT / "docs" / "campaign.md").read_text()
    (graph,) = re.findall(r"^```text\n(start .+?)^```", page, re.MULTILINE | re.DOTALL)
    assert textwrap.indent(graph.rstrip(), "    ") in (plan.__doc__ or "")
    assert len(graph.splitlines()) > 8


def test_the_tree_fits_on_a_screen() -> None:
    page = (ROOT / "README.md").read_text()
    (tree,) = re.findall(r"^```text\n(gnome_torch/.+?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(tree.splitlines()) <= 25
    rooms = {p.name for p in (ROOT / "workflows").iterdir() if (p / "__init__.py").exists()}
    assert all(f"  {room}/" in tree or f" {room}/" in tree for room in rooms)


def test_a_campaign_writes_the_fields(launchpad: LaunchPad, tmp_path: Path) -> None:
    store = run_all(launchpad, small_campaign(tmp_path), tmp_path / "launches")
    assert len(FIELDS) == 5
    for collection, row in FIELDS:
        written = {key for document in store.database[collection].find({}) for key in document}
        assert set(re.findall(r"`(\w+)`", row)) <= written, collection
