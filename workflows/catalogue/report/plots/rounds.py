"""Figures of the rounds: how many candidates remain, how many are hits, how wrong predictions are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from workflows.catalogue.hits import Hits
from workflows.catalogue.progress import RoundRow, SearchRow
from workflows.catalogue.report.data import Report
from workflows.catalogue.report.plots.style import (
    ACCENT,
    COLOUR,
    GOOD,
    MARK,
    MUTED,
    Plot,
    add_legend,
    empty_figure,
    plot,
)
from workflows.store import NetworkKind

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Funnel = tuple[str, list[tuple[str, int | None]]]
"""Its name, then each stage with how many candidates remain, None for not known."""

MAX_FUNNELS = 6  # of a figure


def round_plots(report: Report) -> Iterator[Plot]:
    """The figures that there are data for."""
    if funnels := _funnels(report):
        shown = funnels[-MAX_FUNNELS:]
        part = f"the latest {len(shown)} of {len(funnels)} funnels; all are in the table"
        text = "candidates that remain after each stage" if len(shown) == len(funnels) else part
        yield plot("funnel", "Funnel", text, lambda: draw_funnels(shown))
    if any(row.hits and row.hits.trials for row in report.rounds):
        text = (
            "share of the finished relaxations that were on the hull when their round closed, the crystals of one "
            "random search counted as one: new stable compounds, and known ones; the whole bar is the hit rate of "
            "GNoME’s paper"
        )
        yield plot("hit-rate", "Hit rate", text, lambda: draw_hit_rate(report))
    pipelines: list[RoundRow | SearchRow | None] = [row for both in report.rounds for row in (both, both.searches)]
    if any(row and (row.prediction_mae is not None or row.network_mae is not None) for row in pipelines):
        text = (
            "mean absolute error of the energies: predicted against relaxed, for what each round relaxed, and of the "
            "round’s networks on compositions that they have not seen"
        )
        yield plot("error-round", "Error by round", text, lambda: draw_errors(report))


def _funnels(report: Report) -> list[Funnel]:
    """Each round's stages, from the widest on."""
    funnels = []
    for row in report.rounds:
        if row.generated is not None:
            stages = [("generated", row.generated), ("near hull", row.near_hull), ("selected", row.selected)]
            outcome = [("relaxed", row.relaxed), ("failed", row.failed), *_found(row.hits)]
            funnels.append((f"round {row.number}", [*stages, *outcome]))
        if (searches := row.searches) is not None:
            stages = [
                ("formulas", searches.formulas),
                ("near hull", searches.near_hull),
                ("searched", searches.searched),
            ]
            outcome = [("finished", searches.finished), ("failed", searches.failed), *_found(searches.hits)]
            funnels.append((f"round {row.number}, searches", [*stages, *outcome]))
    return funnels


def _found(hits: Hits | None) -> list[tuple[str, int | None]]:
    """The last stages: on the hull, and new."""
    return [("on the hull", hits.on_hull if hits else None), ("new stable", hits.stable if hits else None)]


def draw_funnels(funnels: Sequence[Funnel]) -> Figure:
    """A bar a stage, one funnel below the other."""
    figure, ax = empty_figure(5.0, 0.7 + 1.45 * len(funnels))
    place, ticks, labels = 0.0, [], []
    shades = {"failed": "#c92a2a", "on the hull": MUTED, "new stable": GOOD}
    for name, stages in funnels:
        ax.text(1, place, name, fontweight="bold", va="center", ha="left")
        place += 1
        for stage, count in stages:
            ax.barh(place, max(count or 0, 0), height=0.78, color=shades.get(stage, ACCENT), left=0)
            ax.text(1.12 * max(count or 0, 0.9), place, "–" if count is None else f"{count:,}", va="center")
            ticks.append(place)
            labels.append(stage)
            place += 1
        place += 0.4
    largest = max((count or 0 for _, stages in funnels for _, count in stages), default=1)
    ax.set_xscale("log")
    ax.set_xlim(0.9, max(10, 6 * largest))
    ax.set_ylim(place - 0.4, -0.8)
    ax.set_yticks(ticks, labels)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("candidates (logarithmic)")
    return figure


def draw_hit_rate(report: Report) -> Figure:
    """A bar a round: what lay on the hull, and within it what was new."""
    from matplotlib.ticker import MaxNLocator

    figure, ax = empty_figure()
    rounds = {row.number: row.hits for row in report.rounds if row.hits and row.hits.trials}
    lying = {number: 100 * hits.on_hull / hits.trials for number, hits in rounds.items()}
    new = {n: 100 * hits.stable / hits.trials for n, hits in rounds.items() if hits.stable is not None}
    ax.bar(list(lying), list(lying.values()), width=0.55, color=MUTED, label="on the hull")
    ax.bar(list(new), list(new.values()), width=0.55, color=GOOD, label="of them new")
    if len(lying) <= 10:
        for number, rate in lying.items():
            text = f"{rate:.0f}%" if number not in new else f"{new[number]:.0f}% of {rate:.0f}%"
            ax.text(number, rate + 1.5, text, ha="center")
    add_legend(ax)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlim(min(rounds) - 0.9, max(rounds) + 0.9)
    ax.set_ylim(0, 110)
    ax.grid(axis="x", visible=False)
    ax.set_xlabel("round")
    ax.set_ylabel("on the hull, % of relaxed")
    return figure


def draw_errors(report: Report) -> Figure:
    """Lines over the rounds: of the candidates, and of the test sets."""
    from matplotlib.ticker import MaxNLocator

    figure, ax = empty_figure()
    rows: dict[NetworkKind, list[tuple[int, RoundRow | SearchRow]]] = {
        NetworkKind.STRUCTURE: [(row.number, row) for row in report.rounds],
        NetworkKind.COMPOSITION: [(row.number, row.searches) for row in report.rounds if row.searches],
    }
    for network, numbered in rows.items():
        for what, dashes in (("prediction_mae", "-"), ("network_mae", "--")):
            errors = {number: 1000 * value for number, row in numbered if (value := getattr(row, what)) is not None}
            if errors:
                label = "candidates" if what == "prediction_mae" else "test set"
                ax.plot(
                    list(errors),
                    list(errors.values()),
                    dashes,
                    color=COLOUR[network],
                    marker=MARK[network],
                    label=f"{network}: {label}",
                )
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.margins(x=0.1)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("round")
    ax.set_ylabel("mean absolute error, meV/atom")
    add_legend(ax)
    return figure
