"""Campaign settings: every problem is one line that names the file, the key and the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from fireworks import Workflow

from workflows.campaign.plan import start_workflow
from workflows.campaign.settings import START_TASK, CampaignSettings, SettingsError, parse_settings, read_campaign_file

EXAMPLES = sorted((Path(__file__).parents[3] / "workflows" / "examples").glob("*.yaml"))
GOOD: dict[str, Any] = {"name": "c", "elements": ["Al", "Ni"], "theory": {"name": "emt"}}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_valid_and_is_a_workflow_of_the_same_settings(example: Path) -> None:
    """What `lpad add` reads from the file and what `gnome campaign start` adds are one Firework."""
    settings = read_campaign_file(example)
    by_lpad = Workflow.from_file(str(example)).fws[0]
    by_gnome = start_workflow(settings).fws[0]
    assert [task.fw_name for task in by_lpad.tasks] == [task.fw_name for task in by_gnome.tasks] == [START_TASK]
    assert parse_settings(by_lpad.spec["campaign"], "") == parse_settings(by_gnome.spec["campaign"], "") == settings
    for key in ("_category", "_priority", "_add_launchpad_and_fw_id"):
        assert by_lpad.spec[key] == by_gnome.spec[key]


def test_settings_survive_the_database() -> None:
    settings = CampaignSettings.model_validate(GOOD)
    assert CampaignSettings.model_validate(settings.model_dump(mode="json")) == settings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"elements": ["Al", "Xy"]}, "x.yaml: elements: 'Xy' is not an element"),
        ({"elements": ["Al", "Al"]}, "x.yaml: elements: an element is named twice"),
        ({"elements": ["Al"]}, "x.yaml: elements: a campaign needs at least two"),
        ({"elements": ["Al", "O"]}, "x.yaml: theory 'emt' has no O"),
        ({"elements": ["Al", "Xe"], "theory": {"name": "forcefield"}}, "x.yaml: elements Xe are refused by the policy"),
        ({"elements": ["Al", "Pu"], "theory": {"name": "forcefield"}}, "x.yaml: elements Pu are refused by the policy"),
        ({"policy": {"exclude": ["Ni"]}}, "x.yaml: elements Ni are refused by the policy"),
        ({"colour": "red"}, "x.yaml: unknown key 'colour'"),
        (
            {"structural": {"shares": {"library": 0, "entries": 0, "saps": 0, "others": 0}}},
            "x.yaml: structural.shares: all are 0: give one of them a share",
        ),
        ({"structural": {"shares": {"saps": -1}}}, "x.yaml: structural.shares.saps = -1"),
        ({"structural": {"shares": {"random": 1}}}, "x.yaml: unknown key 'structural.shares.random'"),
        ({"network": {"epoch": 3}}, "x.yaml: unknown key 'network.epoch'"),
        ({"rounds": 0}, "x.yaml: rounds = 0: Input should be greater than or equal to 1"),
        ({"rounds": "many"}, "x.yaml: rounds = 'many'"),
        ({"name": "../etc"}, "x.yaml: name = '../etc'"),
        ({"theory": {"name": "vasp"}}, "x.yaml: theory.name = 'vasp': there is no theory of this name: choose one of"),
        ({"theory": {"fmax": 0.1}}, "x.yaml: key 'theory.name' is missing"),
        ({"elements": "Cu-Au"}, "x.yaml: elements = 'Cu-Au': write a list, such as [Cu, Au]"),
        ({"name": "my campaign"}, "x.yaml: name = 'my campaign': letters, digits, '.', '_' and '-' only"),
        (
            {"theory": {"name": "forcefield", "model": "mace"}},
            "x.yaml: theory: model 'mace': say",
        ),
        ({"retrain": {"fraction": 1.5}}, "x.yaml: retrain.fraction = 1.5"),
        ({"seeds": {"source": "some.cif"}}, "x.yaml: seeds.source: 'some.cif' is a relative path"),
        ({"directory": "here"}, "x.yaml: directory: 'here' is a relative path"),
        ({"name": None}, "x.yaml: name = None"),
    ],
)
def test_problems_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings({**GOOD, **change}, "x.yaml")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_two_problems_are_two_lines() -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings({**GOOD, "rounds": 0, "colour": "red"}, "x.yaml")
    assert len(str(caught.value).splitlines()) == 2


def test_files_that_are_no_campaigns(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_campaign_file(tmp_path / "none.yaml")
    file = tmp_path / "c.yaml"
    file.write_bytes(b"\xdb\x00\x01")
    with pytest.raises(SettingsError, match="not a YAML file"):
        read_campaign_file(file)
    file.write_text("a: [1,")
    with pytest.raises(SettingsError, match="not a YAML file"):
        read_campaign_file(file)
    file.write_text(yaml.safe_dump(GOOD))
    with pytest.raises(SettingsError, match="no 'spec: campaign:'"):
        read_campaign_file(file)


def test_relative_paths_are_taken_from_the_files_own_directory(tmp_path: Path) -> None:
    """Every Firework runs in a directory of its own: a path must mean the same in all of them."""
    file = tmp_path / "c.yaml"
    data = {**GOOD, "directory": "files", "seeds": {"source": "known.cif"}}
    file.write_text(yaml.safe_dump({"spec": {"campaign": data}}))
    settings = read_campaign_file(file)
    assert settings.root == tmp_path / "files"
    assert settings.seeds.source == str(tmp_path / "known.cif")


def test_allowed_when_asked_for() -> None:
    data = {**GOOD, "elements": ["Al", "Pu"], "theory": {"name": "forcefield"}, "policy": {"radioactive": True}}
    assert parse_settings(data, "x").elements == ("Al", "Pu")


def test_a_first_look_is_at_the_volumes_of_the_full_prediction() -> None:
    screening = parse_settings({**GOOD, "screening": {"cascade": {}}}, "x").screening
    assert screening.cascade is not None
    assert screening.cascade.volumes == screening.volumes
