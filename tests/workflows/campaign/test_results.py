"""What a round brought: when it closes, when stragglers have ended, and of rounds that an earlier version closed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from campaigns import run_all, small_campaign
from fireworks import LaunchPad
from old_campaigns import restore
from reports import THEORY, write_campaign, write_searches

from gnome_torch.stability.hull import STABLE_TOLERANCE
from workflows.campaign.campaign import Campaign
from workflows.campaign.stages.close import close_round
from workflows.campaign.stages.results import recount, result_of
from workflows.catalogue.hits import Hits
from workflows.catalogue.hulls import renew
from workflows.operate.doctor import examine
from workflows.operate.lost import Patience
from workflows.store import Store


def as_it_was(result: dict[str, Any], trials: int) -> dict[str, Any]:
    """A result as an earlier version wrote it: everything on the hull is stable."""
    on_hull = result["stable"] + result["rediscovered"]
    kept = {key: value for key, value in result.items() if key not in ("trials", "rediscovered")}
    return {**kept, "relaxed": trials, "stable": on_hull, "hit_rate": on_hull / trials}


def test_rounds_of_an_earlier_version_are_counted_anew(launchpad: LaunchPad) -> None:
    """From what is stored, though the hull has moved since; what cannot be told any more is left as it is."""
    store = Store(launchpad.db)
    store.prepare()
    entries = write_campaign(store, "c", ["Li", "Mg", "O"], [6, 6, 6, 6])
    for key in entries[6:9]:  # some compositions of the first round were known
        store.finds.set_novelty(key, new_composition=False)
    right = {}
    for document in store.rounds.all("c"):
        on_hull, number = Hits.read(document["result"]).on_hull, document["number"]
        assert on_hull > 0
        right[number] = document["result"]
        store.rounds.close("c", number, as_it_was(document["result"], 9 if number == 0 else 6))
    assert store.database["entries"].count_documents({"displaced": {"$exists": True}}) > 0
    campaign = Campaign(store, launchpad, "c")
    first = store.entries.documents_of(entries[6:9]).values()
    lost = sum(d["stability"]["e_above_hull"] <= STABLE_TOLERANCE or "displaced" in d for d in first)
    assert lost > 0
    for document in store.rounds.all("c"):
        number = document["number"]
        assert Hits.read(document["result"]).stable is None
        assert recount(campaign, document)
        document = store.rounds.get("c", number)
        told = Hits.read(document["result"])
        before = Hits.read(right[number])
        assert (told.trials, told.on_hull) == (before.trials, before.on_hull)
        assert told.stable == (before.stable or 0) - (lost if number == 1 else 0)
        assert document["result"].get("prediction_mae") == right[number].get("prediction_mae")
        assert not recount(campaign, document)

    wrong = as_it_was(right[2], 6)
    wrong |= {"stable": wrong["stable"] + 1, "hit_rate": (wrong["stable"] + 1) / 6}
    store.rounds.close("c", 2, wrong)
    assert not recount(campaign, store.rounds.get("c", 2))
    assert store.rounds.get("c", 2)["result"] == wrong


def test_the_doctor_counts_them(launchpad: LaunchPad, tmp_path: Path) -> None:
    """Campaigns that version 0.1.0 left, none of whose finds was stable; and what else it said of what is new."""
    restore(launchpad, tmp_path)
    store = Store(launchpad.db)
    store.prepare()
    documents = store.database["entries"]
    near = documents.find_one({"lineage.campaign": "many", "lineage.round": 1, "stability.e_above_hull": {"$lt": 0.1}})
    assert near is not None
    bare = {key: value for key, value in near["novelty"].items() if key != "duplicate_of"}
    documents.update_one({"_id": near["_id"]}, {"$set": {"novelty": {**bare, "prototype": "AB_hP6_154_a_b"}}})
    before = {row["_id"]: row["result"] for name in ("both", "many") for row in store.rounds.all(name)[:3]}
    told = [str(finding) for finding in examine(store, launchpad, None, Patience())]
    assert "1 crystal had not been compared with known ones: compared" in told
    assert "the two hands of 1 prototype were written apart: joined" in told
    novelty = (store.entries.get(near["_id"]) or {})["novelty"]
    assert (novelty["prototype"], novelty["duplicate_of"]) == ("AB_hP6_152_a_b", near["novelty"]["duplicate_of"])
    for name in ("both", "many"):
        assert f"campaign '{name}': rounds 0, 1, 2 did not say what was new on the hull: counted" in told
        for row in store.rounds.all(name)[:3]:
            old, hits = before[row["_id"]], Hits.read(row["result"])
            assert (hits.on_hull, hits.stable) == (old["stable"], 0)
            assert hits.trials == (0 if row["number"] == 0 else {"both": 5, "many": 3}[name])
            same = old.keys() - {"stable", "hit_rate", "searches"}
            assert {key: row["result"][key] for key in same} == {key: old[key] for key in same}
    searches = store.rounds.get("both", 1)["result"]["searches"]
    assert Hits.read(searches) == Hits(2, 0, 0)
    again = " ".join(str(finding) for finding in examine(store, launchpad, None, Patience()))
    assert not [word for word in ("counted", "compared", "joined") if word in again]


def test_stragglers_are_compared_too(launchpad: LaunchPad, tmp_path: Path) -> None:
    """What ends after its round has closed is judged when the next one closes."""
    store = run_all(launchpad, small_campaign(tmp_path, rounds=2), tmp_path / "launches")
    campaign = Campaign(store, launchpad, "emt")
    before = store.rounds.get("emt", 1)["result"]
    some = next(c["entry"] for c in store.candidates.of_round("emt", 1) if c["state"] == "relaxed")
    novelty = (store.entries.get(some) or {})["novelty"]
    assert "duplicate_of" in novelty
    bare = {key: novelty[key] for key in ("prototype", "likely_disorder", "new_composition")}
    store.database["entries"].update_one({"_id": some}, {"$set": {"novelty": bare}})
    store.rounds.update("emt", 1, **{"result.outstanding": 1, "result.stable": 99})
    close_round(campaign, 2)
    assert (store.entries.get(some) or {})["novelty"] == novelty
    assert store.rounds.get("emt", 1)["result"] == before


def test_searches_count_apart_and_together(launchpad: LaunchPad) -> None:
    """A random search is one trial, beside the structural ones."""
    store = Store(launchpad.db)
    store.prepare()
    write_campaign(store, "c", ["Li", "O"], [2, 3], state="running")
    write_searches(store, "c", 1, ["Li5O", "LiO5", "Li5O3"])
    result = result_of(Campaign(store, launchpad, "c"), 1, renew(store, THEORY).points)
    searched, both = Hits.read(result["searches"]), Hits.read(result)
    assert (searched.trials, both.trials) == (3, 6)
    single = [c for c in store.candidates.of_round("c", 1) if c.get("search") is None]
    places = store.entries.documents_of([c["entry"] for c in single])
    on_hull = sum(d["stability"]["e_above_hull"] <= STABLE_TOLERANCE for d in places.values())
    assert both.on_hull - searched.on_hull == on_hull
    assert both.stable == both.on_hull  # nobody had any of them
