"""Tasks that are stopped by a signal go on in a detour, and the campaign comes to the same end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from campaigns import contents, run_all, small_campaign
from fireworks import LaunchPad

from gnome_torch.training.learner import Stepper
from workflows.firetasks.train import TrainMember
from workflows.ground.continuation import NoProgressError, go_on, stop_signal
from workflows.relax.potentials import AseRelaxation


def signalling(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, at: set[int], number: int) -> Callable[[], int]:
    """Send this process a signal at some calls of a method; returns how many calls there have been."""
    original, calls = getattr(owner, name), [0]

    def called(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] in at:
            os.kill(os.getpid(), number)
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, called)
    return lambda: calls[0]


@pytest.fixture
def undisturbed(database: Any, launchpad: LaunchPad, tmp_path: Path) -> dict[str, Any]:
    other = LaunchPad(host=database.host, port=database.port, name=f"{launchpad.name}_calm", strm_lvl="WARNING")
    other.reset("", require_password=False)
    return contents(run_all(other, small_campaign(tmp_path / "calm"), tmp_path / "calm-launches"))


def continuations(launchpad: LaunchPad) -> list[dict[str, Any]]:
    """Specs of the Fireworks that went on from others."""
    return [d["spec"] for d in launchpad.fireworks.find({"name": {"$regex": "goes on$"}})]


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_training(
    launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, Any], number: int
) -> None:
    """Stopped three times, once in the second member: the same weights, so the same choice of candidates."""
    steps = signalling(monkeypatch, Stepper, "step", {2, 3, 7}, number)
    store = run_all(launchpad, small_campaign(tmp_path / "stopped"), tmp_path / "launches")
    assert contents(store) == undisturbed
    specs = continuations(launchpad)
    assert len(specs) == 3
    assert {(spec["_category"], spec["_priority"]) for spec in specs} == {("train", 20)}
    assert all(spec["_stopped_at"].startswith("epoch ") for spec in specs)
    assert launchpad.get_fw_ids({"state": {"$ne": "COMPLETED"}}) == []
    # no step was taken twice
    model = store.models.get("emt/1")
    assert steps() == 2 * 4 * -(-model["n_train"] // 8)


def test_screening(
    launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, Any]
) -> None:
    import gnome_torch.inference as inference

    signalling(monkeypatch, inference, "predict", {1}, signal.SIGUSR1)
    store = run_all(launchpad, small_campaign(tmp_path / "stopped"), tmp_path / "launches")
    assert contents(store) == undisturbed
    (spec,) = continuations(launchpad)
    assert (spec["_category"], spec["_priority"]) == ("screen", 20)


def test_many_relaxations(
    launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, Any]
) -> None:
    relaxed = signalling(monkeypatch, AseRelaxation, "relax", {2, 5}, signal.SIGUSR1)
    settings = small_campaign(tmp_path / "stopped", relaxations={"per_firework": 50})
    store = run_all(launchpad, settings, tmp_path / "launches")
    assert contents(store) == undisturbed
    assert {(spec["_category"], spec["_priority"]) for spec in continuations(launchpad)} == {("relax", 10)}
    assert relaxed() == store.database["candidates"].count_documents({})
    assert launchpad.get_fw_ids({"state": {"$ne": "COMPLETED"}}) == []


def test_stopped_twice_at_the_same_point_is_an_error() -> None:
    task = TrainMember(campaign="c", round=1, member=0)
    spec = {"_category": "train", "_priority": 20, "_pass_job_info": True, "_tasks": [], "_dupefinder": 1}
    (detour,) = go_on(task, spec, "again", "epoch 1, step 3").detours
    kept = {key: value for key, value in detour.spec.items() if key != "_tasks"}
    assert kept == {"_category": "train", "_priority": 20, "_pass_job_info": True, "_stopped_at": "epoch 1, step 3"}
    assert dict(detour.tasks[0]) == {"campaign": "c", "round": 1, "member": 0}
    with pytest.raises(NoProgressError, match=r"stopped twice at epoch 1, step 3: give category 'train' a longer"):
        go_on(task, kept, "again", "epoch 1, step 3")


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with stop_signal() as stopped:
        assert stopped() == 0
        os.kill(os.getpid(), signal.SIGUSR1)
        assert stopped() == signal.SIGUSR1
    assert signal.getsignal(signal.SIGUSR1) == before
