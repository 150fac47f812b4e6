"""The compositional pipeline as a campaign: formulas, networks, random searches, relaxations, on EMT."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from campaigns import contents, run_all, run_all_twice, run_ready, stages
from fireworks import LaunchPad
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition, Structure

from gnome_torch.candidates.random_search.files import read_crystals
from gnome_torch.candidates.random_search.options import GeneratorMissingError, SearchOptions
from gnome_torch.candidates.random_search.pre_relaxed import read_pre_relaxed
from gnome_torch.candidates.random_search.search import again, generator_of
from gnome_torch.records import Relaxation
from gnome_torch.similarity import Distinct
from gnome_torch.stability.hull import STABLE_TOLERANCE
from gnome_torch.training.dataset import CompositionSet
from workflows.campaign.places import RoundPlaces
from workflows.campaign.settings import CampaignSettings, SettingsError, parse_settings
from workflows.campaign.stages import searches as stage
from workflows.catalogue.phases import phase_rows
from workflows.catalogue.progress import round_rows
from workflows.firetasks.search import PrerelaxCrystals
from workflows.relax.potentials import AseRelaxation
from workflows.store.launchpad import fizzled

EMT = {"name": "emt", "fmax": 0.05, "max_steps": 200}
Failing = Callable[[Callable[[str], bool]], None]


def campaign(directory: Path, search: dict[str, Any] | None = None, **changes: Any) -> CampaignSettings:
    """Two metals; nothing known but the elements and a few crystals."""
    settings: dict[str, Any] = {
        "name": "formulas",
        "elements": ["Cu", "Au"],
        "theory": EMT,
        "seeds": {"limit": 4, "max_sites": 4, "references": 1},
        "pipelines": ["compositional"],
        "compositional": {
            "max_amount": 3,
            "max_atoms": 4,
            "threshold": 5.0,
            "max_compositions": 2,
            "search": {"structures": 6, "formula_units": [1, 2], "max_sites": 8, "min_runs": 3, **(search or {})},
        },
        "composition_network": {"members": 2, "hidden": [8, 8], "epochs": 4, "batch_size": 8},
        "rounds": 1,
        "directory": str(directory / "campaign"),
    }
    return parse_settings({**settings, **changes}, "test")


# ---- the whole pipeline


def test_formulas_to_phases(launchpad: LaunchPad, tmp_path: Path) -> None:
    settings = campaign(tmp_path)
    store = run_all(launchpad, settings, tmp_path / "launches")
    assert store.campaigns.get("formulas")["state"] == "finished"
    assert fizzled(launchpad, "formulas") == {}

    # formulas: all of up to four atoms that nothing was computed of before
    known = {d["formula"] for d in store.database["candidates"].find({"round": 0, "state": "relaxed"})}
    possible = {Composition({"Cu": a, "Au": b}).reduced_formula for a, b in ((1, 1), (1, 2), (2, 1), (1, 3), (3, 1))}
    row = round_rows(store, "formulas")[1].searches
    assert row is not None
    assert row.formulas == row.near_hull == len(possible - known)
    assert (row.searched, row.finished, row.failed) == (2, 2, 0)
    assert row.strict <= row.formulas

    # every search has made its crystals, each of which was relaxed as a candidate with the search in its lineage
    searches = list(store.database["searches"].find({}))
    assert {s["formula"] for s in searches} <= possible - known
    for search in searches:
        assert search["state"] == "searched"
        assert search["counts"] == {"crystals": 6, "relaxations": 6}
        crystals = read_crystals(RoundPlaces(settings.root, 1).searches / f"{search['formula']}.extxyz")
        candidates = list(store.database["candidates"].find({"search": search["formula"]}))
        assert len(candidates) == len(crystals) == 6
        for candidate in candidates:
            lineage = candidate["lineage"]
            assert (candidate["state"], lineage["source"], lineage["model_id"]) == (
                "relaxed", "random", "formulas/1/composition"
            )  # fmt: skip
            assert candidate["prediction"]["formation_energy"] == search["prediction"]["formation_energy"]
            # the lineage says how to make it again
            attempt = int(lineage["substitution"].rsplit(" ", 1)[-1])
            options = settings.compositional.search.options(settings.seed)
            (made,) = again(search["formula"], attempt, options, generator_of("pyxtal")).crystals
            distinct = Distinct()
            assert distinct.add(made.structure)
            assert not distinct.add(Structure.from_dict(candidate["structure"]))

    # hit rate and error: by hand, from all energies
    entries = {d["_id"]: d for d in store.database["entries"].find({})}
    diagram = PhaseDiagram(
        [PDEntry(Composition(d["formula"]), d["energy_per_atom"] * Composition(d["formula"]).num_atoms, d["_id"])
         for d in entries.values()]
    )  # fmt: skip
    lowest = {
        s["formula"]: min(
            entries[c["entry"]]["energy_per_atom"] for c in store.database["candidates"].find({"search": s["formula"]})
        )
        for s in searches
    }
    stable, errors = 0, []
    for search in searches:
        composition = Composition(search["formula"])
        best = PDEntry(composition, lowest[search["formula"]] * composition.num_atoms)
        stable += diagram.get_e_above_hull(best) <= STABLE_TOLERANCE
        errors.append(abs(search["prediction"]["formation_energy"] - diagram.get_form_energy_per_atom(best)))
    assert row.hits is not None
    assert (row.hits.trials, row.hits.on_hull) == (2, stable)
    assert row.prediction_mae == pytest.approx(sum(errors) / 2)
    model = store.models.get("formulas/1/composition")
    assert (model["kind"], model["n_train"] + model["n_test"]) == ("composition", len(known))
    for phase in phase_rows(store, "formulas", max_e_above_hull=10.0):
        assert phase.lineage[0] == ("random search" if phase.source == "random" else phase.parent)


def test_both_pipelines_with_pre_relaxation_and_failures(
    launchpad: LaunchPad, tmp_path: Path, failing: Failing
) -> None:
    """In one round; the relaxations of one composition fail, and everything ends all the same."""
    settings = campaign(
        tmp_path,
        search={"prerelax": {**EMT, "fmax": 0.3, "max_steps": 30}, "relax_lowest": 2},
        pipelines=["structural", "compositional"],
        structural={"max_sites": 4, "limit": 20, "threshold": 0.00001, "polymorphs": False, "assignments": 0},
        network={"members": 1, "hidden": [8, 8], "epochs": 2, "batch_size": 8, "starts": "own"},
        screening={"threshold": 2.0, "volumes": 3, "max_relaxations": 1},
        rounds=2,
    )
    failing(lambda formula: formula == "CuAu3")
    store = run_all(launchpad, settings, tmp_path / "launches")
    assert store.campaigns.get("formulas")["state"] == "finished"
    searches = {s["formula"]: s for s in store.database["searches"].find({})}
    failed = searches.pop("CuAu3")
    assert failed["state"] == "failed"
    assert failed["counts"] == {"crystals": 6, "pre_relaxed": 0, "pre_relaxations_failed": 6}
    assert "CuAu3 always fails" in failed["reason"]
    assert searches
    for search in searches.values():
        assert search["state"] == "searched"
        assert search["counts"]["pre_relaxed"] == 6
        assert 1 <= search["counts"]["relaxations"] <= 2
        # what was relaxed is what the rough relaxation left lowest
        rough = read_pre_relaxed(RoundPlaces(settings.root, search["round"]).pre_relaxed(search["formula"]))
        energies = sorted(r.relaxation.energy / len(r.relaxation.structure) for r in rough if r.relaxation)
        candidates = list(store.database["candidates"].find({"search": search["formula"]}))
        assert len(candidates) == search["counts"]["relaxations"]
        assert all("pre-relaxed by emt-" in c["lineage"]["substitution"] for c in candidates)
        structures = [Structure.from_dict(c["structure"]) for c in candidates]
        assert any(r.relaxation.structure in structures for r in rough if r.relaxation and
                   r.relaxation.energy / len(r.relaxation.structure) == energies[0])  # fmt: skip
    structural = list(store.database["candidates"].find({"round": {"$gt": 0}, "search": None}))
    assert structural
    assert all(c["lineage"]["source"] in ("substitution", "saps") for c in structural)
    # no composition twice, by whatever pipeline of whatever round
    chosen = [c["formula"] for c in structural if c["state"] == "relaxed"] + [*searches, "CuAu3"]
    assert len(chosen) == len(set(chosen))
    assert {r.number: r.searches is not None for r in round_rows(store, "formulas")} == {0: False, 1: True, 2: True}


def test_every_firework_twice(database: Any, launchpad: LaunchPad, tmp_path: Path) -> None:
    search = {"structures": 3, "prerelax": {**EMT, "fmax": 0.5, "max_steps": 20}, "relax_lowest": 2}
    once = run_all(launchpad, campaign(tmp_path / "once", search), tmp_path / "once" / "launches")
    other = LaunchPad(database.host, database.port, f"{launchpad.name}_twice", strm_lvl="WARNING")
    other.reset("", require_password=False)
    twice = run_all_twice(other, campaign(tmp_path / "twice", search), tmp_path / "twice" / "launches")
    assert once.campaigns.get("formulas")["state"] == twice.campaigns.get("formulas")["state"] == "finished"
    assert contents(twice) == contents(once)
    assert stages(other) == stages(launchpad)
    assert set(stages(other).values()) == {1}


def test_a_composition_without_crystals_ends_with_the_reason(launchpad: LaunchPad, tmp_path: Path) -> None:
    settings = campaign(tmp_path, search={"separations": {"Au-Cu": 9.0}})
    store = run_all(launchpad, settings, tmp_path / "launches")
    assert store.campaigns.get("formulas")["state"] == "finished"
    searches = list(store.database["searches"].find({}))
    assert len(searches) == 2
    for search in searches:
        assert search["state"] == "failed"
        assert search["reason"].startswith(f"{search['formula']}: no crystal in 120 attempts")
        assert "Au-Cu 9.00" in search["reason"]
    row = round_rows(store, "formulas")[1]
    assert (row.selected, row.searches.failed if row.searches else None) == (0, 2)


@pytest.mark.parametrize("prerelax", [None, EMT])
def test_an_interrupted_search_goes_on(
    launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prerelax: Any
) -> None:
    """A full disk or a generator that is not installed says nothing about the composition."""
    original, errors = stage.search, [OSError(28, "No space left on device"), GeneratorMissingError("no buildcell")]

    def failing(*arguments: Any) -> Any:
        if errors:
            raise errors.pop()
        return original(*arguments)

    monkeypatch.setattr(stage, "search", failing)
    search = {"structures": 3, "prerelax": prerelax, "relax_lowest": 2}
    settings = campaign(tmp_path, search)
    store = run_all(launchpad, settings, tmp_path / "launches")
    assert store.campaigns.get("formulas")["state"] == "running"
    assert {s["state"] for s in store.database["searches"].find({})} == {"selected"}
    reasons = fizzled(launchpad, "formulas")
    assert sum("lpad rerun_fws" in reason for reason in reasons.values()) == 2
    for fw_id in launchpad.get_fw_ids({"state": "FIZZLED", "spec._category": "generate"}):
        launchpad.rerun_fw(fw_id)
    run_ready(launchpad, tmp_path / "launches")
    assert store.campaigns.get("formulas")["state"] == "finished"
    assert {s["state"] for s in store.database["searches"].find({})} == {"searched"}


# ---- pre-relaxations


def test_a_killed_pre_relaxation_goes_on(launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It dies after two of six crystals; the next run relaxes the other four."""
    original, calls = AseRelaxation.relax, list[int]()

    def dying(self: AseRelaxation, structure: Structure) -> Relaxation:
        calls.append(len(structure))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(self, structure)

    monkeypatch.setattr(AseRelaxation, "relax", dying)
    settings = campaign(tmp_path, {"prerelax": EMT, "relax_lowest": 1})
    store = run_all(launchpad, settings, tmp_path / "launches")
    assert store.campaigns.get("formulas")["state"] == "running"  # the record says that it was interrupted
    reasons = fizzled(launchpad, "formulas").values()
    assert any("lpad rerun_fws" in reason for reason in reasons)
    (search,) = list(store.database["searches"].find({"state": "selected"}))
    assert len(read_pre_relaxed(RoundPlaces(settings.root, 1).pre_relaxed(search["formula"]))) == 2
    task = PrerelaxCrystals(campaign="formulas", round=1, formula=search["formula"])
    task.launchpad = launchpad
    before = len(calls)
    action = task.run_task({})
    assert action.stored_data == {"pre_relaxed": 6, "failed": 0}
    assert len(calls) - before == 4
    assert task.run_task({}).stored_data == {"pre_relaxed": 6, "failed": 0}
    assert len(calls) - before == 4


