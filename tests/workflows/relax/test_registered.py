"""A theory of another package: the one that docs/extending.md shows, installed as its pyproject.toml says."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from campaigns import run_all, small_campaign
from fireworks import LaunchPad
from pages import ROOT, blocks
from plugins import distribution

from gnome_torch.plugins import registered
from workflows.campaign.settings import CampaignSettings, SettingsError, parse_settings
from workflows.relax import theory
from workflows.relax.potentials import EmtTheory
from workflows.relax.registry import GROUP

PAGE = {block.file: block.text for block in blocks(ROOT / "docs" / "extending.md") if block.file}
Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Make the page's module a package that is installed, with some entry points: by default those of the page."""
    shown = tomllib.loads(PAGE["pyproject.toml"])["project"]["entry-points"][GROUP]

    def install(package: str = "my-theories", entries: dict[str, str] = shown) -> Path:
        site = distribution(tmp_path / package, package, GROUP, entries)
        (site / "morse.py").write_text(PAGE["morse.py"])
        monkeypatch.syspath_prepend(str(site))
        registered.cache_clear()
        return site

    yield install
    sys.modules.pop("morse", None)
    registered.cache_clear()


def campaign(name: str, **settings: float) -> CampaignSettings:
    return parse_settings({"name": "c", "elements": ["Cu", "Au"], "theory": {"name": name, **settings}}, "x.yaml")


def test_a_campaign_runs_on_it(install: Install, launchpad: LaunchPad, tmp_path: Path) -> None:
    """Named wherever a theory can be: relaxed roughly first, then at it, and the stable ones at another depth again."""
    install()
    settings = small_campaign(
        tmp_path,
        theory={"name": "morse", "depth": 0.31},
        prerelax={"name": "morse", "fmax": 0.2},
        recheck={"theory": {"name": "morse", "depth": 0.5}},
    )
    assert CampaignSettings.model_validate(settings.model_dump(mode="json")) == settings
    level = theory(settings.theory)
    assert level.id.startswith("morse-")
    assert level.id != theory(campaign("morse").theory).id
    store = run_all(launchpad, settings, tmp_path / "launches")
    assert store.campaigns.get("emt")["state"] == "finished"
    relaxed = [c for number in (0, 1) for c in store.candidates.of_round("emt", number, "relaxed")]
    assert len(relaxed) == sum(store.candidates.count("emt", number) for number in (0, 1)) > 3
    assert {entry["theory"] for entry in store.entries.documents_of([c["entry"] for c in relaxed]).values()} == {
        level.id
    }
    assert store.rechecks.tally("emt")["relaxed"] > 0


def test_its_settings_are_held_to_what_it_says(install: Install) -> None:
    install()
    with pytest.raises(SettingsError, match=r"^x\.yaml: theory\.depth = -1: Input should be greater than 0$"):
        campaign("morse", depth=-1)
    with pytest.raises(
        SettingsError, match=r"theory\.name = 'mors': there is no theory of this name: .*'emt'.*'morse'$"
    ):
        campaign("mors")


def test_a_package_may_import_this_one_first(install: Install) -> None:
    """It imports what it builds on, which must not import it in turn."""
    site = install()
    code = (
        "import morse; from workflows.campaign.settings import parse_settings; from workflows.relax import theory; "
        "data = {'name': 'c', 'elements': ['Cu', 'Au'], 'theory': {'name': 'morse'}}; "
        "print(theory(parse_settings(data, '').theory).id)"
    )
    environment = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == theory(campaign("morse").theory).id, done.stderr


@pytest.mark.parametrize(
    ("entries", "name", "message"),
    [
        (
            {"lost": "no_such_module:X"},
            "lost",
            r"'lost' of others \(no_such_module:X\) cannot be loaded: ModuleNotFound",
        ),
        ({"lost": "morse:X"}, "lost", r"'lost' of others \(morse:X\) cannot be loaded: AttributeError: module 'morse'"),
        ({"half": "morse:MorseTheory"}, "half", "'half' is not a pair"),
        ({"other": "morse:MORSE"}, "other", "'other' is not a pair: settings .* with this name by default"),
        ({"emt": "morse:MORSE"}, "emt", "the name 'emt' is taken: others and gnome-torch have it"),
        ({"morse": "morse:MORSE"}, "morse", "the name 'morse' is taken: my-theories and others have it"),
    ],
)
def test_what_cannot_be_used_is_one_line(install: Install, entries: dict[str, str], name: str, message: str) -> None:
    install()
    install("others", entries)
    with pytest.raises(SettingsError, match=message) as caught:
        campaign(name)
    assert "\n" not in str(caught.value)
    assert campaign("forcefield").theory.name == "forcefield"  # of no concern to others


def test_settings_that_no_package_registers() -> None:
    class Unknown(EmtTheory):
        """EMT under a strange name."""

    with pytest.raises(SettingsError, match="theory 'emt': no package registers Unknown under this name"):
        theory(Unknown())
