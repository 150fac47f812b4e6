"""What the baseline says of a round's candidates, before the networks are asked."""

from __future__ import annotations

from collections.abc import Iterator

from pymatgen.core import Structure

from gnome_torch.candidates.tables.shards import read_parents, read_shards
from gnome_torch.devices import one_thread_unless_told
from workflows.campaign.baseline import energies_of
from workflows.campaign.campaign import Campaign
from workflows.ground.continuation import Stopped, never


def judge_candidates(campaign: Campaign, number: int, stopped: Stopped = never) -> dict[str, int]:
    """Compute every candidate of a round with the baseline's potential; what earlier rounds computed is there.

    Raises:
        StopRequested: a signal has asked to stop; what was computed before is kept.
    """
    one_thread_unless_told()
    places = campaign.places(number)
    parents = read_parents(places.candidates)

    def crystals() -> Iterator[tuple[str, Structure]]:
        for candidate in read_shards(places.candidates):
            yield candidate.id, candidate.structure(parents[candidate.parent_id])

    return {"computed": energies_of(campaign).compute(crystals(), stopped)}
