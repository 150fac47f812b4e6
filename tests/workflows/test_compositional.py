"""The compositional pipeline as a campaign: formulas, networks, random searches, relaxations, on EMT."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fireworks import LaunchPad
from fireworks.core.rocket_launcher import rapidfire

from workflows.campaign import start_workflow
from workflows.launch import fizzled
from workflows.results import round_rows
from workflows.settings import CampaignSettings, parse_settings
from workflows.store import Store

EMT = {"name": "emt", "fmax": 0.05, "max_steps": 200}


def campaign(directory: Path, **compositional: Any) -> CampaignSettings:
    """Two metals; nothing known but the elements and a few crystals."""
    search = {"structures": 6, "formula_units": [1, 2], "max_sites": 8, "min_runs": 3}
    search |= compositional.pop("search", {})
    settings: dict[str, Any] = {
        "name": "formulas",
        "elements": ["Cu", "Au"],
        "theory": EMT,
        "seeds": {"limit": 4, "max_sites": 4, "references": 1},
        "pipelines": ["compositional"],
        "compositional": {
            "max_amount": 3,
            "max_atoms": 4,
            "threshold": 5.0,
            "max_compositions": 2,
            **compositional,
            "search": search,
        },
        "composition_network": {"members": 2, "hidden": [8, 8], "epochs": 4, "batch_size": 8},
        "rounds": 1,
        "directory": str(directory / "campaign"),
    }
    return parse_settings(settings, "test")


def run_all(launchpad: LaunchPad, settings: CampaignSettings, directory: Path) -> Store:
    """What `lpad add` and `rlaunch rapidfire` do, in this process."""
    launchpad.add_wf(start_workflow(settings))
    directory.mkdir(parents=True, exist_ok=True)
    here = os.getcwd()
    try:
        rapidfire(launchpad, m_dir=str(directory), strm_lvl="WARNING")
    finally:
        os.chdir(here)
    return Store(launchpad.db)


def test_a_campaign_of_formulas(launchpad: LaunchPad, tmp_path: Path) -> None:
    settings = campaign(tmp_path)
    store = run_all(launchpad, settings, tmp_path / "launches")
    assert fizzled(launchpad, "formulas") == {}
    assert store.campaign("formulas")["state"] == "finished"
    row = round_rows(store, "formulas")[1]
    print(row)
    for s in store.searches.find():
        print(s)
