"""Whole campaigns on EMT: real crystals, real networks, real Fireworks, a real database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from atomate2.ase.utils import AseRelaxer
from campaigns import contents, run_all, run_all_twice, small_campaign, stages
from fireworks import LaunchPad
from fireworks.core.rocket_launcher import rapidfire
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition, Lattice, Structure
from rich.console import Console

from gnome_torch.candidates.prototypes import prototypes
from gnome_torch.candidates.tables.shards import read_shards
from gnome_torch.data.files import StructureFileError
from gnome_torch.models.ensemble import Ensemble
from gnome_torch.records import Entry, Lineage
from workflows.campaign.begin import begin
from workflows.campaign.campaign import Campaign
from workflows.campaign.plan import start_workflow
from workflows.campaign.settings import SettingsError
from workflows.catalogue.phases import phase_rows
from workflows.catalogue.progress import round_rows
from workflows.firetasks.close import CloseRound
from workflows.operate.local import CampaignStuckError, run_campaign
from workflows.operate.worker import environment, is_dead, worker_name
from workflows.store import CampaignExistsError, Store
from workflows.store.launchpad import fizzled

METALS = ["Al", "Ni", "Cu", "Pd", "Ag", "Pt", "Au"]


# ---- the whole loop


def test_seven_metals_two_rounds(launchpad: LaunchPad, tmp_path: Path) -> None:
    settings = small_campaign(
        tmp_path,
        elements=METALS,
        seeds={"limit": 25, "max_sites": 4, "references": 2},
        structural={"max_sites": 4, "limit": 200, "polymorphs": False},
        network={"members": 2, "hidden": [16, 16], "epochs": 20, "batch_size": 16, "learning_rate": 0.003},
        screening={"threshold": 0.05, "volumes": 3, "max_relaxations": 8, "cascade": {"volumes": 1, "audit": 1.0}},
        rounds=2,
    )
    store = run_all(launchpad, settings, tmp_path / "launches")
    assert store.campaigns.get("emt")["state"] == "finished"
    assert store.campaigns.get("emt")["reason"] == "all 2 rounds done"

    # every candidate ended, and the table of rounds accounts for all of them
    rows = round_rows(store, "emt")
    assert [row.number for row in rows] == [0, 1, 2]
    assert sum(row.selected for row in rows) == store.database["candidates"].count_documents({})
    assert all(row.relaxed + row.failed == row.selected > 0 for row in rows)
    assert all(row.network_mae is not None and row.prediction_mae is not None for row in rows[1:])
    assert rows[2].network_mae_before is not None

    # the hull in the database is pymatgen's on the same entries
    documents = list(store.database["entries"].find({}))
    assert {d["theory"] for d in documents} == {store.campaigns.get("emt")["theory"]}
    reference = {
        d["_id"]: PDEntry(Composition(d["structure_formula"]), d["energy"]) for d in map(with_formula, documents)
    }
    diagram = PhaseDiagram(list(reference.values()))
    for document in documents:
        expected = diagram.get_e_above_hull(reference[document["_id"]])
        assert document["stability"]["e_above_hull"] == pytest.approx(expected, abs=1e-6)
        # an entry that stands where it stood keeps the date of the hull that put it there
        assert document["stability"]["hull_entries"] <= len(documents)
    stable = {row.entry for row in phase_rows(store, "emt")}
    on_hull = {key for key, entry in reference.items() if diagram.get_e_above_hull(entry) < 5e-5}
    assert stable == {key for key in on_hull if len(reference[key].composition) > 1}

    # what is new about each find
    found = [d for d in documents if d["lineage"]["round"] > 0]
    assert found
    for document in found:
        novelty = document["novelty"]
        assert novelty["prototype"]
        assert novelty["new_composition"]
        assert novelty["new_prototype"] in (True, False)
        if novelty["duplicate_of"]:
            assert store.entries.get(novelty["duplicate_of"])["formula"] == document["formula"]  # type: ignore[index]
    assert any(d["novelty"]["analogue"] for d in found)

    # rounds propose only compositions that no earlier round had, one structure each
    seen: set[str] = set()
    for number in range(3):
        formulas = [d["formula"] for d in store.candidates.of_round("emt", number)]
        if number:
            assert len(set(formulas)) == len(formulas)
            assert seen.isdisjoint(formulas)
        relaxed = store.candidates.of_round("emt", number, "relaxed")
        seen |= {d["formula"] for d in relaxed}

    # each phase traces back to a crystal of the library
    for row in phase_rows(store, "emt", 10.0):
        assert row.lineage[0] in prototypes()
        assert row.new is (row.round > 0)

    # one workflow for each stage and each candidate; models load; shards hold what was counted
    assert set(stages(launchpad).values()) == {1}
    assert launchpad.get_fw_ids({"state": {"$ne": "COMPLETED"}}) == []
    for number in (1, 2):
        model = store.models.get(f"emt/{number}")
        assert len(Ensemble.load(model["directories"])) == 2
        shards = list(read_shards(settings.root / f"round-{number}" / "candidates"))
        counts = store.rounds.get("emt", number)["counts"]
        assert len(shards) == counts["generated"] == counts["screened"]
        assert counts["proposed"] >= counts["generated"] + counts["known"] + counts["duplicates"]
        screening = settings.root / f"round-{number}" / "screening"
        table = pa.concat_tables(pq.read_table(path) for path in sorted(screening.glob("screened-*.parquet")))
        assert table["id"].to_pylist() == [candidate.id for candidate in shards]
        assert table["decision"].to_pylist().count("selected") == counts["selected"]
        assert counts["predicted_in_full"] == len(shards)  # the audit looks at all that the first look refused
        hull = dict(zip(table["formula"].to_pylist(), table["hull_energy"].to_pylist(), strict=True))
        assert max(hull.values()) <= 0.0


def close(launchpad: LaunchPad, name: str, number: int) -> None:
    task = CloseRound(campaign=name, round=number)
    task.launchpad = launchpad
    task.run_task({})


def with_formula(document: dict[str, Any]) -> dict[str, Any]:
    sites = Counter(site["species"][0]["element"] for site in document["structure"]["sites"])
    return {**document, "structure_formula": "".join(f"{symbol}{n}" for symbol, n in sites.items())}


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


# ---- ends other than success


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


# ---- several campaigns, other seeds


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


def test_a_name_with_other_settings_is_refused(launchpad: LaunchPad, tmp_path: Path) -> None:
    settings = small_campaign(tmp_path)
    store = Store(launchpad.db)
    begin(store, launchpad, settings)
    with pytest.raises(CampaignExistsError):
        begin(store, launchpad, small_campaign(tmp_path, rounds=5))
    assert store.campaigns.get("emt")["settings"]["rounds"] == 1


def test_seeds_from_a_file(launchpad: LaunchPad, tmp_path: Path) -> None:
    crystal = Structure(Lattice.tetragonal(2.8, 3.7), ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    crystal.to(filename=str(tmp_path / "known.cif"))
    seeds = {"source": str(tmp_path / "known.cif"), "references": 1, "max_sites": 4}
    store = run_all(launchpad, small_campaign(tmp_path, seeds=seeds), tmp_path / "launches")
    assert store.campaigns.get("emt")["state"] == "finished"
    sources = Counter(d["lineage"]["source"] for d in store.candidates.of_round("emt", 0))
    assert sources == {"element": 2, "file": 1}


def test_a_bad_seed_file_registers_nothing(launchpad: LaunchPad, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("[]")
    seeds = {"source": str(tmp_path / "bad.json"), "references": 1}
    with pytest.raises(StructureFileError, match="no crystal in it"):
        begin(Store(launchpad.db), launchpad, small_campaign(tmp_path, seeds=seeds))
    assert Store(launchpad.db).database["campaigns"].count_documents({}) == 0
    assert not (tmp_path / "campaign").exists()


def test_the_seed_file_is_read_once(launchpad: LaunchPad, tmp_path: Path) -> None:
    """A worker elsewhere need not see it, and moving it later stops nothing."""
    crystal = Structure(Lattice.tetragonal(2.8, 3.7), ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    crystal.to(filename=str(tmp_path / "known.cif"))
    settings = small_campaign(tmp_path, seeds={"source": str(tmp_path / "known.cif"), "references": 1})
    store = Store(launchpad.db)
    begin(store, launchpad, settings)
    (tmp_path / "known.cif").unlink()
    begin(store, launchpad, settings)
    assert store.candidates.count("emt", 0) == 3


def test_another_campaigns_directory_is_refused(database: Any, launchpad: LaunchPad, tmp_path: Path) -> None:
    """Its training set and its networks are in there, perhaps of another theory, perhaps from another database."""
    begin(Store(launchpad.db), launchpad, small_campaign(tmp_path))
    with pytest.raises(SettingsError, match=r"holds the files of campaign 'emt'.*set 'directory'"):
        begin(Store(launchpad.db), launchpad, small_campaign(tmp_path, name="other"))
    elsewhere = LaunchPad(database.host, database.port, f"{launchpad.name}_2", strm_lvl="WARNING")
    with pytest.raises(SettingsError, match="of this or another database"):
        begin(Store(elsewhere.db), elsewhere, small_campaign(tmp_path))
    assert Store(elsewhere.db).database["campaigns"].count_documents({}) == 0


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


def test_what_lpad_reset_deleted_is_added_again(launchpad: LaunchPad, tmp_path: Path) -> None:
    settings = small_campaign(tmp_path)
    store = Store(launchpad.db)
    begin(store, launchpad, settings)
    launchpad.reset("", require_password=False)
    assert stages(launchpad) == {}
    run_all(launchpad, settings, tmp_path / "launches")
    assert store.campaigns.get("emt")["state"] == "finished"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device"), ImportError("sevenn")])
def test_what_lies_outside_the_relaxation_is_no_result(
    launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """Ctrl-C, a full disk, a broken installation: the candidate is not marked as failed, and can be run again."""
    original = AseRelaxer.relax

    def relax(self: AseRelaxer, atoms: Any, *args: Any, **kwargs: Any) -> Any:
        raise error

    monkeypatch.setattr(AseRelaxer, "relax", relax)
    store = run_all(launchpad, small_campaign(tmp_path), tmp_path / "launches")
    assert store.candidates.count("emt", 0, ["failed"]) == 0
    reasons = fizzled(launchpad, "emt")
    assert any("RelaxationInterruptedError" in reason and "lpad rerun_fws -i" in reason for reason in reasons.values())

    monkeypatch.setattr(AseRelaxer, "relax", original)
    for fw_id in launchpad.get_fw_ids({"state": "FIZZLED", "spec._category": "relax"}):
        launchpad.rerun_fw(fw_id)
    here = os.getcwd()
    rapidfire(launchpad, m_dir=str(tmp_path / "launches"), strm_lvl="WARNING")
    os.chdir(here)
    assert store.campaigns.get("emt")["state"] == "finished"
    assert store.database["candidates"].count_documents({"state": {"$ne": "relaxed"}}) == 0


# ---- workers that die


def worker_environment(launchpad: LaunchPad) -> dict[str, str]:
    uri = f"mongodb://{launchpad.host}:{launchpad.port}/"
    return {**os.environ, "GNOME_MONGODB_URI": uri, "GNOME_MONGODB_NAME": launchpad.name, "OMP_NUM_THREADS": "1"}


def test_a_killed_worker(launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kill -9 in the middle of a relaxation; `gnome campaign run` takes it up and finishes."""
    settings = small_campaign(tmp_path)
    launchpad.add_wf(start_workflow(settings))
    command = [
        sys.executable,
        "-m",
        "workflows.operate.worker",
        "--campaign",
        "emt",
        "--directory",
        str(tmp_path / "launches"),
    ]
    store = Store(launchpad.db)
    begin(store, launchpad, settings)
    for key, value in worker_environment(launchpad).items():
        monkeypatch.setenv(key, value)
    worker = subprocess.Popen(command)
    deadline = time.monotonic() + 120
    while not (running := launchpad.get_fw_ids({"state": "RUNNING", "spec._category": "relax"})):
        assert time.monotonic() < deadline, "the worker never began a relaxation"
        time.sleep(0.01)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert launchpad.get_fw_by_id(running[0]).state == "RUNNING"  # lost, and nobody has noticed

    run_campaign(Campaign(store, launchpad, "emt"), 1, Console(file=(tmp_path / "log").open("w")))
    assert store.campaigns.get("emt")["state"] == "finished"
    assert store.database["candidates"].count_documents({"state": "selected"}) == 0
    assert set(stages(launchpad).values()) == {1}


