"""How a campaign went, as plain rows: the funnel of its rounds, the networks' errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workflows.store import NetworkKind, SearchState, Store, model_id


@dataclass(frozen=True)
class RoundRow:
    """One round, from what was generated to what is stable.

    Attributes:
        number: round; 0 is the first data.
        generated: candidates after de-duplication, policy and novelty.
        near_hull: predicted within the threshold.
        selected: sent to relaxation (one per composition).
        relaxed: finished.
        failed: failed, or refused as implausible.
        stable: on the hull when the round closed.
        hit_rate: stable / relaxed.
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
    stable: int | None
    hit_rate: float | None
    prediction_mae: float | None
    network_mae: float | None
    network_mae_before: float | None
    searches: SearchRow | None


@dataclass(frozen=True)
class SearchRow:
    """The compositional pipeline of one round, from formulas to stable phases.

    Attributes:
        formulas: balanced by oxidation states, and not known.
        strict: those of them that balance strictly.
        near_hull: predicted within the threshold.
        searched: searched for crystals.
        failed: searches without a crystal to relax.
        finished: searches with at least one finished relaxation.
        stable: of these, on the hull when the round closed.
        hit_rate: stable / finished.
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
    stable: int | None
    hit_rate: float | None
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
                relaxed=states.get("relaxed", 0),
                failed=states.get("failed", 0),
                stable=result.get("stable"),
                hit_rate=result.get("hit_rate"),
                prediction_mae=result.get("prediction_mae"),
                network_mae=model.get("test_mae"),
                network_mae_before=model.get("test_mae_before"),
                searches=_search_row(store, campaign, document),
            )
        )
    return rows


def _search_row(store: Store, campaign: str, document: dict[str, Any]) -> SearchRow | None:
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
        stable=result.get("stable"),
        hit_rate=result.get("hit_rate"),
        prediction_mae=result.get("prediction_mae"),
        network_mae=model.get("test_mae"),
        network_mae_before=model.get("test_mae_before"),
    )
