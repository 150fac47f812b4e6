"""Figures of the networks: predictions beside results, spread beside error, error beside the amount of data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from workflows.catalogue.report.data import Network, Point, Report
from workflows.catalogue.report.plots.style import (
    COLOUR,
    INK,
    MARK,
    MAX_VECTORS,
    MUTED,
    SMALLEST,
    Plot,
    add_legend,
    empty_figure,
    plot,
)
from workflows.store import NetworkKind

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEAN_ERROR_OF_IQR = 0.591  # mean absolute error of a normal distribution, in inter-quartile ranges


def network_plots(report: Report) -> Iterator[Plot]:
    """The figures that there are data for."""
    if report.points:
        text = f"{len(report.points):,} predicted against relaxed formation energies in eV/atom; the line is equality"
        yield plot("predicted-relaxed", "Predicted and relaxed energies", text, lambda: draw_parity(report.points))
    if _calibrated(report.networks) or any(point.iqr for point in report.points):
        text = (
            "absolute error against the spread of the ensemble: lines are the latest networks on their test sets, dots "
            "relaxed candidates of all rounds; the dashed line is what a normal distribution of that spread would give"
        )
        yield plot("calibration", "Is the uncertainty right?", text, lambda: draw_calibration(report))
    if any(network.test_mae is not None for network in report.networks):
        text = "mean absolute error on held-out compositions; the numbers are rounds"
        yield plot("error-data", "Error and amount of data", text, lambda: draw_learning(report.networks))


def draw_parity(points: Sequence[Point]) -> Figure:
    """A point a prediction, with its spread."""
    figure, ax = empty_figure(5.0, 4.4)
    for network in (NetworkKind.STRUCTURE, NetworkKind.COMPOSITION):
        of_kind = [point for point in points if point.network == network]
        if of_kind:
            ax.errorbar(
                [point.relaxed for point in of_kind],
                [point.predicted for point in of_kind],
                yerr=[point.iqr / 2 for point in of_kind],
                fmt=MARK[network],
                color=COLOUR[network],
                ecolor="#b9c4d0",
                markersize=5,
                alpha=0.8,
                linewidth=1,
                label=f"{network} networks ({len(of_kind):,})",
                rasterized=len(of_kind) > MAX_VECTORS,
            )
    values = [value for point in points for value in (point.relaxed, point.predicted)]
    margin = 0.05 * (max(values) - min(values)) + 0.01
    ends = [min(values) - margin, max(values) + margin]
    ax.plot(ends, ends, color=MUTED, linewidth=1, zorder=1)
    ax.set_xlim(*ends)
    ax.locator_params(axis="x", nbins=5)
    ax.set_xlabel("relaxed formation energy, eV/atom")
    ax.set_ylabel("predicted (bar: half the IQR each way), eV/atom")
    add_legend(ax)
    return figure


def _calibrated(networks: Sequence[Network]) -> list[Network]:
    """The latest calibrated ensemble of each kind."""
    return list({network.network: network for network in networks if network.bins}.values())


def draw_calibration(report: Report) -> Figure:
    """Error over spread."""
    figure, ax = empty_figure()
    networks = _calibrated(report.networks)
    for network in networks:
        ax.plot(
            [part.iqr for part in network.bins],
            [part.mae for part in network.bins],
            color=COLOUR[network.network],
            marker=MARK[network.network],
            label=f"{network.network}, round {network.round}",
        )
    if report.points:
        ax.scatter(
            [point.iqr for point in report.points],
            [abs(point.predicted - point.relaxed) for point in report.points],
            s=14,
            color=MUTED,
            alpha=0.7,
            label="relaxed candidates",
            rasterized=len(report.points) > MAX_VECTORS,
        )
    spreads = [part.iqr for network in networks for part in network.bins] + [point.iqr for point in report.points]
    largest = max(spreads)
    ax.plot([0, largest], [0, MEAN_ERROR_OF_IQR * largest], "--", color=INK, linewidth=1, label="normal distribution")
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=0)
    ax.locator_params(axis="x", nbins=6)
    ax.set_xlabel("inter-quartile range of the ensemble, eV/atom")
    ax.set_ylabel("absolute error, eV/atom")
    add_legend(ax)
    return figure


def draw_learning(networks: Sequence[Network]) -> Figure:
    """Error over the amount of data, a line a kind of networks."""
    figure, ax = empty_figure()
    for network in (NetworkKind.STRUCTURE, NetworkKind.COMPOSITION):
        tested = [n for n in networks if n.network == network and n.test_mae is not None]
        if not tested:
            continue
        errors = [1000 * (n.test_mae or 0) for n in tested]
        sizes = [n.n_train for n in tested]
        ax.plot(sizes, errors, color=COLOUR[network], marker=MARK[network], label=f"{network} networks")
        for n, size, error in zip(tested, sizes, errors, strict=True):
            ax.annotate(str(n.round), (size, error), (0, 8), textcoords="offset points", ha="center", fontsize=SMALLEST)
    ax.margins(0.18)
    ax.locator_params(axis="x", nbins=5, integer=True)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("training structures, or compositions")
    ax.set_ylabel("error on the test set, meV/atom")
    add_legend(ax)
    return figure
