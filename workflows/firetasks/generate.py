"""Generate a round's candidates."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any

from fireworks import FiretaskBase, FWAction, explicit_serialize

from gnome_torch.candidates.prototypes import prototypes
from gnome_torch.candidates.shards import write_shards
from gnome_torch.candidates.structural import Parent, Tally, filtered, in_round, propose
from gnome_torch.candidates.substitution import substitution_model
from workflows.campaign import campaign_settings
from workflows.firetasks.train import round_directory
from workflows.settings import CampaignSettings
from workflows.store import Store


@explicit_serialize
class GenerateCandidates(FiretaskBase):
    """Substitute in the prototypes and in the campaign's own best crystals; write the shards of the round.

    Required parameters:
        campaign: name.
        round: number.
    """

    required_params = ("campaign", "round")

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        store = Store(self.launchpad.db)
        name, number = self["campaign"], self["round"]
        settings = campaign_settings(store, name)
        theory = store.campaign(name)["theory"]
        structural = settings.structural
        tally = Tally()
        stream = filtered(
            propose(
                parents(store, settings, theory),
                settings.elements,
                substitution_model(),
                structural.threshold,
                structural.saps,
            ),
            settings.candidate_policy(),
            store.known_formulas(theory, settings.elements),
            tally,
        )
        tried = store.tried_candidates(name)
        fresh = (in_round(c, number) for c in stream if f"{name}/{c.id}" not in tried)
        best = heapq.nlargest(structural.limit, fresh, key=lambda c: (c.probability, c.id))
        # candidates of one parent together: its graph is built once
        best.sort(key=lambda candidate: (candidate.parent_id, candidate.id))
        written = write_shards(best, round_directory(settings, number) / "candidates")
        counts = {
            "proposed": tally.proposed,
            "duplicates": tally.duplicates,
            "known": tally.known,
            "refused": dict(tally.refused),
            "generated": written,
            "saps": sum(candidate.lineage.source == "saps" for candidate in best),
        }
        store.open_round(name, number)
        store.update_round(name, number, **{f"counts.{key}": value for key, value in counts.items()})
        return FWAction(stored_data=counts)


def parents(store: Store, settings: CampaignSettings, theory: str) -> Iterator[Parent]:
    """Known crystals to substitute in: the prototype library, then entries on or near the hull."""
    for key, structure in prototypes().items():
        if len(structure) <= settings.structural.max_sites:
            yield Parent(key, structure)
    for entry in store.near_hull(theory, settings.elements, settings.structural.parents_within):
        if len(entry.structure) <= settings.structural.max_sites:
            yield Parent(entry.id, entry.structure)
