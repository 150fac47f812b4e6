"""Campaigns whose candidates a potential judges first, and that confirm what they list."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from ase.calculators.emt import EMT
from campaigns import contents, run_all, run_all_twice, small_campaign
from fireworks import LaunchPad
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from gnome_torch.baseline import SCALES, Baseline, lowest_of_volumes
from gnome_torch.candidates.tables.shards import read_parents, read_shards
from gnome_torch.inference import predict_structures
from gnome_torch.models.ensemble import Ensemble
from gnome_torch.stability.formulas import fractions_of
from workflows.campaign.baseline import Judgements, judgements_of
from workflows.campaign.campaign import Campaign
from workflows.campaign.places import RoundPlaces
from workflows.campaign.settings import CampaignSettings, SettingsError
from workflows.campaign.stages.alike import LOWER, already_there, computed
from workflows.campaign.stages.judge import judge_candidates
from workflows.campaign.stages.predictors import judge_of
from workflows.catalogue.hulls import current_hull
from workflows.catalogue.phases import phase_rows
from workflows.catalogue.phases.doubts import doubts
from workflows.ground.continuation import StopRequested
from workflows.relax import theory
from workflows.relax.potentials import EmtTheory
from workflows.store import StoreError

EMT_BASELINE = {"name": "emt", "fmax": 0.03}


def campaign_with_baseline(directory: Path, **changes: Any) -> CampaignSettings:
    network = {"members": 2, "hidden": [8, 8], "epochs": 4, "batch_size": 8, "learning_rate": 0.003}
    screening = {"max_relaxations": 4}
    return small_campaign(
        directory, **{"baseline": EMT_BASELINE, "screening": screening, "network": network, **changes}
    )


def by_hand(structure: Structure) -> float:
    """Lowest of three volumes by ASE's EMT, eV/atom."""
    energies = []
    for scale in SCALES:
        atoms = AseAtomsAdaptor.get_atoms(structure)
        atoms.set_cell(atoms.cell * scale ** (1 / 3), scale_atoms=True)
        atoms.calc = EMT()
        energies.append(atoms.get_potential_energy() / len(atoms))
    return float(lowest_of_volumes(np.array([energies]))[0])


def energy_of(structure: Structure) -> float:
    """By ASE's EMT, eV/atom."""
    atoms = AseAtomsAdaptor.get_atoms(structure)
    return float(EMT().get_potential_energy(atoms)) / len(atoms)


def test_candidates_are_judged_by_the_potential(launchpad: LaunchPad, tmp_path: Path) -> None:
    settings = campaign_with_baseline(tmp_path)
    store = run_all(launchpad, settings, tmp_path / "launches")
    places, campaign = RoundPlaces(settings.root, 1), Campaign(store, launchpad, "emt")
    model = store.models.get("emt/1")
    baseline = Baseline.from_document(model["baseline"])
    assert json.loads(places.baseline.read_text())["slope"] == baseline.slope
    assert baseline.error < 0.05  # the theory itself, before the end of its relaxation
    assert 0.0 <= baseline.trust <= 1.0
    judgements = judgements_of(campaign)
    parents = read_parents(places.candidates)
    crystals = {c.id: c.structure(parents[c.parent_id]) for c in read_shards(places.candidates)}
    # single points of all
    keys = sorted(crystals)
    assert judgements.points(keys) == pytest.approx([by_hand(crystals[key]) for key in keys], abs=1e-5)
    # the first steps of the lowest of each composition, which go down, and say what the crystal then has
    lowest: dict[str, list[tuple[float, str]]] = {}
    for key in keys:
        lowest.setdefault(crystals[key].reduced_formula, []).append((float(judgements.points([key])[0]), key))
    wanted = {key for some in lowest.values() for _, key in sorted(some)[:3]}
    assert {key for key in keys if judgements.has_approached(key)} == wanted
    for key in wanted:
        found = judgements.approached(key)
        assert found.structure is not None
        assert found.energy <= judgements.points([key])[0] + 3e-3
        assert energy_of(found.structure) == pytest.approx(found.energy, abs=1e-5)
    # predictions: the baseline's, with the networks' correction; what took no steps is not chosen
    table = pq.read_table(next(places.screening.glob("screened-*.parquet"))).to_pydict()
    there = already_there(
        computed(campaign, 1, judgements), judgements, [(key, crystals[key].reduced_formula) for key in sorted(wanted)]
    )
    rows = [row for row, key in enumerate(table["id"]) if key in wanted - there]
    names, formulas = [table["id"][row] for row in rows], [table["formula"][row] for row in rows]
    own = baseline.formation_energies(
        np.array([judgements.approached(name).energy for name in names]), fractions_of(formulas)
    )
    ensemble = Ensemble.load(model["directories"])
    corrections, _ = predict_structures(ensemble, [judgements.approached(name).structure for name in names])
    assert np.array(table["formation_energy"])[rows] == pytest.approx(own + baseline.trust * corrections, abs=1e-5)
    assert all(np.isinf(table["formation_energy"][row]) for row in set(range(len(keys))) - set(rows))
    chosen = store.candidates.of_round("emt", 1)
    for candidate in chosen:  # it is relaxed from where the potential has left it
        known = judgements.approached(candidate["_id"].removeprefix("emt/")).structure
        assert np.allclose(Structure.from_dict(candidate["structure"]).lattice.matrix, known.lattice.matrix, atol=1e-6)
    assert store.rounds.get("emt", 1)["result"]["prediction_mae"] < 0.05


