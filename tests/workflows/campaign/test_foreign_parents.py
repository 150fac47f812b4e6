"""Crystals of other elements and theories are parents too: an imported RbMgF3 for a campaign of K, Mg, F."""

from __future__ import annotations

from pathlib import Path

from fireworks import LaunchPad
from pymatgen.core import Lattice, Structure

from gnome_torch.candidates.tables.shards import read_parents, read_shards
from gnome_torch.records import Candidate, Entry, EntryEnergy, HullPoint, Lineage
from workflows.campaign.begin import register
from workflows.campaign.campaign import Campaign
from workflows.campaign.settings import CampaignSettings
from workflows.campaign.stages.generate import generate_candidates
from workflows.catalogue.phases import phase_rows
from workflows.store import OutsideEntry, Store, now


def perovskite(a: str, b: str, x: str, length: float) -> Structure:
    return Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(length), [a, b, x], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    )


RBMGF3 = OutsideEntry("mp-8402", perovskite("Rb", "Mg", "F", 4.09), EntryEnergy("rb", "RbMgF3", -5.0, 0.0, "imported"))
PLACE = HullPoint(-3.0, 0.0, -0.1, {"rb": 1.0})


def campaign(store: Store, launchpad: LaunchPad, directory: Path, **structural: object) -> Campaign:
    settings = CampaignSettings.model_validate(
        {
            "name": directory.name,
            "elements": ["K", "Mg", "F"],
            "theory": {"name": "forcefield"},
            "structural": {"assignments": 0, "saps": False, "max_sites": 5, **structural},
            "directory": str(directory / "files"),
        }
    )
    register(store, settings)
    return Campaign(store, launchpad, directory.name)


def of_parent(some: Campaign, key: str) -> list[Candidate]:
    generate_candidates(some, 1)
    return [c for c in read_shards(some.places(1).candidates) if c.parent_id == key]


def test_an_imported_crystal_of_other_elements(launchpad: LaunchPad, tmp_path: Path) -> None:
    store = Store(launchpad.db)
    store.prepare()
    store.entries.add_outside([RBMGF3], "Materials Project", "2026", replaces=True)
    store.entries.set_stability("imported", {"rb": PLACE}, now(), 1)
    some = campaign(store, launchpad, tmp_path / "with")
    (candidate,) = [c for c in of_parent(some, "rb") if c.reduced_formula == "KMgF3"]
    assert (candidate.lineage.source, candidate.lineage.substitution) == ("substitution", "Rb->K")
    crystal = candidate.structure(read_parents(some.places(1).candidates)["rb"])
    assert crystal.matches(perovskite("K", "Mg", "F", 4.0))
    # a phase says where it comes from
    store.entries.add(Entry("found", crystal, -20.0, 0.0, some.theory_id, candidate.lineage), "with")
    store.entries.set_stability(some.theory_id, {"found": HullPoint(-3.0, 0.0, -0.1, {"found": 1.0})}, now(), 1)
    (row,) = phase_rows(store, "with")
    assert row.lineage == ("RbMgF3 (mp-8402) of Materials Project", "Rb->K")


def test_how_many_and_none(launchpad: LaunchPad, tmp_path: Path) -> None:
    store = Store(launchpad.db)
    store.prepare()
    store.entries.add_outside([RBMGF3], "Materials Project", "2026", replaces=True)
    far = OutsideEntry("far", perovskite("Cs", "Mg", "F", 4.3), EntryEnergy("cs", "CsMgF3", -4.0, 0.0, "imported"))
    store.entries.add_outside([far], "Materials Project", "2026", replaces=True)
    store.entries.set_stability("imported", {"rb": PLACE, "cs": HullPoint(-2.0, 0.3, 0.3, {"rb": 1.0})}, now(), 2)
    assert of_parent(campaign(store, launchpad, tmp_path / "none", foreign_parents=0), "rb") == []
    wide = campaign(store, launchpad, tmp_path / "wide", parents_within=0.5)
    assert of_parent(wide, "rb")
    assert "cs" in read_parents(wide.places(1).candidates)
    one = campaign(store, launchpad, tmp_path / "one", parents_within=0.5, foreign_parents=1)
    assert of_parent(one, "rb")
    assert "cs" not in read_parents(one.places(1).candidates)


def test_of_another_campaign_at_another_theory(launchpad: LaunchPad, tmp_path: Path) -> None:
    store = Store(launchpad.db)
    store.prepare()
    crystal = perovskite("K", "Zn", "F", 4.05)
    store.entries.add(Entry("zinc", crystal, -20.0, 0.0, "pbe", Lineage("prototype", "aflow:x", "", 0)), "theirs")
    store.entries.add(Entry("own", crystal, -20.0, 0.0, "pbe", Lineage("file")), "theirs", recheck_of="zinc")
    place = HullPoint(-3.0, 0.0, -0.1, {"zinc": 1.0})
    store.entries.set_stability("pbe", {"zinc": place, "own": place}, now(), 1)
    some = campaign(store, launchpad, tmp_path / "other")
    assert "KMgF3" in {c.reduced_formula for c in of_parent(some, "zinc")}
    assert "own" not in read_parents(some.places(1).candidates)  # a recheck: the same crystal again
