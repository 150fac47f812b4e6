"""Random structure searches: one small workflow a composition.

make crystals -> (pre-relax them) -> record: the lowest, or all, become candidates and are relaxed like any other
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fireworks import Firework, LaunchPad, Workflow
from pymatgen.core import Structure

from gnome_torch.candidates.random_search.files import read_crystals
from gnome_torch.candidates.random_search.search import RandomCrystal
from gnome_torch.records import Candidate, Lineage, Prediction, Relaxation, structure_key
from gnome_torch.similarity import Distinct
from workflows.campaign.begin import advance
from workflows.campaign.campaign import PRIORITY, campaign_settings
from workflows.campaign.settings import CampaignSettings
from workflows.operate.control import add_workflows
from workflows.store import Store

FOLDER = "search"


@dataclass(frozen=True)
class PreRelaxed:
    """A random crystal after a cheap relaxation.

    Attributes:
        attempt: number of the crystal in its search.
        relaxation: what came of it; None for a failure.
        reason: of the failure.
    """

    attempt: int
    relaxation: Relaxation | None
    reason: str = ""


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


# ---- pre-relaxations on disk: a line each, so that a killed Firework goes on where it was


def write_pre_relaxed(result: PreRelaxed, path: Path) -> None:
    """Add one line."""
    line: dict[str, Any] = {"attempt": result.attempt, "reason": result.reason}
    if result.relaxation is not None:
        found = result.relaxation
        line |= {
            "structure": found.structure.as_dict(),
            "energy": found.energy,
            "converged": found.converged,
            "steps": found.steps,
        }
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def read_pre_relaxed(path: Path) -> list[PreRelaxed]:
    """The lines that are there; a torn one, of a killed process, is cut off."""
    if not path.exists():
        return []
    found: dict[int, PreRelaxed] = {}
    whole = 0
    with path.open("rb") as file:
        for raw in file:
            try:
                line = json.loads(raw)
            except ValueError:
                break
            if not raw.endswith(b"\n"):
                break
            whole += len(raw)
            relaxation = None
            if "structure" in line:
                structure = Structure.from_dict(line["structure"])
                relaxation = Relaxation(structure, line["energy"], line["converged"], line["steps"])
            found[line["attempt"]] = PreRelaxed(line["attempt"], relaxation, line["reason"])
    if whole < path.stat().st_size:
        with path.open("r+b") as file:
            file.truncate(whole)
    return list(found.values())


# ---- from crystals to candidates


def chosen_crystals(
    crystals: Sequence[RandomCrystal], pre_relaxed: Sequence[PreRelaxed] | None, limit: int
) -> list[tuple[RandomCrystal, Structure]]:
    """The crystals that are relaxed at the campaign's theory, each with what its relaxation starts from.

    Args:
        crystals: of the search.
        pre_relaxed: what became of them; None where nothing is pre-relaxed, and all go on.
        limit: how many different ones go on after a pre-relaxation, the lowest in energy per atom.
    """
    if pre_relaxed is None:
        return [(crystal, crystal.structure) for crystal in crystals]
    by_attempt = {crystal.attempt: crystal for crystal in crystals}
    relaxed = [(some.attempt, some.relaxation) for some in pre_relaxed if some.relaxation is not None]
    ranked = sorted(relaxed, key=lambda row: (row[1].energy / len(row[1].structure), row[0]))
    distinct = Distinct()
    chosen: list[tuple[RandomCrystal, Structure]] = []
    for attempt, relaxation in ranked:
        if len(chosen) == limit:
            break
        if distinct.add(relaxation.structure):
            chosen.append((by_attempt[attempt], relaxation.structure))
    return chosen


def candidate_of(crystal: RandomCrystal, structure: Structure, seed: int, pre_relaxed_by: str | None) -> Candidate:
    """A crystal of a search as a candidate: its lineage says how to make it again."""
    made = f"{crystal.generator}, seed {seed}, attempt {crystal.attempt}"
    if pre_relaxed_by:
        made += f", pre-relaxed by {pre_relaxed_by}"
    return Candidate(
        id=structure_key(structure),
        parent_id="",
        species=tuple(site.specie.symbol for site in structure),
        volume=float(structure.volume),
        lineage=Lineage(source="random", substitution=made),
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