def test_twice_is_the_same_as_once(launchpad: LaunchPad, tmp_path: Path) -> None:
    once = contents(run_all(launchpad, campaign_with_baseline(tmp_path / "a"), tmp_path / "a" / "launches"))
    launchpad.connection.drop_database(launchpad.name)
    launchpad.reset("", require_password=False)
    twice = contents(run_all_twice(launchpad, campaign_with_baseline(tmp_path / "b"), tmp_path / "b" / "launches"))
    assert once == twice


def test_what_was_computed_before_a_stop_is_kept(
    launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = campaign_with_baseline(tmp_path)
    store = run_all(launchpad, settings, tmp_path / "launches")
    campaign = Campaign(store, launchpad, "emt")
    for path in (settings.root / "baseline").rglob("*.parquet"):
        path.unlink()
    monkeypatch.setattr("workflows.campaign.baseline.POINTS_AT_ONCE", 5)
    with pytest.raises(StopRequested, match="crystal"):
        judge_candidates(campaign, 1, lambda: 1)
    total = len(list(read_shards(campaign.places(1).candidates)))
    assert judge_candidates(campaign, 1)["computed"] == total - 5
    assert judge_candidates(campaign, 1) == {"computed": 0, "approached": 0}
    # a disk that lies: a torn file's crystals are computed again, the others stay
    torn = next((settings.root / "baseline").rglob("points-*.parquet"))
    lost = pq.read_metadata(torn).num_rows
    torn.write_bytes(torn.read_bytes()[:100])
    assert 0 < judge_candidates(campaign, 1)["computed"] <= lost
    assert judge_candidates(campaign, 1) == {"computed": 0, "approached": 0}
    # what was fitted to one potential is not used with the energies of another
    key = "emt/1"
    store.models.add(key, **{**store.models.get(key), "baseline": {**store.models.get(key)["baseline"], "theory": "x"}})
    with pytest.raises(StoreError, match=r"fitted to x, this installation has emt-.*must not meet"):
        judge_of(campaign, 1, current_hull(store, campaign.theory_id, settings.elements))


def test_a_crystal_that_cannot_be_computed_is_nan(tmp_path: Path) -> None:
    level = theory(EmtTheory())
    good = Structure(np.eye(3) * 3.6, ["Cu"] * 4, [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    alien = good.copy()
    alien.replace_species({"Cu": "Fe"})  # EMT has no iron
    crystals = [("good", good), ("alien", alien)]
    judgements = Judgements(level, tmp_path)
    assert judgements.compute_points(crystals) == 2
    assert judgements.approach(crystals) == 2
    found = judgements.points(["good", "alien", "unknown"])
    assert found == pytest.approx([by_hand(good), np.nan, np.nan], abs=1e-6, nan_ok=True)
    assert np.isnan(judgements.approached("alien").energy)
    again = Judgements(level, tmp_path)  # from disk
    assert (again.compute_points(crystals), again.approach(crystals)) == (0, 0)
    assert again.points(["good"]) == judgements.points(["good"])
    assert again.approached("good").energy == judgements.approached("good").energy
    kept, before = again.approached("good").structure, judgements.approached("good").structure
    assert kept is not None
    assert before is not None
    assert np.allclose(kept.cart_coords, before.cart_coords)
    assert again.has_approached("alien")


def test_a_crystal_that_is_there_gets_no_relaxation(tmp_path: Path) -> None:
    """The same in another cell and another volume is there; a lower one is another, and so is another structure."""
    judgements = Judgements(theory(EmtTheory()), tmp_path)
    cubic = Structure(
        np.eye(3) * 3.9, ["Au", "Cu", "Cu", "Cu"], [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    )
    twice = cubic * (1, 1, 2)
    twice.scale_lattice(twice.volume * 1.1)
    stacked = [[0.5 * (layer % 2), 0.5 * (layer % 2), layer / 4] for layer in range(4)]
    layered = Structure(np.diag([2.7, 2.7, 7.4]), ["Au", "Cu", "Cu", "Cu"], stacked)
    judgements.approach([("cubic", cubic), ("twice", twice), ("layered", layered)])
    candidates = [(name, "Cu3Au") for name in ("cubic", "twice", "layered")]
    assert len(already_there({}, judgements, candidates) & {"cubic", "twice"}) == 1  # the lower of them stays
    assert "layered" not in already_there({}, judgements, candidates)
    energy = judgements.approached("cubic").energy
    assert already_there({"Cu3Au": [(energy, cubic)]}, judgements, candidates) == {"cubic", "twice"}
    assert already_there({"CuAu": [(energy, cubic)]}, judgements, candidates[:1]) == set()
    # what pays is kept, however alike the crystals are
    assert already_there({"Cu3Au": [(energy + 2 * LOWER, cubic)]}, judgements, candidates[:1]) == set()


@pytest.mark.parametrize(
    ("baseline", "said"),
    [
        ({"name": "vasp-pbe-mp"}, "not cheap: name a potential"),
        ({"name": "forcefield", "model": "none"}, "say its version"),
        ("chgnet", "baseline"),
    ],
)
def test_bad_baselines_are_refused(tmp_path: Path, baseline: Any, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        campaign_with_baseline(tmp_path, baseline=baseline)


def test_none_is_the_paper_s_choice(tmp_path: Path) -> None:
    assert campaign_with_baseline(tmp_path, baseline="none").baseline is None


def test_what_is_on_the_hull_is_confirmed(launchpad: LaunchPad, tmp_path: Path) -> None:
    """The compounds on the hull have had so many crystals relaxed, or the pool holds no more of them."""
    settings = campaign_with_baseline(
        tmp_path, screening={"max_relaxations": 4, "confirm": 3, "threshold": 0.01}, structural={"max_sites": 4}
    )
    store = run_all(launchpad, settings, tmp_path / "launches")
    assert store.campaigns.get("emt")["state"] == "finished"
    relaxed = store.candidates.count_by_formula("emt")
    stable = store.entries.stable_compounds(store.campaigns.get("emt")["theory"], settings.elements)
    assert stable
    last = max(document["number"] for document in store.rounds.all("emt"))
    left = Counter(c.reduced_formula for c in read_shards(RoundPlaces(settings.root, last).candidates))
    tried = {c.removeprefix("emt/") for c in store.candidates.tried("emt")}
    for formula in stable:
        assert relaxed[formula] >= 3 or last == settings.last_round or not left[formula], (formula, tried)
    # those beyond the last round confirm, and nothing else
    for number in range(settings.rounds + 1, last + 1):
        before = {c["formula"] for r in range(number) for c in store.candidates.of_round("emt", r)}
        assert {c["formula"] for c in store.candidates.of_round("emt", number)} <= before
    # what is listed says how far it is confirmed
    for row in phase_rows(store, "emt"):
        assert row.crystals_tried == relaxed[row.formula]
        assert row.unconfirmed == (relaxed[row.formula] < 3)
        assert any(note.startswith("unconfirmed") for note in doubts(row)) == row.unconfirmed