def test_a_stage_that_fails_stops_the_runner_with_its_reason(
    launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = small_campaign(tmp_path)
    begin(Store(launchpad.db), launchpad, settings)
    for fw_id in launchpad.get_fw_ids({"state": "WAITING"}):
        launchpad.update_spec([fw_id], {"_tasks.0.candidate": "emt/none"})
    for key, value in worker_environment(launchpad).items():
        monkeypatch.setenv(key, value)
    with pytest.raises(CampaignStuckError, match="no candidate 'emt/none'"):
        run_campaign(Campaign(Store(launchpad.db), launchpad, "emt"), 1, Console(file=(tmp_path / "log").open("w")))


def test_workers_are_told_apart_by_host_process_and_start() -> None:
    assert not is_dead(worker_name(os.getpid()))
    assert not is_dead(worker_name(os.getpid(), host="elsewhere"))
    assert not is_dead("gnome")
    process = subprocess.Popen(["sleep", "60"])
    name = worker_name(process.pid)
    assert not is_dead(name)
    process.kill()
    process.wait()
    assert is_dead(name)
    kind, host, pid, started = worker_name(os.getpid()).split(":")
    assert is_dead(f"{kind}:{host}:{pid}:{int(started) - 1000}")  # the number was another process's then


def test_a_worker_says_its_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its threads; with VASP, which takes other cores than the rest of its work, none."""
    monkeypatch.setenv("GNOME_SITE", str(tmp_path / "site.yaml"))
    (tmp_path / "site.yaml").write_text("")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert environment() == {"cores": 3}
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert environment() == {"cores": 1}
    (tmp_path / "site.yaml").write_text("vasp: {command: vasp_std, cores: 8}")
    assert environment() == {}
