"""`gnome campaign`: what it adds and shows, and one clear line for every mistake."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from fireworks import Firework, LaunchPad, Workflow
from fireworks.core.rocket_launcher import launch_rocket

from workflows.firetasks.start import StartCampaign
from workflows.store import Store

Gnome = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("own_database")
GOOD: dict[str, Any] = {"name": "c", "elements": ["Al", "Ni"], "theory": {"name": "emt"}}


def campaign_file(directory: Path, **changes: Any) -> Path:
    path = directory / "c.yaml"
    path.write_text(yaml.safe_dump({"spec": {"campaign": {**GOOD, **changes}}}))
    return path


def test_start_adds_the_campaign_and_its_workflow(gnome: Gnome, launchpad: LaunchPad, tmp_path: Path) -> None:
    status, out, _ = gnome("campaign", "start", campaign_file(tmp_path))
    assert status == 0
    assert "campaign 'c' added" in out
    (workflow,) = launchpad.workflows.find({})
    assert workflow["metadata"]["campaign"] == "c"
    status, out, _ = gnome("campaign", "list")
    assert out.startswith("c  running  Al-Ni  emt-")
    status, out, _ = gnome("campaign", "status", "c")
    assert status == 0
    assert "campaign 'c': running" in out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"elements": ["Al", "Zz"]}, "elements: 'Zz' is not an element"),
        ({"colour": 1}, "unknown key 'colour'"),
        ({"elements": ["Al", "O"]}, "theory 'emt' has no O"),
    ],
)
def test_a_bad_file_is_one_line_and_writes_nothing(
    gnome: Gnome, launchpad: LaunchPad, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    status, out, err = gnome("campaign", "start", campaign_file(tmp_path, **changes))
    assert status == 1
    assert out == ""
    assert err.startswith("gnome: ")
    assert message in err
    assert len(err.splitlines()) == 1
    assert launchpad.workflows.count_documents({}) == 0
    assert Store(launchpad.db).database["campaigns"].count_documents({}) == 0
    assert not (tmp_path / "home").exists()


def test_a_name_already_taken(gnome: Gnome, launchpad: LaunchPad, tmp_path: Path) -> None:
    gnome("campaign", "start", campaign_file(tmp_path))
    status, _, err = gnome("campaign", "start", campaign_file(tmp_path, rounds=2))
    assert status == 1
    assert err.startswith("gnome: campaign 'c' exists already")
    assert launchpad.workflows.count_documents({}) == 1
    assert Store(launchpad.db).campaigns.get("c")["settings"]["rounds"] == 6


def test_no_such_campaign(gnome: Gnome) -> None:
    for command in (("campaign", "status", "x"), ("campaign", "run", "x"), ("stable", "--campaign", "x")):
        status, _, err = gnome(*command)
        assert status == 1
        assert err.startswith("gnome: no campaign 'x'")


def test_a_campaign_that_came_by_lpad_is_known(gnome: Gnome, launchpad: LaunchPad, tmp_path: Path) -> None:
    """`lpad add` writes a Firework and no campaign yet; one whose start failed says why."""
    for name, settings in (("good", GOOD), ("typo", {**GOOD, "colour": 1})):
        spec = {"campaign": {**settings, "name": name}, "_add_launchpad_and_fw_id": True}
        launchpad.add_wf(Firework(StartCampaign(), spec=spec, name=name))
    status, out, _ = gnome("campaign", "status", "good")
    assert status == 0
    assert "campaign 'good': running" in out
    status, _, err = gnome("campaign", "run", "typo")
    assert status == 1
    assert "unknown key 'colour'" in err
    launch_rocket(launchpad, fw_id=2, strm_lvl="WARNING")
    status, _, err = gnome("campaign", "status", "typo")
    assert status == 1
    assert (
        "campaign 'typo' could not start: workflows.ground.strict.SettingsError: campaign: unknown key 'colour'" in err
    )


def test_pausing_says_how_much_is_held_back(gnome: Gnome, launchpad: LaunchPad, tmp_path: Path) -> None:
    gnome("campaign", "start", campaign_file(tmp_path))
    for held in ("2 Fireworks", "1 Firework"):  # the start, which waits too, and one more
        spec = {"_category": "relax"}
        launchpad.add_wf(Workflow([Firework(StartCampaign(), spec=spec)], metadata={"campaign": "c"}))
        _, out, _ = gnome("campaign", "pause", "c")
        assert out.startswith(f"campaign 'c' is paused, {held} held back: ")
    assert gnome("campaign", "resume", "c")[1] == "campaign 'c' goes on, 3 Fireworks had been held back\n"
