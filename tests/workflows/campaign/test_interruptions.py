"""What lies outside a relaxation is no result of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from atomate2.ase.utils import AseRelaxer
from campaigns import run_all, run_ready, small_campaign
from fireworks import LaunchPad

from workflows.store.launchpad import fizzled


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
    run_ready(launchpad, tmp_path / "launches")
    assert store.campaigns.get("emt")["state"] == "finished"
    assert store.database["candidates"].count_documents({"state": {"$ne": "relaxed"}}) == 0
