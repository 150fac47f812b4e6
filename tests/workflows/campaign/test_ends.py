"""How campaigns end, other than by the last of their rounds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from campaigns import run_all, small_campaign
from fireworks import LaunchPad


def test_elements_without_reference_end_the_campaign(
    launchpad: LaunchPad, tmp_path: Path, failing: Callable[[Callable[[str], bool]], None]
) -> None:
    failing(lambda formula: formula == "Au")
    store = run_all(launchpad, small_campaign(tmp_path), tmp_path / "launches")
    document = store.campaigns.get("emt")
    assert document["state"] == "failed"
    assert document["reason"].startswith("no entry of the pure element Au")
    assert launchpad.get_fw_ids({"state": {"$in": ["READY", "RUNNING"]}}) == []


def test_no_candidate_near_the_hull_ends_the_campaign(launchpad: LaunchPad, tmp_path: Path) -> None:
    screening = {"threshold": -50.0, "volumes": 1, "max_relaxations": 3}
    store = run_all(launchpad, small_campaign(tmp_path, screening=screening, rounds=3), tmp_path / "launches")
    document = store.campaigns.get("emt")
    assert document["state"] == "finished"
    assert document["reason"] == "round 1: nothing predicted near the hull (structural: -50.0 eV/atom)"


def test_a_round_may_start_before_the_last_has_ended_but_the_campaign_ends_with_all(
    launchpad: LaunchPad, tmp_path: Path
) -> None:
    """retrain.fraction below 1: the first data are complete, and no relaxation is left off the final hull."""
    settings = small_campaign(tmp_path, retrain={"fraction": 0.34}, rounds=2)
    store = run_all(launchpad, settings, tmp_path / "launches")
    assert store.campaigns.get("emt")["state"] == "finished"
    assert store.candidates.count_unended("emt") == 0
    assert all(d["stability"] is not None for d in store.database["entries"].find({}))
    first = store.rounds.get("emt", 0)["result"]
    assert first["relaxed"] + first["failed"] == store.candidates.count("emt", 0)
