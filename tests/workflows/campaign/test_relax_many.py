"""Many relaxations in one Firework: the same results as one by one, and a killed one repeats only what is missing."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from campaigns import contents, run_all, small_campaign, stages
from fireworks import LaunchPad
from pymatgen.core import Structure

from workflows.campaign.begin import begin
from workflows.campaign.settings import SettingsError, parse_settings
from workflows.campaign.stages.relax_many import MAX_DEATHS
from workflows.firetasks.relax_many import RelaxMany
from workflows.relax.potentials import AseRelaxation
from workflows.store import Store, StoreError


def test_the_same_as_one_by_one(
    database: Any, launchpad: LaunchPad, tmp_path: Path, failing: Callable[..., None]
) -> None:
    failing(lambda formula: formula == "CuAu3")
    single = contents(run_all(launchpad, small_campaign(tmp_path / "a"), tmp_path / "la"))
    other = LaunchPad(host=database.host, port=database.port, name=f"{launchpad.name}_many", strm_lvl="WARNING")
    other.reset("", require_password=False)
    settings = small_campaign(tmp_path / "b", relaxations={"per_firework": 4})
    many = contents(run_all(other, settings, tmp_path / "lb"))
    names = [d["name"] for d in other.fireworks.find({}, {"name": 1})]
    assert any("4 crystals of round 0" in name for name in names)
    assert set(stages(other).values()) == {1}
    assert many == single
    assert any(state == "failed" for state, _, _ in many["candidates"].values())


def chunk(launchpad: LaunchPad, settings: Any) -> tuple[RelaxMany, Store]:
    """The first chunk of a campaign that has just begun."""
    store = Store(launchpad.db)
    begin(store, launchpad, settings)
    found = launchpad.fireworks.find_one({"spec._tasks.candidates": {"$exists": True}, "state": "READY"})
    assert found is not None
    task = RelaxMany({k: v for k, v in found["spec"]["_tasks"][0].items() if not k.startswith("_")})
    task.launchpad = launchpad
    return task, store


def test_a_killed_one_goes_on(launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written stays, what was under way is repeated, and no more."""
    task, store = chunk(launchpad, small_campaign(tmp_path, relaxations={"per_firework": 100}))
    original, seen = AseRelaxation.relax, []

    def relax(self: AseRelaxation, structure: Structure) -> Any:
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(structure.reduced_formula)
        return original(self, structure)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(AseRelaxation, "relax", relax)
    with pytest.raises(KeyboardInterrupt):
        task.run_task({})
    assert store.candidates.count("emt", 0, ["relaxed"]) == 2
    count = len(task["candidates"])
    seen.append("gone on")
    task.run_task({})
    assert len(seen) - 1 == count
    assert store.candidates.count("emt", 0, ["relaxed"]) == count
    task.run_task({})  # nothing left to do
    assert len(seen) - 1 == count


