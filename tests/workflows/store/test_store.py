"""The store: claims, counts, idempotent writes, checks of the server."""

from __future__ import annotations

import pytest
from fireworks import LaunchPad
from pymatgen.core import Lattice, Structure

from gnome_torch.records import Candidate, Lineage, Prediction
from workflows.store import (
    CampaignExistsError,
    CampaignState,
    CandidateState,
    Store,
    StoreError,
    check_server,
)

SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.21), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def candidate(key: str) -> Candidate:
    species = tuple(site.specie.symbol for site in SALT)
    return Candidate(key, "aflow:x", species, SALT.volume, Lineage("saps", "aflow:x", "Na->Mg", 1))


# ---- campaigns


def test_a_name_is_taken_once(store: Store) -> None:
    with pytest.raises(CampaignExistsError, match="campaign 'c' exists already"):
        store.campaigns.create("c", {}, "theory-1", "none", "/d", "uid")
    with pytest.raises(StoreError, match=r"no campaign 'd' .*\(there are: c\)"):
        store.campaigns.get("d")


def test_the_first_end_of_a_campaign_stays(store: Store) -> None:
    store.campaigns.end("c", CampaignState.FINISHED, "all rounds done")
    store.campaigns.end("c", CampaignState.FAILED, "too late")
    assert store.campaigns.get("c")["state"] == "finished"


# ---- candidates


def test_counts_come_from_the_records_and_a_success_is_final(store: Store) -> None:
    chosen = [(candidate(key), SALT, Prediction(key, -3.0, 0.1, 1.0), -0.01) for key in "ab"]
    store.candidates.select("c", 1, chosen, "c/1")
    store.candidates.select("c", 1, chosen, "c/1")
    assert store.candidates.count("c", 1) == 2
    store.candidates.end("c/a", CandidateState.FAILED, reason="not converged")
    store.candidates.end("c/b", CandidateState.RELAXED, entry="e")
    store.candidates.end("c/b", CandidateState.FAILED, reason="a second run that came late")
    assert store.candidates.get("c/b")["state"] == "relaxed"
    store.candidates.end("c/a", CandidateState.RELAXED, entry="f")  # somebody ran it again, and it worked
    assert store.candidates.count("c", 1, ["relaxed"]) == 2
    store.candidates.select("c", 1, chosen, "c/1")
    assert store.candidates.count("c", 1, ["relaxed"]) == 2
    document = store.candidates.get("c/a")
    assert document["lineage"] == {
        "source": "saps", "parent_id": "aflow:x", "substitution": "Na->Mg", "round": 1, "model_id": "c/1"
    }  # fmt: skip
    assert document["prediction"]["e_above_hull"] == -0.01


# ---- the server


def test_a_server_that_is_not_there() -> None:
    launchpad = LaunchPad("127.0.0.1", 1, "gnome", strm_lvl="WARNING")
    with pytest.raises(StoreError, match=r"no database answers at 127\.0\.0\.1:1: start the embedded one"):
        check_server(launchpad.db, timeout_s=0.5)


def test_data_of_another_version(store: Store, launchpad: LaunchPad) -> None:
    check_server(launchpad.db)
    store.database["schema"].update_one({"_id": "gnome-torch"}, {"$set": {"version": 99}})
    with pytest.raises(StoreError, match="holds data of version 99, this gnome-torch writes version 2"):
        check_server(launchpad.db)
