"""What a campaign is doing, in words."""

from __future__ import annotations

import io

from reports import THEORY, formulas, select, write_campaign, write_relaxed, write_searches
from rich.console import Console

from workflows.catalogue.hits import Hits
from workflows.catalogue.progress import RECHECKS, RoundProgress, status_lines
from workflows.commands.tables import print_funnel
from workflows.store import CandidateState, Store


def test_from_the_first_crystals_to_the_next_round(store: Store) -> None:
    store.campaigns.create("c", {"elements": ["Li", "O"]}, THEORY, "none", "/nowhere", "uid")
    assert status_lines(store, "c") == []
    store.rounds.open("c", 0)
    write_relaxed(store, "c", 0, "Li")
    select(store, "c", 0, "O", None)
    assert status_lines(store, "c") == [RoundProgress(0, "round 0: relaxing first crystals", 1, 2)]
    store.candidates.end("c/O", CandidateState.FAILED, reason="it exploded")
    store.rounds.close("c", 0, Hits(0, 1, 0).stored())
    first, following = status_lines(store, "c")
    assert (first.ended, first.total, first.note) == (2, 2, "1 failed, 1 on the hull")
    assert following == RoundProgress(1, "round 1: training the networks", 0, 0)
    store.rounds.open("c", 1)
    store.rounds.update("c", 1, counts={"generated": 1234})
    assert status_lines(store, "c")[-1].label == "round 1: screening 1234"
    store.rounds.update("c", 1, counts={"generated": 1234, "selected": 0})
    assert status_lines(store, "c")[-1].label == "round 1: no candidate near the hull"


def test_the_funnel_tells_what_was_new(store: Store) -> None:
    """Of rounds that an earlier version closed what was on the hull, and who says the rest."""
    write_campaign(store, "c", ["Li", "O"], [2, 2, 2])
    store.rounds.close("c", 1, {"relaxed": 2, "stable": 1, "hit_rate": 0.5})
    store.rounds.close("c", 2, Hits(2, 2, 1).stored())
    terminal = Console(file=io.StringIO(), width=300)
    print_funnel(store, "c", terminal)
    text = terminal.file.getvalue()  # type: ignore[attr-defined]
    rows = {cells[0]: cells[5:9] for line in text.splitlines() if len(cells := _cells(line)) == 12}
    assert rows["round"] == ["on the hull", "new", "known", "hit rate"]
    assert (rows["1"], rows["2"]) == (["1", "-", "-", "-"], ["2", "1", "1", "50%"])
    assert rows["0"][1:] == ["0", rows["0"][0], "-"]
    assert "round 1 ('gnome doctor' counts it, where it still can)" in text
    notes = [line.note for line in status_lines(store, "c")]
    assert notes[1:] == ["1 on the hull", "1 new stable, 1 rediscovered"]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.replace("┃", "│").strip("│").split("│")]


def test_searches_and_rechecks(store: Store) -> None:
    entries = write_campaign(store, "c", ["Li", "O"], [2, 2], state="running")
    wanted = [formula for formula in formulas(["Li", "O"], 4) if "4" in formula][:1]
    store.rounds.open("c", 2)
    write_searches(store, "c", 2, wanted)
    store.database["searches"].update_many({}, {"$set": {"state": "selected"}})
    assert status_lines(store, "c")[-1].note == "1 composition to search"
    asked = [{**d, "_id": key, "structure": {}} for key, d in store.entries.documents_of(entries[:2]).items()]
    store.rechecks.select("c", 1, "second", asked)
    store.candidates.end(f"c/recheck/{entries[0]}", CandidateState.FAILED, reason="it exploded")
    assert status_lines(store, "c")[-1] == RoundProgress(
        RECHECKS, "recheck: relaxing stable phases at another theory", 1, 2, "1 failed"
    )