def test_a_crystal_that_kills_its_workers_fails(
    launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, store = chunk(launchpad, small_campaign(tmp_path, relaxations={"per_firework": 100}))
    deadly = task["candidates"][0]
    for _ in range(MAX_DEATHS):
        store.candidates.begin(deadly)
    monkeypatch.chdir(tmp_path)
    task.run_task({})
    assert store.candidates.get(deadly)["state"] == "failed"
    assert "5 workers ended without a word" in store.candidates.get(deadly)["reason"]
    assert store.candidates.count("emt", 0, ["relaxed"]) == len(task["candidates"]) - 1


def test_what_lies_outside_the_crystal_is_no_death(
    launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often the disk is full."""
    task, store = chunk(launchpad, small_campaign(tmp_path, relaxations={"per_firework": 100}))
    monkeypatch.chdir(tmp_path)

    def full(self: AseRelaxation, structure: Structure) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(AseRelaxation, "relax", full)
        for _ in range(MAX_DEATHS + 1):
            with pytest.raises(OSError, match="No space"):
                task.run_task({})
    task.run_task({})
    assert store.candidates.count("emt", 0, ["relaxed"]) == len(task["candidates"])


def test_a_worker_without_the_theory_touches_no_crystal(launchpad: LaunchPad, tmp_path: Path) -> None:
    """What is installed there is another theory: nothing is said about the crystals, however often it tries."""
    task, store = chunk(launchpad, small_campaign(tmp_path, relaxations={"per_firework": 100}))
    store.database["campaigns"].update_one({"_id": "emt"}, {"$set": {"theory": "emt-of-another-installation"}})
    before = list(store.database["candidates"].find({}))
    for _ in range(MAX_DEATHS + 1):
        with pytest.raises(StoreError, match="was begun with theory emt-of-another-installation"):
            task.run_task({})
    assert list(store.database["candidates"].find({})) == before


def test_failures_are_tried_again_when_somebody_asks(
    launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`lpad rerun_fws` of a chunk that has ended: a success replaces a failure, what is relaxed stays."""
    task, store = chunk(launchpad, small_campaign(tmp_path, relaxations={"per_firework": 100}))
    monkeypatch.chdir(tmp_path)
    original = AseRelaxation.relax

    def broken(self: AseRelaxation, structure: Structure) -> Any:
        if "Au" in structure.reduced_formula:
            raise RuntimeError("something odd")
        return original(self, structure)

    with monkeypatch.context() as patch:
        patch.setattr(AseRelaxation, "relax", broken)
        task.run_task({})
    failed = store.candidates.count("emt", 0, ["failed"])
    assert failed > 0
    seen = []
    monkeypatch.setattr(AseRelaxation, "relax", lambda self, some: seen.append(some) or original(self, some))
    task.run_task({})
    assert len(seen) == failed
    assert store.candidates.count("emt", 0, ["relaxed"]) == len(task["candidates"])


def test_ionic_steps_are_kept(launchpad: LaunchPad, tmp_path: Path) -> None:
    """Each crystal's own, with energies and forces, whichever way it was relaxed; the last is the entry."""
    theory = {"name": "emt", "fmax": 0.05, "max_steps": 200, "keep_steps": True}
    for number, per_firework in enumerate((1, 3)):
        name = f"steps{number}"
        settings = small_campaign(
            tmp_path / name,
            name=name,
            theory={**theory, "fmax": 0.05 + 0.001 * number},
            relaxations={"per_firework": per_firework},
        )
        store = run_all(launchpad, settings, tmp_path / f"l{number}")
        candidates = list(store.database["candidates"].find({"campaign": name, "state": "relaxed"}))
        assert len(candidates) > 4
        for candidate in candidates:
            frames = ase.io.read(settings.root / "steps" / f"{candidate['_id'].rpartition('/')[2]}.extxyz", index=":")
            entry = store.database["entries"].find_one({"_id": candidate["entry"]})
            assert entry is not None
            assert frames[-1].get_potential_energy() == pytest.approx(entry["energy"], abs=1e-6)
            largest = float(np.linalg.norm(frames[-1].get_forces(), axis=1).max())
            assert largest == pytest.approx(entry["calculation"]["max_force"], abs=1e-6)
            assert frames[0].get_potential_energy() >= frames[-1].get_potential_energy() - 1e-9
            assert frames[0].get_stress().shape == (6,)
            assert {frame.info["theory"] for frame in frames} == {store.campaigns.get(name)["theory"]}


def test_steps_of_a_cheap_theory_are_not_kept(tmp_path: Path) -> None:
    data = small_campaign(tmp_path).model_dump(mode="json")
    with pytest.raises(SettingsError, match=r"prerelax\.keep_steps: steps are kept of the campaign's own theory alone"):
        parse_settings({**data, "prerelax": {"name": "emt", "keep_steps": True}}, "test")
    with pytest.raises(SettingsError, match="prerelax: theory 'vasp-pbe-mp' is not cheap"):
        parse_settings({**data, "prerelax": {"name": "vasp-pbe-mp"}}, "test")


def test_theories_with_fireworks_of_their_own_share_none(tmp_path: Path) -> None:
    data = small_campaign(tmp_path).model_dump(mode="json")
    with pytest.raises(SettingsError, match="per_firework = 4: theory 'vasp-pbe-mp' has Fireworks of its own"):
        parse_settings({**data, "theory": {"name": "vasp-pbe-mp"}, "relaxations": {"per_firework": 4}}, "test")