# ---- labels


def labels_of(settings: CampaignSettings, number: int) -> dict[str, float]:
    """What the composition networks of a round have learnt from."""
    data = CompositionSet.load(RoundPlaces(settings.root, number).directory / "composition-training-set")
    return dict(zip([formula.decode() for formula in data.formulas], data.targets.tolist(), strict=True))


def test_where_what_is_known_is_no_label_a_campaign_lives_on_what_was_searched(
    launchpad: LaunchPad, tmp_path: Path
) -> None:
    """Alone it fails, in one line that says what to do; after a campaign that searched, it learns from its searches."""
    strict = campaign(tmp_path / "strict", {"known_labels": False}, name="strict")
    store = run_all(launchpad, strict, tmp_path / "launches")
    state = store.campaigns.get("strict")
    assert state["state"] == "failed"
    assert state["reason"].startswith("round 1: no composition has compositional.search.min_runs = 3 finished runs")
    assert "with known_labels: true" in state["reason"]
    assert "\n" not in state["reason"]
    assert fizzled(launchpad, "strict") == {}

    first, again = (
        campaign(tmp_path / name, {"known_labels": known}, name=name)
        for name, known in (("first", True), ("again", False))
    )
    for settings in (first, again):
        run_all(launchpad, settings, tmp_path / settings.name)
        assert store.campaigns.get(settings.name)["state"] == "finished"
        assert fizzled(launchpad, settings.name) == {}
    searched = {s["formula"] for s in store.database["searches"].find({"campaign": "first"})}
    known = store.candidates.first_formulas("first")
    assert known - {"Cu", "Au"}
    assert not searched & known
    assert labels_of(first, 1).keys() == known
    of_searched = {
        formula: min(d["stability"]["formation_energy"] for d in store.database["entries"].find({"formula": formula}))
        for formula in searched
    }
    assert labels_of(again, 1) == pytest.approx({"Cu": 0.0, "Au": 0.0} | of_searched, abs=1e-6)


