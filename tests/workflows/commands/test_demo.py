"""`gnome demo`, with a small campaign in the place of the quickstart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from campaigns import small_campaign

Gnome = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("own_database")


def campaign_file(directory: Path, **changes: object) -> Path:
    path = directory / "campaign.yaml"
    settings = small_campaign(directory, **changes).model_dump(mode="json")
    path.write_text(yaml.safe_dump({"spec": {"campaign": settings}}))
    return path


def test_a_campaign_from_one_end_to_the_other_and_once_more(
    gnome: Gnome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    command = ("demo", "--workers", 1, "--file", campaign_file(tmp_path))
    status, out, err = gnome(*command)
    assert (status, err) == (0, "")
    assert "campaign 'emt' added: Cu-Au" in out
    assert "Campaign 'emt', round by round" in out
    assert (tmp_path / "campaign" / "report" / "index.html").exists()
    assert "gnome stable --campaign emt" in out
    status, out, _ = gnome(*command)
    assert status == 0
    assert "campaign 'emt' is there already (finished): going on with it" in out
    campaign_file(tmp_path, rounds=2)
    status, _, err = gnome(*command)
    assert status == 1
    assert err.startswith("gnome: campaign 'emt' exists with other settings than ")
