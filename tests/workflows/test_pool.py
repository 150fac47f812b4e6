"""Campaigns that choose from candidates which are there already."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaigns import run_all, small_campaign
from fireworks import LaunchPad

from gnome_torch.candidates.generation import Selection, generate
from gnome_torch.candidates.parents import parent_of
from gnome_torch.candidates.prototypes import prototypes
from gnome_torch.candidates.shards import read_shards
from gnome_torch.models.checkpoint import load_metrics
from workflows.campaign import register
from workflows.firetasks.train import member_directory
from workflows.settings import CampaignSettings, SettingsError, read_campaign_file
from workflows.store import Store

METALS = ["Cu", "Ag", "Au"]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pool") / "candidates"
    settings = small_campaign(directory, elements=METALS, structural={"threshold": 1e-5, "max_sites": 4})
    parents = [parent_of(key, crystal) for key, crystal in prototypes().items() if 2 <= len(crystal) <= 4]
    generate(parents, settings.structural_options([]), directory, selection=Selection(100))
    return directory


def campaign(pool: Path, directory: Path, polymorphs: bool) -> CampaignSettings:
    return small_campaign(
        directory,
        rounds=2,
        elements=METALS,
        structural={"pool": str(pool), "max_sites": 4, "polymorphs": polymorphs},
        network={"members": 2, "hidden": [8, 8], "epochs": 4, "batch_size": 8, "warm_epochs": 2},
    )


@pytest.mark.parametrize("polymorphs", [False, True])
def test_choose_from_it_and_from_nothing_else(
    launchpad: LaunchPad, pool: Path, tmp_path: Path, polymorphs: bool
) -> None:
    settings = campaign(pool, tmp_path, polymorphs)
    store = run_all(launchpad, settings, tmp_path / "launches")
    candidates = {some.id: some for some in read_shards(pool)}
    chosen = list(store.candidates.find({"round": {"$gt": 0}}))
    assert {d["_id"].rpartition("/")[2] for d in chosen} <= set(candidates)
    # a composition that has been computed is closed, or it is not
    for number in (1, 2):
        computed = {d["formula"] for d in store.candidates.find({"round": {"$lt": number}, "state": "relaxed"})}
        proposed = list(read_shards(settings.root / f"round-{number}" / "candidates"))
        assert {some.lineage.round for some in proposed} == {number}
        assert bool({some.reduced_formula for some in proposed} & computed) == polymorphs
    counts = store.round("emt", 2)["counts"]
    assert counts["proposed"] == len(candidates)
    assert bool(counts["known"]) != polymorphs
    assert bool(counts["tried"]) == polymorphs
    # members go on from their own weights of the round before
    first, second = (load_metrics(member_directory(settings, number, 1))["training"] for number in (1, 2))
    assert (first["begin_with"], first["epochs"]) == (None, 4)
    assert (second["begin_with"], second["epochs"]) == (str(member_directory(settings, 1, 1)), 2)


def test_a_pool_that_is_not_there_is_said_before_anything_is_written(launchpad: LaunchPad, tmp_path: Path) -> None:
    settings = campaign(tmp_path / "nothing", tmp_path, True)
    with pytest.raises(SettingsError, match=r"structural\.pool: .*nothing: no finished candidates"):
        register(Store(launchpad.db), settings)
    assert not settings.root.exists()
    assert not Store(launchpad.db).has_campaign("emt")


def test_beside_the_campaign_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("spec: {campaign: {name: a, elements: [Cu, Au], theory: {name: emt}, structural: {pool: shards}}}")
    settings = read_campaign_file(file)
    assert settings.structural.pool == str(tmp_path / "shards")
