"""Generate a round's candidates."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from fireworks import FiretaskBase, FWAction, explicit_serialize

from gnome_torch.candidates.parents import Parent, ParentError, parent_of
from gnome_torch.candidates.prototypes import prototypes
from gnome_torch.candidates.structural.generation import generate
from gnome_torch.candidates.structural.pool import draw, source_of
from gnome_torch.candidates.structural.selection import Request, Selection
from workflows.campaign.campaign import campaign_settings
from workflows.campaign.settings import CampaignSettings
from workflows.firetasks.train import round_directory
from workflows.store import Store

COUNTS = ("parents", "proposed", "refused", "known", "duplicates", "tried", "passed", "saps")


@explicit_serialize
class GenerateCandidates(FiretaskBase):
    """Substitute in the prototypes and in the campaign's own best crystals, or draw from the campaign's pool or source.

    Writes the shards of the round.

    Required parameters:
        campaign: name.
        round: number.
    """

    required_params = ("campaign", "round")

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        store = Store(self.launchpad.db)
        name, number = self["campaign"], self["round"]
        settings = campaign_settings(store, name)
        theory = store.campaigns.get(name)["theory"]
        structural = settings.structural
        known = store.entries.known_formulas(theory, settings.elements, outside=structural.polymorphs)
        directory = round_directory(settings, number) / "candidates"
        selection = Selection(structural.limit, structural.order, settings.seed)
        request = Request(settings.structural_options(known), selection, number, tried_keys(store, name))
        if structural.pool:
            summary = draw(Path(structural.pool), request, directory)
        elif structural.source:
            crystals, _ = parents(store, settings, theory)
            proposed = round_directory(settings, number) / "proposed"
            shutil.rmtree(proposed, ignore_errors=True)  # of a first run of this Firework
            source_of(structural.source)(crystals, proposed, number)
            summary = draw(proposed, request, directory)
        else:
            crystals, unsuitable = parents(store, settings, theory)
            # overwriting what a first run of this Firework wrote: what is known may have grown since
            summary = generate(crystals, request, directory, refused=unsuitable, overwrite=True)
        counts = {key: summary[key] for key in COUNTS} | {"generated": summary["written"]}
        store.rounds.open(name, number)
        store.rounds.update(name, number, **{f"counts.{key}": value for key, value in counts.items()})
        return FWAction(stored_data=counts)


def parents(store: Store, settings: CampaignSettings, theory: str) -> tuple[list[Parent], list[tuple[str, str]]]:
    """Known crystals to substitute in, the prototype library and the entries on or near the hull; and those unsuitable.

    The latter come with the reason (too large, for instance).
    """
    crystals, unsuitable = [], []
    entries = store.entries.near_hull(theory, settings.elements, settings.structural.parents_within)
    for key, structure in [*prototypes().items(), *entries]:
        try:
            crystals.append(parent_of(key, structure, settings.structural.max_sites))
        except ParentError as error:
            unsuitable.append((key, str(error)))
    return crystals, unsuitable


def tried_keys(store: Store, name: str) -> set[str]:
    """Candidates that the campaign has selected in any round."""
    return {key.removeprefix(f"{name}/") for key in store.candidates.tried(name)}
