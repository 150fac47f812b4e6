"""Campaigns that choose from candidates which are there already."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from campaigns import run_all, small_campaign
from fireworks import LaunchPad
from pages import ROOT, blocks
from plugins import distribution

from gnome_torch.candidates.parents import parent_of
from gnome_torch.candidates.prototypes import prototypes
from gnome_torch.candidates.structural.generation import generate
from gnome_torch.candidates.structural.pool import SOURCES
from gnome_torch.candidates.structural.selection import Request, Selection
from gnome_torch.candidates.tables.shards import read_shards
from gnome_torch.models.checkpoint import load_metrics
from gnome_torch.plugins import registered
from workflows.campaign.begin import register
from workflows.campaign.campaign import Campaign
from workflows.campaign.pipelines import STRUCTURAL
from workflows.campaign.settings import CampaignSettings, SettingsError, read_campaign_file
from workflows.store import Store

METALS = ["Cu", "Ag", "Au"]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pool") / "candidates"
    settings = small_campaign(directory, elements=METALS, structural={"threshold": 1e-5, "max_sites": 4})
    parents = [parent_of(key, crystal) for key, crystal in prototypes().items() if 2 <= len(crystal) <= 4]
    generate(parents, Request(settings.structural_options([]), Selection(100)), directory)
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
    chosen = list(store.database["candidates"].find({"round": {"$gt": 0}}))
    assert {d["_id"].rpartition("/")[2] for d in chosen} <= set(candidates)
    # a composition that has been computed is closed, or it is not
    for number in (1, 2):
        computed = {
            d["formula"] for d in store.database["candidates"].find({"round": {"$lt": number}, "state": "relaxed"})
        }
        proposed = list(read_shards(settings.root / f"round-{number}" / "candidates"))
        assert {some.lineage.round for some in proposed} == {number}
        assert bool({some.reduced_formula for some in proposed} & computed) == polymorphs
    counts = store.rounds.get("emt", 2)["counts"]
    assert counts["proposed"] == len(candidates)
    assert bool(counts["known"]) != polymorphs
    assert bool(counts["tried"]) == polymorphs
    # members go on from their own weights of the round before
    run = Campaign(store, launchpad, settings.name)
    members = [STRUCTURAL.member_directory(run, number, 1) for number in (1, 2)]
    first, second = (load_metrics(member)["training"] for member in members)
    assert (first["begin_with"], first["epochs"]) == (None, 4)
    assert (second["begin_with"], second["epochs"]) == (str(members[0]), 2)


def test_a_pool_that_is_not_there_is_said_before_anything_is_written(launchpad: LaunchPad, tmp_path: Path) -> None:
    settings = campaign(tmp_path / "nothing", tmp_path, True)
    with pytest.raises(SettingsError, match=r"structural\.pool: .*nothing: no finished candidates"):
        register(Store(launchpad.db), settings)
    assert not settings.root.exists()
    assert not Store(launchpad.db).campaigns.exists("emt")


def test_beside_the_campaign_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("spec: {campaign: {name: a, elements: [Cu, Au], theory: {name: emt}, structural: {pool: shards}}}")
    settings = read_campaign_file(file)
    assert settings.structural.pool == str(tmp_path / "shards")


# ---- a source that another package registers: the one of docs/extending.md


@pytest.fixture
def exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Name of the page's source, installed."""
    page = list(blocks(ROOT / "docs" / "extending.md"))
    (shown,) = [tomllib.loads(block.text) for block in page if SOURCES in block.text and block.language == "toml"]
    ((name, value),) = shown["project"]["entry-points"][SOURCES].items()
    site = distribution(tmp_path / "site", "my-sources", SOURCES, {name: value, "lost": "exchange:lost"})
    (text,) = [block.text for block in page if block.file == "exchange.py"]
    (site / "exchange.py").write_text(text)
    monkeypatch.syspath_prepend(str(site))
    registered.cache_clear()
    yield name
    sys.modules.pop("exchange", None)
    registered.cache_clear()


def test_a_source_is_called_in_every_round(launchpad: LaunchPad, tmp_path: Path, exchange: str) -> None:
    settings = small_campaign(tmp_path, rounds=2, structural={"source": exchange, "max_sites": 4})
    store = run_all(launchpad, settings, tmp_path / "launches")
    assert store.campaigns.get("emt")["state"] == "finished"
    chosen = list(store.database["candidates"].find({"round": {"$gt": 0}}))
    assert {d["round"] for d in chosen} == {1, 2}
    assert {(d["lineage"]["source"], d["lineage"]["substitution"]) for d in chosen} == {("exchange", "Cu<->Au")}
    counts = store.rounds.get("emt", 2)["counts"]
    assert counts["proposed"] > counts["passed"] > 0  # the prototypes are of other elements
    assert counts["tried"] > 0


def test_a_source_that_cannot_be_used_is_refused_at_the_start(
    launchpad: LaunchPad, tmp_path: Path, exchange: str
) -> None:
    for name, message in (
        ("exchang", "structural.source: 'exchang': there is no candidate source of this name: 'exchange', 'lost'"),
        ("lost", r"structural.source: gnome_torch.sources: 'lost' of my-sources \(exchange:lost\) cannot be loaded"),
    ):
        with pytest.raises(SettingsError, match=message):
            register(Store(launchpad.db), small_campaign(tmp_path, structural={"source": name}))
    with pytest.raises(SettingsError, match="structural: pool and source: candidates come from one of them"):
        small_campaign(tmp_path, structural={"source": exchange, "pool": str(tmp_path)})
