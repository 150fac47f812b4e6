"""Campaigns of one database share what they have computed, and one hull."""

from __future__ import annotations

from pathlib import Path

from campaigns import run_all, small_campaign, stages
from fireworks import LaunchPad
from pymatgen.core import Lattice, Structure

from gnome_torch.records import Entry, Lineage
from workflows.catalogue.phases import phase_rows
from workflows.firetasks.close import CloseRound


def close(launchpad: LaunchPad, name: str, number: int) -> None:
    task = CloseRound(campaign=name, round=number)
    task.launchpad = launchpad
    task.run_task({})


def test_a_second_campaign_computes_nothing_again(launchpad: LaunchPad, tmp_path: Path) -> None:
    run_all(launchpad, small_campaign(tmp_path), tmp_path / "launches")
    before = stages(launchpad)
    other = small_campaign(tmp_path / "second", name="second")
    store = run_all(launchpad, other, tmp_path / "launches")
    assert store.campaigns.get("second")["state"] == "finished"
    first_data = store.candidates.of_round("second", 0)
    assert first_data
    assert all(d["reused"] for d in first_data)
    assert not [key for key in stages(launchpad) - before if key and key.startswith("relax/second/0")]


def test_a_finished_campaign_hears_of_phases_that_others_find(launchpad: LaunchPad, tmp_path: Path) -> None:
    """Its ternary is on the hull until another campaign finds a deep binary in the same system."""
    store = run_all(launchpad, small_campaign(tmp_path, elements=["Cu", "Au", "Ag"]), tmp_path / "launches")
    theory = store.campaigns.get("emt")["theory"]
    crystal = Structure(Lattice.cubic(3.9), ["Cu", "Ag", "Au"], [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5]])
    lowest = min(d["energy_per_atom"] for d in store.database["entries"].find({}))
    store.entries.add(Entry("ternary", crystal, 3 * (lowest - 1.0), 0.0, theory, Lineage("saps", "x", "y", 1)), "emt")
    close(launchpad, "emt", 1)
    assert phase_rows(store, "emt")[0].entry == "ternary"

    binary = Structure(Lattice.cubic(3.0), ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    store.entries.add(Entry("binary", binary, 2 * (lowest - 3.0), 0.0, theory), "second")
    run_all(launchpad, small_campaign(tmp_path / "second", name="second"), tmp_path / "launches")
    ternary = store.entries.get("ternary")
    assert ternary is not None
    assert ternary["stability"]["e_above_hull"] > 0.5
    assert "ternary" not in {row.entry for row in phase_rows(store, "emt")}
