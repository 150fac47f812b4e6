"""What pages quote of the code is there: messages, fields."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from campaigns import run_all, small_campaign
from fireworks import LaunchPad
from pages import ROOT

SOURCE = "".join(p.read_text() for folder in ("workflows", "gnome_torch") for p in (ROOT / folder).rglob("*.py"))
MESSAGES = re.findall(r"^\| `(.+?)` \|", (ROOT / "docs" / "faq.md").read_text(), re.MULTILINE)
FIELDS = re.findall(r"^\| `(\w+)` \| [^|]+ \| (.+) \|$", (ROOT / "docs" / "data_model.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("message", MESSAGES)
def test_messages_are_in_the_code(message: str) -> None:
    assert message in SOURCE


def test_a_campaign_writes_the_fields(launchpad: LaunchPad, tmp_path: Path) -> None:
    store = run_all(launchpad, small_campaign(tmp_path), tmp_path / "launches")
    assert len(FIELDS) == 5
    for collection, row in FIELDS:
        written = {key for document in store.database[collection].find({}) for key in document}
        assert set(re.findall(r"`(\w+)`", row)) <= written, collection
