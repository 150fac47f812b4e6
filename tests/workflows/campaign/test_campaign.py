"""Whole campaigns on EMT: real crystals, real networks, real Fireworks, a real database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from campaigns import contents, run_all, run_all_twice, small_campaign, stages
from fireworks import LaunchPad
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition

from gnome_torch.candidates.prototypes import prototypes
from gnome_torch.candidates.tables.shards import read_shards
from gnome_torch.models.ensemble import Ensemble
from workflows.campaign.begin import begin
from workflows.campaign.places import RoundPlaces
from workflows.campaign.settings import CampaignSettings
from workflows.catalogue.phases import phase_rows
from workflows.catalogue.progress import round_rows
from workflows.store import Store

METALS = ["Al", "Ni", "Cu", "Pd", "Ag", "Pt", "Au"]


@dataclass(frozen=True)
class Finished:
    """A campaign that has ended, with all that it has left."""

    launchpad: LaunchPad
    store: Store
    settings: CampaignSettings

    @property
    def documents(self) -> list[dict[str, Any]]:
        return list(self.store.database["entries"].find({}))


@pytest.fixture(scope="module")
def metals(database: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    """Seven metals, two rounds, with a first look whose recall is measured."""
    directory = tmp_path_factory.mktemp("metals")
    launchpad = LaunchPad(database.host, database.port, f"test_metals_{directory.parent.name}", strm_lvl="WARNING")
    launchpad.reset("", require_password=False)
    settings = small_campaign(
        directory,
        elements=METALS,
        seeds={"limit": 25, "max_sites": 4, "references": 2},
        structural={"max_sites": 4, "limit": 200, "polymorphs": False},
        network={"members": 2, "hidden": [16, 16], "epochs": 20, "batch_size": 16, "learning_rate": 0.003},
        screening={"threshold": 0.05, "volumes": 3, "max_relaxations": 8, "cascade": {"volumes": 1, "audit": 1.0}},
        rounds=2,
    )
    yield Finished(launchpad, run_all(launchpad, settings, directory / "launches"), settings)
    launchpad.connection.close()


# ---- seven metals; those that look at the same campaign run one after another in one process


@pytest.mark.xdist_group("metals")
def test_it_ends_and_every_candidate_is_accounted_for(metals: Finished) -> None:
    document = metals.store.campaigns.get("emt")
    assert (document["state"], document["reason"]) == ("finished", "all 2 rounds done")
    rows = round_rows(metals.store, "emt")
    assert [row.number for row in rows] == [0, 1, 2]
    assert sum(row.selected for row in rows) == metals.store.database["candidates"].count_documents({})
    assert all(row.relaxed + row.failed == row.selected > 0 for row in rows)
    assert all(row.network_mae is not None and row.prediction_mae is not None for row in rows[1:])
    assert rows[2].network_mae_before is not None


@pytest.mark.xdist_group("metals")
def test_its_hull_is_pymatgens_on_the_same_entries(metals: Finished) -> None:
    documents = metals.documents
    assert {d["theory"] for d in documents} == {metals.store.campaigns.get("emt")["theory"]}
    reference = {d["_id"]: PDEntry(cell_of(d), d["energy"]) for d in documents}
    diagram = PhaseDiagram(list(reference.values()))
    for document in documents:
        expected = diagram.get_e_above_hull(reference[document["_id"]])
        assert document["stability"]["e_above_hull"] == pytest.approx(expected, abs=1e-6)
        # an entry that stands where it stood keeps the date of the hull that put it there
        assert document["stability"]["hull_entries"] <= len(documents)
    on_hull = {key for key, entry in reference.items() if diagram.get_e_above_hull(entry) < 5e-5}
    stable = {row.entry for row in phase_rows(metals.store, "emt")}
    assert stable == {key for key in on_hull if len(reference[key].composition) > 1}


def cell_of(document: dict[str, Any]) -> Composition:
    return Composition(Counter(site["species"][0]["element"] for site in document["structure"]["sites"]))


@pytest.mark.xdist_group("metals")
def test_it_says_what_is_new_about_each_find(metals: Finished) -> None:
    found = [d for d in metals.documents if d["lineage"]["round"] > 0]
    assert found
    for document in found:
        novelty = document["novelty"]
        assert novelty["prototype"]
        assert novelty["new_composition"]
        assert novelty["new_prototype"] in (True, False)
        if novelty["duplicate_of"]:
            older = metals.store.entries.get(novelty["duplicate_of"])
            assert older is not None
            assert older["formula"] == document["formula"]
    assert any(d["novelty"]["analogue"] for d in found)
    # each traces back to a crystal of the library
    for row in phase_rows(metals.store, "emt", 10.0):
        assert row.lineage[0] in prototypes()
        assert row.new is (row.round > 0)


@pytest.mark.xdist_group("metals")
def test_rounds_propose_only_compositions_that_no_earlier_round_had(metals: Finished) -> None:
    """One crystal each."""
    seen: set[str] = set()
    for number in range(3):
        candidates = metals.store.candidates.of_round("emt", number)
        formulas = [d["formula"] for d in candidates]
        if number:
            assert len(set(formulas)) == len(formulas)
            assert seen.isdisjoint(formulas)
        seen |= {d["formula"] for d in candidates if d["state"] == "relaxed"}


@pytest.mark.xdist_group("metals")
def test_there_is_one_workflow_for_each_stage_and_each_candidate(metals: Finished) -> None:
    assert set(stages(metals.launchpad).values()) == {1}
    assert metals.launchpad.get_fw_ids({"state": {"$ne": "COMPLETED"}}) == []


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.xdist_group("metals")
def test_models_load_and_shards_hold_what_was_counted(metals: Finished, number: int) -> None:
    assert len(Ensemble.load(metals.store.models.get(f"emt/{number}")["directories"])) == 2
    places = RoundPlaces(metals.settings.root, number)
    shards = list(read_shards(places.candidates))
    counts = metals.store.rounds.get("emt", number)["counts"]
    assert len(shards) == counts["generated"] == counts["screened"]
    assert counts["proposed"] >= counts["generated"] + counts["known"] + counts["duplicates"]
    table = pa.concat_tables(pq.read_table(path) for path in sorted(places.screening.glob("screened-*.parquet")))
    assert table["id"].to_pylist() == [candidate.id for candidate in shards]
    assert table["decision"].to_pylist().count("selected") == counts["selected"]
    assert counts["predicted_in_full"] == len(shards)  # the audit looks at all that the first look refused
    hull = dict(zip(table["formula"].to_pylist(), table["hull_energy"].to_pylist(), strict=True))
    assert max(hull.values()) <= 0.0


# ---- twice, and by whoever is last


def test_every_firework_twice_and_a_relaxation_that_always_fails(
    database: Any, launchpad: LaunchPad, tmp_path: Path, failing: Callable[[Callable[[str], bool]], None]
) -> None:
    failing(lambda formula: formula == "CuAu3")
    once = run_all(launchpad, small_campaign(tmp_path / "once"), tmp_path / "once" / "launches")
    again = LaunchPad(database.host, database.port, f"{launchpad.name}_twice", strm_lvl="WARNING")
    again.reset("", require_password=False)
    twice = run_all_twice(again, small_campaign(tmp_path / "twice"), tmp_path / "twice" / "launches")

    assert once.campaigns.get("emt")["state"] == twice.campaigns.get("emt")["state"] == "finished"
    expected, found = contents(once), contents(twice)
    assert found == expected
    assert stages(again) == stages(launchpad)
    assert set(stages(again).values()) == {1}
    failed = list(once.database["candidates"].find({"state": "failed"}))
    assert failed
    assert all(d["formula"] == "CuAu3" and d["reason"] == "RuntimeError: CuAu3 always fails" for d in failed)
    assert all(Path(d["directory"]).is_dir() for d in failed)


def test_two_records_at_the_threshold_add_one_round(launchpad: LaunchPad, tmp_path: Path) -> None:
    """The start and every record task call `advance`; only one round workflow comes of it, whoever is last."""
    settings = small_campaign(tmp_path)
    store = run_all(launchpad, settings, tmp_path / "launches")
    for _ in range(3):
        begin(store, launchpad, settings)
    assert set(stages(launchpad).values()) == {1}
    assert launchpad.get_fw_ids({"state": {"$ne": "COMPLETED"}}) == []
