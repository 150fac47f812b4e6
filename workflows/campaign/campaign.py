"""What a campaign in the database is: its settings, its theories, the keys of what it makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workflows.campaign.settings import CampaignSettings, parse_settings
from workflows.relax import Theory, theory
from workflows.store import Store, StoreError

# Recording first, so that the loop never waits behind its own relaxations; then what every worker waits for.
PRIORITY = {"record": 40, "control": 30, "train": 20, "generate": 20, "screen": 20, "relax": 10, "recheck": 5}


def campaign_settings(store: Store, name: str) -> CampaignSettings:
    """Settings of a campaign in the database, with the directory that was chosen for it when it began."""
    document = store.campaigns.get(name)
    return parse_settings({**document["settings"], "directory": document["directory"]}, f"campaign '{name}'")


def campaign_theory(store: Store, name: str) -> Theory:
    """Theory of a campaign.

    Raises:
        StoreError: what is installed now is not what the campaign began with.
    """
    return _same(theory(campaign_settings(store, name).theory), store.campaigns.get(name)["theory"], name)


def candidate_theory(store: Store, candidate: Mapping[str, Any]) -> Theory:
    """Theory that a candidate is relaxed at: its campaign's, or the one of the second opinion.

    Raises:
        StoreError: as `campaign_theory`.
    """
    name = candidate["campaign"]
    if not candidate.get("recheck_of"):
        return campaign_theory(store, name)
    level = recheck_theory(store, name)
    return _same(level, candidate["theory"], name) if level is not None else campaign_theory(store, name)


def prerelaxation(store: Store, name: str) -> Theory | None:
    """The rough theory that a campaign's candidates go through first, if it has one."""
    rough = campaign_settings(store, name).prerelax
    return theory(rough) if rough is not None else None


def recheck_theory(store: Store, name: str) -> Theory | None:
    """The theory at which a campaign relaxes its stable phases again, if it has one."""
    recheck = campaign_settings(store, name).recheck
    return theory(recheck.theory) if recheck is not None else None


def _same(level: Theory, begun_with: str, name: str) -> Theory:
    if level.id != begun_with:
        raise StoreError(
            f"campaign '{name}' was begun with theory {begun_with}, this installation has {level.id}: their "
            "energies must not meet; install the versions of constraints.txt that the campaign began with"
        )
    return level
