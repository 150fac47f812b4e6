"""A round's candidates: crystals by substitution, from a pool or another source; formulas by oxidation states."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pymatgen.core import Structure

from gnome_torch.candidates.formulas.compositions import compositions, number_of_formulas
from gnome_torch.candidates.formulas.shards import write_compositions
from gnome_torch.candidates.parents import Parent, ParentError, parent_of
from gnome_torch.candidates.prototypes import prototypes
from gnome_torch.candidates.structural.generation import generate
from gnome_torch.candidates.structural.pool import draw, source_of
from gnome_torch.candidates.structural.proposals import known_compositions
from gnome_torch.candidates.structural.relatives import relatives
from gnome_torch.candidates.structural.selection import ORIGINS, Request, Selection
from workflows.campaign.campaign import Campaign

COUNTS = ("parents", "proposed", "refused", "known", "duplicates", "tried", "passed", "saps")
FORMULA_COUNTS = ("looked_at", "known", "compositions", "strict")


def generate_candidates(campaign: Campaign, number: int) -> dict[str, Any]:
    """Substitute in prototypes and known crystals, or draw from the campaign's pool or source.

    Writes the shards of the round, and returns what was counted.
    """
    structural, places = campaign.settings.structural, campaign.places(number)
    known = campaign.store.entries.known_formulas(
        campaign.theory_id, campaign.settings.elements, outside=structural.polymorphs
    )
    shares = tuple(getattr(structural.shares, origin) for origin in ORIGINS)
    selection = Selection(structural.limit, structural.order, campaign.settings.seed, shares)
    request = Request(campaign.settings.structural_options(known), selection, number, _tried(campaign))
    if structural.pool:
        summary = draw(Path(structural.pool), request, places.candidates)
    elif structural.source:
        crystals, _ = _parents(campaign)
        shutil.rmtree(places.proposed, ignore_errors=True)  # of a first run of this Firework
        source_of(structural.source)(crystals, places.proposed, number)
        summary = draw(places.proposed, request, places.candidates)
    else:
        crystals, unsuitable = _parents(campaign)
        # overwriting what a first run of this Firework wrote: what is known may have grown since
        summary = generate(crystals, request, places.candidates, refused=unsuitable, overwrite=True)
    counts = {key: summary[key] for key in COUNTS} | {"generated": summary["written"]}
    campaign.store.rounds.open(campaign.name, number)
    campaign.store.rounds.set_counts(campaign.name, number, counts)
    return counts


def _parents(campaign: Campaign) -> tuple[list[Parent], list[tuple[str, str]]]:
    """Known crystals to substitute in; and those unsuitable, with the reason (too large, for instance).

    They are the prototype library, the campaign's entries on or near the hull, and crystals from elsewhere.
    """
    crystals, unsuitable = [], []
    structural = campaign.settings.structural
    entries = campaign.store.entries.near_hull(
        campaign.theory_id, campaign.settings.elements, structural.parents_within
    )
    foreign = _foreign_parents(campaign, {key for key, _ in entries})
    for key, structure in [*prototypes().items(), *entries, *foreign]:
        try:
            crystals.append(parent_of(key, structure, structural.max_sites))
        except ParentError as error:
            unsuitable.append((key, str(error)))
    return crystals, unsuitable


def _foreign_parents(campaign: Campaign, own: Collection[str]) -> list[tuple[str, Structure]]:
    """Crystals of any elements and any theory, near their own hull, that may become some of the campaign's elements."""
    structural, entries = campaign.settings.structural, campaign.store.entries
    if structural.foreign_parents == 0:
        return []
    known = entries.near_any_hull(
        structural.parents_within, structural.max_sites, min(structural.max_elements, len(campaign.settings.elements))
    )
    rules = campaign.settings.structural_options(()).rules
    elsewhere = (crystal for crystal in known if crystal.key not in own)
    chosen = relatives(elsewhere, campaign.settings.candidate_policy(), rules, structural.foreign_parents)
    return sorted(entries.structures(chosen).items())


def _tried(campaign: Campaign) -> set[str]:
    """Candidates that the campaign has selected in any round."""
    return {key.removeprefix(f"{campaign.name}/") for key in campaign.store.candidates.tried(campaign.name)}


def generate_compositions(campaign: Campaign, number: int) -> dict[str, Any]:
    """Write the formulas that oxidation states can balance, and that nobody has computed, into the round's shards."""
    settings, store, name = campaign.settings, campaign.store, campaign.name
    policy, limits = settings.composition_policy(), settings.composition_limits()
    known = store.entries.known_formulas(campaign.theory_id, settings.elements) | store.searches.formulas(name)
    summary = write_compositions(
        compositions(policy, limits, known_compositions(sorted(known))),
        campaign.places(number).compositions,
        looked_at=number_of_formulas(policy, limits),
        known=len(known),
    )
    store.rounds.open(name, number)
    counts = {key: summary[key] for key in FORMULA_COUNTS}
    store.rounds.set_counts(name, number, counts, within="counts.compositions")
    return summary