def test_a_structural_find_of_a_round_is_no_label_of_the_next(launchpad: LaunchPad, tmp_path: Path) -> None:
    settings = campaign(
        tmp_path,
        pipelines=["structural", "compositional"],
        structural={"max_sites": 4, "limit": 20, "threshold": 0.00001, "polymorphs": False, "assignments": 0},
        network={"members": 1, "hidden": [8, 8], "epochs": 2, "batch_size": 8},
        screening={"threshold": 2.0, "max_relaxations": 1},
        compositional={
            "max_amount": 3, "max_atoms": 4, "threshold": 5.0, "max_compositions": 1,
            "search": {"structures": 4, "formula_units": [1, 2], "max_sites": 8, "min_runs": 3},
        },
        rounds=2,
    )  # fmt: skip
    store = run_all(launchpad, settings, tmp_path / "launches")
    chosen = list(store.database["candidates"].find({"round": 1, "state": "relaxed"}))
    found = {c["formula"] for c in chosen if c["search"] is None}
    searched = {c["search"] for c in chosen} - {None}
    assert found
    assert searched
    assert labels_of(settings, 2).keys() == store.candidates.first_formulas("formulas") | searched
    assert not found & labels_of(settings, 2).keys()


# ---- settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"compositional": {"search": {"volumes": [1.2, 0.4]}}}, "compositional.search: volumes = 1.2 to 0.4"),
        ({"compositional": {"search": {"separations": {"Au": 2}}}}, "compositional.search: separation 'Au'"),
        ({"compositional": {"max_atoms": 30}}, "compositional: max_atoms = 30: 1 formula units of so many"),
        ({"compositional": {"search": {"structure": 3}}}, "unknown key 'compositional.search.structure'"),
        ({"pipelines": ["compositional", "compositional"]}, "pipelines: one is named twice"),
        ({"compositional": {"search": {"operations": [5, 5]}}}, "compositional.search: operations = 5 to 5"),
        ({"compositional": {"search": {"structures": 5}}}, "structures = 5: fewer than min_runs = 10"),
        ({"compositional": {"min_elements": 4}}, "min_elements = 4: more than max_elements = 3"),
        ({"compositional": {"search": {"separations": {"Au-O": 2}}}}, "separations: Au-O: not two of the campaign"),
        ({"elements": ["Li", "Au"], "theory": {"name": "forcefield"},
          "compositional": {"search": {"prerelax": EMT}}}, "theory 'emt' has no Li"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_used(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=message):
        campaign(tmp_path, **changes)


def test_the_options_of_a_search() -> None:
    settings = parse_settings({"name": "x", "elements": ["Li", "O"], "seed": 7}, "test")
    options = settings.compositional.search.options(settings.seed)
    assert options == SearchOptions(count=100, seed=7)
    assert json.dumps(settings.model_dump(mode="json"))
