"""Random structure searches: one small workflow a composition.

make crystals -> (pre-relax them) -> record: the lowest, or all, become candidates and are relaxed like any other
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fireworks import Firework, LaunchPad, Workflow

from gnome_torch.candidates.random_search.files import read_crystals
from gnome_torch.candidates.random_search.search import RandomCrystal
from gnome_torch.records import Prediction
from workflows.campaign.begin import advance
from workflows.campaign.campaign import PRIORITY, campaign_settings
from workflows.campaign.settings import CampaignSettings
from workflows.operate.control import add_workflows
from workflows.store import Store

FOLDER = "search"


def search_directory(settings: CampaignSettings, number: int) -> Path:
    """Where the crystals of a round's searches are."""
    return settings.root / f"round-{number}" / FOLDER


def launch_searches(store: Store, launchpad: LaunchPad, name: str, number: int) -> None:
    """Add a search for each composition that a round has selected, once."""
    settings = campaign_settings(store, name)
    with store.rounds.claim(name, number, "searches"):
        waiting = store.searches.of_round(name, number, "selected")
        add_workflows(
            store, launchpad, name, [_search_workflow(settings, number, document["formula"]) for document in waiting]
        )
    advance(store, launchpad, name)


def _search_workflow(settings: CampaignSettings, number: int, formula: str) -> Workflow:
    from workflows.firetasks.search import MakeCrystals, PrerelaxCrystals, RecordSearch

    which = {"campaign": settings.name, "round": number, "formula": formula}
    title = f"{settings.name}: search {formula}"

    def firework(task: Any, category: str, priority: str, label: str, parents: list[Firework]) -> Firework:
        spec = {
            "_category": category,
            "_priority": PRIORITY[priority],
            "_add_launchpad_and_fw_id": True,
            # whoever waits for it hears of the end, whatever it was
            "_allow_fizzled_parents": bool(parents),
            "_result_is_recorded": priority != "record",
        }
        return Firework(task, spec=spec, name=f"{title}: {label}", parents=parents)

    fireworks = [firework(MakeCrystals(**which), "generate", "relax", "make crystals", [])]
    if settings.compositional.search.prerelax is not None:
        fireworks.append(firework(PrerelaxCrystals(**which), "relax", "relax", "pre-relax", [fireworks[-1]]))
    fireworks.append(firework(RecordSearch(**which), "control", "record", "record", [fireworks[-1]]))
    metadata = {"campaign": settings.name, "round": number, "stage": "search"}
    return Workflow(
        fireworks, name=title, metadata={**metadata, "gnome_key": f"search/{settings.name}/{number}/{formula}"}
    )


def prediction_of(document: Mapping[str, Any]) -> tuple[Prediction, float]:
    """What was predicted of the composition of a search, and its distance to the hull, eV/atom."""
    fields = dict(document["prediction"])
    distance = float(fields.pop("e_above_hull"))
    return Prediction(**fields), distance


def crystals_of(settings: CampaignSettings, number: int, formula: str) -> list[RandomCrystal]:
    """The crystals that a search has made."""
    return read_crystals(search_directory(settings, number) / f"{formula}.extxyz")


def pre_relaxed_path(settings: CampaignSettings, number: int, formula: str) -> Path:
    return search_directory(settings, number) / f"{formula}.pre-relaxed.jsonl"
