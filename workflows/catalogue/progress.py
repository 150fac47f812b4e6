"""How a campaign goes, as plain rows: what its rounds are doing, their funnel, the networks' errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from workflows.catalogue.hits import Hits
from workflows.catalogue.words import plural
from workflows.store import ENDED, CampaignState, CandidateState, NetworkKind, SearchState, Store, model_id
from workflows.store.base import Document


@dataclass(frozen=True)
class RoundRow:
    """One round, from what was generated to the new stable compounds.

    Attributes:
        number: round; 0 is the first data.
        generated: candidates after de-duplication, policy and novelty.
        near_hull: predicted within the threshold.
        selected: sent to relaxation (one per composition).
        relaxed: finished.
        failed: failed, or refused as implausible.
        hits: what came of its trials, those of its searches included; None until it has closed.
        prediction_mae: predicted against relaxed formation energy of the round's crystals, eV/atom.
        network_mae: the round's ensemble on the test part of the data, eV/atom.
        network_mae_before: the ensemble before it on the same crystals, eV/atom.
        searches: compositions that were searched for crystals, and what came of it; None for none.
    """

    number: int
    generated: int | None
    near_hull: int | None
    selected: int
    relaxed: int
    failed: int
    hits: Hits | None
    prediction_mae: float | None
    network_mae: float | None
    network_mae_before: float | None
    searches: SearchRow | None


@dataclass(frozen=True)
class SearchRow:
    """The compositional pipeline of one round, from formulas to new stable compounds.

    Attributes:
        formulas: balanced by oxidation states, and not known.
        strict: those of them that balance strictly.
        near_hull: predicted within the threshold.
        searched: searched for crystals.
        failed: searches without a crystal to relax.
        finished: searches with at least one finished relaxation.
        hits: what came of these; None until the round has closed.
        prediction_mae: predicted against lowest relaxed formation energy, eV/atom.
        network_mae: the round's ensemble of composition networks on the test part of the data, eV/atom.
        network_mae_before: the ensemble before it on the same compositions, eV/atom.
    """

    formulas: int
    strict: int
    near_hull: int | None
    searched: int
    failed: int
    finished: int | None
    hits: Hits | None
    prediction_mae: float | None
    network_mae: float | None
    network_mae_before: float | None


def round_rows(store: Store, campaign: str) -> list[RoundRow]:
    """The funnel of a campaign, a row a round."""
    rows = []
    tally = store.candidates.tally(campaign)
    for document in store.rounds.all(campaign):
        states = tally.get(document["number"], {})
        number, counts, result = document["number"], document.get("counts", {}), document.get("result", {})
        model = store.models.get(f"{campaign}/{number}")
        rows.append(
            RoundRow(
                number=number,
                generated=counts.get("generated"),
                near_hull=counts.get("near_hull"),
                selected=sum(states.values()),
                relaxed=states.get(CandidateState.RELAXED, 0),
                failed=states.get(CandidateState.FAILED, 0),
                hits=Hits.read(result) if result else None,
                prediction_mae=result.get("prediction_mae"),
                network_mae=model.get("test_mae"),
                network_mae_before=model.get("test_mae_before"),
                searches=_search_row(store, campaign, document),
            )
        )
    return rows


def _search_row(store: Store, campaign: str, document: Document) -> SearchRow | None:
    counts = document.get("counts", {}).get("compositions")
    if counts is None:
        return None
    number, result = document["number"], document.get("result", {}).get("searches", {})
    model = store.models.get(model_id(campaign, number, NetworkKind.COMPOSITION))
    return SearchRow(
        formulas=counts["compositions"],
        strict=counts["strict"],
        near_hull=counts.get("near_hull"),
        searched=store.searches.count(campaign, number),
        failed=store.searches.count(campaign, number, SearchState.FAILED),
        finished=result.get("finished"),
        hits=Hits.read(result) if result else None,
        prediction_mae=result.get("prediction_mae"),
        network_mae=model.get("test_mae"),
        network_mae_before=model.get("test_mae_before"),
    )


@dataclass(frozen=True)
class RoundProgress:
    """What a round is doing.

    Attributes:
        number: round; `RECHECKS` for the rechecks, which are of no round.
        label: what it is doing, in words.
        ended: relaxations that have ended.
        total: relaxations in all; 0 where it is not known yet.
        note: what else to know.
    """

    number: int
    label: str
    ended: int
    total: int
    note: str = ""


RECHECKS = -1


def status_lines(store: Store, name: str) -> list[RoundProgress]:
    """What each round is doing that has begun, then the rechecks, then what comes before the next round."""
    rounds = store.rounds.all(name)
    tally = store.candidates.tally(name)
    lines = [_round_progress(store, name, document, tally.get(document["number"], {})) for document in rounds]
    if rechecks := store.rechecks.tally(name):
        ended, total = _ended(rechecks), sum(rechecks.values())
        label = "recheck: relaxing stable phases at another theory"
        lines.append(RoundProgress(RECHECKS, label, ended, total, _joined(_failed(rechecks))))
    campaign = store.campaigns.get(name)
    goes_on = campaign["state"] == CampaignState.RUNNING and not campaign.get("over")
    if rounds and "closed" in rounds[-1] and goes_on:
        number = rounds[-1]["number"] + 1
        stage = "generating" if store.models.get(model_id(name, number)) else "training the networks"
        lines.append(RoundProgress(number, f"round {number}: {stage}", 0, 0))
    return lines


def _round_progress(store: Store, name: str, document: Document, states: Mapping[str, int]) -> RoundProgress:
    number, total = document["number"], sum(states.values())
    searching = store.searches.count(name, number, SearchState.SELECTED)
    note = _joined(
        _failed(states),
        f"{searching} {plural(searching, 'composition')} to search" if searching else "",
        _found(Hits.read(document["result"])) if "result" in document else "",
    )
    return RoundProgress(number, f"round {number}: {_stage(document, total, searching)}", _ended(states), total, note)


def _stage(document: Document, total: int, searching: int) -> str:
    """What a round is doing.

    Args:
        document: of the round.
        total: relaxations that it has begun.
        searching: compositions that it has still to search.
    """
    if document["number"] == 0:
        return "relaxing first crystals"
    if total:
        return "relaxing candidates"
    if searching:
        return "searching crystals"
    counts = document.get("counts", {})
    if counts.get("selected") == 0:
        return "no candidate near the hull"
    return f"screening {counts.get('generated', '')}".rstrip()


def _found(hits: Hits) -> str:
    """What came of a round, in words."""
    if hits.stable is None or not hits.trials:
        return f"{hits.on_hull} on the hull"
    return f"{hits.stable} new stable, {hits.rediscovered} rediscovered"


def _ended(states: Mapping[str, int]) -> int:
    return sum(states.get(state, 0) for state in ENDED)


def _failed(states: Mapping[str, int]) -> str:
    count = states.get(CandidateState.FAILED, 0)
    return f"{count} failed" if count else ""


def _joined(*notes: str) -> str:
    return ", ".join(filter(None, notes))
