"""A campaign at a glance."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from campaigns import run_all, small_campaign
from fireworks import LaunchPad
from rich.console import Console

from workflows.campaign.begin import begin
from workflows.catalogue.hits import Hits
from workflows.operate.watch import Snapshot, snapshot, view, watch
from workflows.store import Store


def shown(some: Snapshot) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(view(some), markup=False, highlight=False)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_from_its_beginning_to_its_end(
    launchpad: LaunchPad, tmp_path: Path, failing: Callable[[Callable[[str], bool]], None], gnome: Any
) -> None:
    failing(lambda formula: formula == "CuAu3")
    settings = small_campaign(tmp_path)
    store = Store(launchpad.db)
    begin(store, launchpad, settings)
    some = snapshot(store, "emt")
    crystals = store.database["candidates"].count_documents({})
    assert (some.state, some.waiting, some.rate_per_h, some.left, some.hits.hit_rate) == (
        "running",
        crystals,
        0.0,
        None,
        None,
    )
    assert some.queue == {"relax": {"READY": crystals}, "control": {"WAITING": crystals}}
    assert "round 0: relaxing first crystals" in shown(some)
    store = run_all(launchpad, settings, tmp_path / "launches")
    some = snapshot(store, "emt")
    assert (some.state, some.waiting, some.left) == ("finished", 0, None)
    ended = store.database["candidates"].count_documents({})
    assert some.rate_per_h >= ended  # within the first hour: as if it went on like that
    result = store.rounds.get("emt", 1)["result"]
    assert some.hits == Hits(result["trials"], result["stable"] + result["rediscovered"], result["stable"])
    assert {failure.formula for failure in some.failures} == {"CuAu3"}
    text = shown(some)
    assert "left" not in text
    assert "queue" not in shown(replace(some, queue={}))
    assert "CuAu3: RuntimeError: CuAu3 always fails" in text
    assert some.failures[0].directory in text


def test_it_ends_with_the_campaign(launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal: one look after the other; elsewhere one."""
    store = Store(launchpad.db)
    begin(store, launchpad, small_campaign(tmp_path))
    looks: list[str] = []

    def look() -> Snapshot:
        looks.append("")
        if looks.count("") == 3:
            store.campaigns.end("emt", "finished", "enough")
        return snapshot(store, "emt")

    terminal = Console(file=io.StringIO(), force_terminal=True, width=120)
    watch(look, terminal, 5.0, lambda seconds: looks.append("waited") if seconds == 5.0 else None)
    assert looks == ["", "waited", "", "waited", ""]
    assert "finished enough" in terminal.file.getvalue()  # type: ignore[attr-defined]
    looks.clear()
    watch(look, Console(file=io.StringIO()), 5.0, lambda seconds: looks.append("waited"))
    assert looks == [""]
