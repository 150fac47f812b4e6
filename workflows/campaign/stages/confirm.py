"""Confirm before listing: what is on the hull has its next crystals relaxed before it counts as its ground state."""

from __future__ import annotations

from workflows.campaign.campaign import Campaign


def unconfirmed(campaign: Campaign) -> dict[str, int]:
    """Compounds on the hull that the campaign relaxed fewer crystals of than it wants: how many more of each.

    What was imported is somebody else's, and known.
    """
    wanted = campaign.settings.screening.confirm
    if not wanted:
        return {}
    store, settings = campaign.store, campaign.settings
    relaxed = store.candidates.count_by_formula(campaign.name)
    stable = store.entries.stable_compounds(campaign.theory_id, settings.elements)
    return {formula: wanted - relaxed[formula] for formula in sorted(stable) if 0 < relaxed.get(formula, 0) < wanted}
