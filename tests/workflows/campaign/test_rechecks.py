"""Rechecks: stable phases relaxed again at another theory, on a hull of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from campaigns import contents, run_all, run_all_twice, small_campaign, stages
from fireworks import LaunchPad
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition

from workflows.campaign.settings import SettingsError
from workflows.campaign.stages.rechecks import largest
from workflows.catalogue.phases import phase_rows
from workflows.store import Store

# of which the campaign finds stable ones
ALLOYS = {"elements": ["Al", "Cu", "Ni", "Pt"], "seeds": {"limit": 8, "max_sites": 4, "references": 1}}
SECOND = {"name": "emt", "fmax": 0.01, "max_steps": 400}


def test_stable_phases_stand_on_a_second_hull(
    launchpad: LaunchPad,
    tmp_path: Path,
    gnome: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GNOME_MONGODB_URI", f"mongodb://{launchpad.host}:{launchpad.port}")
    monkeypatch.setenv("GNOME_MONGODB_NAME", launchpad.name)
    settings = small_campaign(tmp_path, **ALLOYS, recheck={"theory": SECOND}, rounds=2)
    store = run_all(launchpad, settings, tmp_path / "launches")
    assert store.campaigns.get("emt")["state"] == "finished"
    assert store.campaigns.get("emt")["reason"] == "all 2 rounds done"
    first = store.campaigns.get("emt")["theory"]
    rechecks = list(store.database["candidates"].find({"recheck_of": {"$ne": None}}))
    second = rechecks[0]["theory"]
    assert second != first

    # all on the first hull of the systems of its finds, elements included, went on from where the first theory left it
    on_hull = {
        d["_id"]: d for d in store.database["entries"].find({"theory": first, "stability.e_above_hull": {"$lt": 5e-5}})
    }
    finds = [d for d in on_hull.values() if d["lineage"]["round"] > 0]
    assert finds
    systems = [set(d["elements"]) for d in finds]
    asked = {key for key, d in on_hull.items() if any(set(d["elements"]) <= system for system in systems)}
    assert {d["nelements"] for d in on_hull.values() if d["_id"] in asked} >= {1, 2}
    assert {d["recheck_of"] for d in rechecks} >= asked  # what was on the hull of an earlier round comes on top
    for document in rechecks:
        assert document["state"] == "relaxed"
        assert document["structure"] == store.database["entries"].find_one({"_id": document["recheck_of"]})["structure"]

    # its hull is pymatgen's on the second theory's entries alone
    entries = list(store.database["entries"].find({"theory": second}))
    assert len(entries) == len(rechecks)
    own = {d["_id"]: PDEntry(_cell(d), d["energy"]) for d in entries}
    diagram = PhaseDiagram(list(own.values()))
    for document in entries:
        assert document["stability"]["e_above_hull"] == pytest.approx(
            diagram.get_e_above_hull(own[document["_id"]]), abs=1e-6
        )
        assert document["campaigns"] == []

    # it is no find of the campaign: nothing of it in rounds, candidates and phases
    assert sum(store.candidates.count("emt", n) for n in range(3)) + len(rechecks) == store.database[
        "candidates"
    ].count_documents({})
    rows = {row.entry: row for row in phase_rows(store, "emt")}
    assert {row.theory for row in phase_rows(store, None, 10.0)} == {first}
    assert any(row.round > 0 for row in rows.values())
    for row in rows.values():
        if row.entry not in asked:
            assert row.recheck in ("", second)
            continue
        assert row.recheck == second
        twin = next(d for d in entries if d["recheck_of"] == row.entry)
        assert row.recheck_e_above_hull == twin["stability"]["e_above_hull"]
    status, out, _ = gnome("campaign", "status", "emt")
    assert status == 0
    assert f"rechecks: {len(rechecks)} relaxed" in out
    status, out, _ = gnome("stable", "--campaign", "emt", "--format", "json")
    assert second in {row["recheck"] for row in json.loads(out)}
    assert set(stages(launchpad).values()) == {1}


def _cell(document: dict[str, Any]) -> Composition:
    return Composition(_amounts(document["structure"]))


def _amounts(structure: dict[str, Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for site in structure["sites"]:
        symbol = site["species"][0]["element"]
        found[symbol] = found.get(symbol, 0) + 1
    return found


def test_twice_changes_nothing(database: Any, launchpad: LaunchPad, tmp_path: Path) -> None:
    once = contents(
        run_all(launchpad, small_campaign(tmp_path / "a", **ALLOYS, recheck={"theory": SECOND}), tmp_path / "la")
    )
    twice_pad = LaunchPad(host=database.host, port=database.port, name=f"{launchpad.name}_twice", strm_lvl="WARNING")
    twice_pad.reset("", require_password=False)
    settings = small_campaign(tmp_path / "b", **ALLOYS, recheck={"theory": SECOND})
    assert contents(run_all_twice(twice_pad, settings, tmp_path / "lb")) == once


def test_a_second_opinion_that_fails_is_said(launchpad: LaunchPad, tmp_path: Path) -> None:
    """Two steps are not enough for the finds; the campaign ends all the same."""
    settings = small_campaign(tmp_path, **ALLOYS, recheck={"theory": {"name": "emt", "fmax": 0.0001, "max_steps": 2}})
    store = run_all(launchpad, settings, tmp_path / "launches")
    assert store.campaigns.get("emt")["state"] == "finished"
    told = {row.recheck for row in phase_rows(store, "emt") if row.round > 0}
    assert told
    assert all(text.startswith(("failed: not converged", "not placed")) for text in told)


def test_a_second_hull_that_lacks_a_phase_is_no_stability(
    launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recheck of one competitor fails: those that stand against it say so."""
    from workflows.relax.potentials import AseRelaxation

    original = AseRelaxation.read
    broken: list[str] = []

    def read(self: AseRelaxation, output: dict[str, Any]) -> Any:
        found = original(self, output)
        formula = found.structure.composition.reduced_formula
        if self.settings.fmax == SECOND["fmax"] and len(found.structure.composition) == 2 and broken in ([], [formula]):
            broken[:] = [formula]
            return replace(found, converged=False)
        return found

    monkeypatch.setattr(AseRelaxation, "read", read)
    store = run_all(launchpad, small_campaign(tmp_path, **ALLOYS, recheck={"theory": SECOND}), tmp_path / "launches")
    assert store.campaigns.get("emt")["state"] == "finished"
    assert broken
    elements = {element.symbol for element in Composition(broken[0])}
    rows = [row for row in phase_rows(store, "emt") if row.recheck_e_above_hull is not None]
    assert rows
    for row in rows:
        stands_against_it = elements <= {element.symbol for element in Composition(row.formula)}
        assert row.recheck_missing == ((broken[0],) if stands_against_it else ())


def test_the_campaigns_own_theory_is_no_second_opinion(launchpad: LaunchPad, tmp_path: Path) -> None:
    from workflows.campaign.begin import register

    with pytest.raises(SettingsError, match=r"recheck\.theory: it is the campaign's own"):
        register(
            Store(launchpad.db),
            small_campaign(tmp_path, recheck={"theory": {"name": "emt", "fmax": 0.05, "max_steps": 200}}),
        )


def test_systems_within_others_are_left_out() -> None:
    systems = {frozenset("AB"), frozenset("ABC"), frozenset("CD")}
    assert largest(systems) == [frozenset("ABC"), frozenset("CD")]
