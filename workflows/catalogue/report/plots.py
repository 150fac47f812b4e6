"""The figures of a report, drawn from its data alone: the same data give the same files."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from workflows.catalogue.progress import RoundRow, SearchRow
from workflows.catalogue.report.data import Network, Point, Report, System
from workflows.catalogue.report.labels import spread
from workflows.store import NetworkKind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, ACCENT, SECOND, GOOD = "#1d2733", "#8694a3", "#1f6feb", "#d9480f", "#2b8a3e"
COLOUR = {NetworkKind.STRUCTURE: ACCENT, NetworkKind.COMPOSITION: SECOND}
MARK = {NetworkKind.STRUCTURE: "o", NetworkKind.COMPOSITION: "s"}
MEAN_ERROR_OF_IQR = 0.591  # mean absolute error of a normal distribution, in inter-quartile ranges
SMALLEST = 9.5  # size of the smallest text that must be read, points
MAX_FUNNELS = 6  # of a figure
MAX_VECTORS = 500  # points that a figure draws one by one; more become an image in it
Stages = tuple[str, list[tuple[str, int | None]]]
"""A funnel: its name, then each stage with how many candidates remain, None for not known."""
SHOW_UNSTABLE = 0.1  # eV/atom above the hull, in its diagrams
STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6eaef",
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "gnome",  # ids that do not change from run to run
}


@dataclass(frozen=True)
class Plot:
    """A figure as files hold it.

    Attributes:
        name: of its files.
        title: heading.
        description: what it shows, in a sentence: its alternative text.
        svg: the file.
        png: the file.
    """

    name: str
    title: str
    description: str
    svg: bytes
    png: bytes


def plots(report: Report) -> list[Plot]:
    """The figures that a report has data for, in the order of the page."""
    found = []
    later = [row for row in report.rounds if row.number > 0]
    if groups := _stages(report):
        shown = groups[-MAX_FUNNELS:]
        of = (
            ""
            if len(shown) == len(groups)
            else f"the latest {len(shown)} of {len(groups)} funnels; all are in the table"
        )
        found.append(_plot("funnel", "Funnel", _funnel, shown, of or "candidates that remain after each stage"))
    if any(row.hit_rate is not None for row in later):
        text = (
            "share of the finished relaxations that were on the hull when their round closed; the crystals of one "
            "random search count as one; grey: the first data, which nothing has predicted"
        )
        found.append(_plot("hit-rate", "Hit rate", _hit_rate, report, text))
    if any(row.prediction_mae is not None or row.network_mae is not None for row in _with_networks(report)):
        text = (
            "mean absolute error of the energies: predicted against relaxed, for what each round relaxed, and of the "
            "round’s networks on compositions that they have not seen"
        )
        found.append(_plot("error-round", "Error by round", _errors, report, text))
    if report.points:
        text = f"{len(report.points):,} predicted against relaxed formation energies in eV/atom; the line is equality"
        found.append(_plot("predicted-relaxed", "Predicted and relaxed energies", _parity, report.points, text))
    if _calibrated(report.networks) or any(point.iqr for point in report.points):
        text = (
            "absolute error against the spread of the ensemble: lines are the latest networks on their test sets, dots "
            "relaxed candidates of all rounds; the dashed line is what a normal distribution of that spread would give"
        )
        found.append(_plot("calibration", "Is the uncertainty right?", _calibration, report, text))
    if any(network.test_mae is not None for network in report.networks):
        text = "mean absolute error on held-out compositions; the numbers are rounds"
        found.append(_plot("error-data", "Error and amount of data", _learning, report.networks, text))
    if report.element_counts:
        text = "new stable compounds that hold each element; outlined in blue: the elements of the campaign"
        found.append(_plot("elements", "Elements of the discoveries", _elements, report, text))
    for system in report.systems:
        new = ", ".join(sorted({entry.formula for entry in system.entries if entry.find}))
        text = (
            f"convex hull of {system.name} from {len(system.entries)} entries; stars were found here: {new}; squares "
            f"are less than {1000 * SHOW_UNSTABLE:.0f} meV/atom above it"
        )
        found.append(_plot(f"hull-{system.name}", f"Hull of {system.name}", _hull, system, text))
    return found


def _plot(name: str, title: str, draw: Callable[[Any], Figure], what: Any, description: str) -> Plot:
    import matplotlib

    with matplotlib.rc_context(cast(Any, STYLE)):
        figure = draw(what)
        files = {}
        for kind, metadata in (("svg", {"Date": None}), ("png", {"Software": None})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, dpi=160, metadata=metadata, bbox_inches="tight")
            files[kind] = buffer.getvalue()
    return Plot(name, title, description, **files)


def _figure(width: float = 5.0, height: float = 3.6) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _stages(report: Report) -> list[Stages]:
    """Each round's stages, from the widest on."""
    found = []
    for row in report.rounds:
        if row.generated is not None:
            stages = [("generated", row.generated), ("near hull", row.near_hull), ("selected", row.selected)]
            outcome = [("relaxed", row.relaxed), ("failed", row.failed), ("stable", row.stable)]
            found.append((f"round {row.number}", [*stages, *outcome]))
        if (some := row.searches) is not None:
            stages = [("formulas", some.formulas), ("near hull", some.near_hull), ("searched", some.searched)]
            outcome = [("finished", some.finished), ("failed", some.failed), ("stable", some.stable)]
            found.append((f"round {row.number}, searches", [*stages, *outcome]))
    return found


def _funnel(groups: Sequence[Stages]) -> Figure:
    figure, ax = _figure(5.0, 0.7 + 1.45 * len(groups))
    place, ticks, labels = 0.0, [], []
    shades = {"failed": "#c92a2a", "stable": GOOD}
    for name, stages in groups:
        ax.text(1, place, name, fontweight="bold", va="center", ha="left")
        place += 1
        for stage, count in stages:
            ax.barh(place, max(count or 0, 0), height=0.78, color=shades.get(stage, ACCENT), left=0)
            ax.text(1.12 * max(count or 0, 0.9), place, "–" if count is None else f"{count:,}", va="center")
            ticks.append(place)
            labels.append(stage)
            place += 1
        place += 0.4
    largest = max((count or 0 for _, stages in groups for _, count in stages), default=1)
    ax.set_xscale("log")
    ax.set_xlim(0.9, max(10, 6 * largest))
    ax.set_ylim(place - 0.4, -0.8)
    ax.set_yticks(ticks, labels)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("candidates (logarithmic)")
    return figure


def _hit_rate(report: Report) -> Figure:
    from matplotlib.ticker import MaxNLocator

    figure, ax = _figure()
    rates = {row.number: 100 * row.hit_rate for row in report.rounds if row.hit_rate is not None}
    ax.bar(list(rates), list(rates.values()), width=0.55, color=[GOOD if number else MUTED for number in rates])
    if len(rates) <= 10:
        for number, rate in rates.items():
            ax.text(number, rate + 1.5, f"{rate:.0f}%", ha="center")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlim(min(rates) - 0.9, max(rates) + 0.9)
    ax.set_ylim(0, 110)
    ax.grid(axis="x", visible=False)
    ax.set_xlabel("round")
    ax.set_ylabel("on the hull, % of relaxed")
    return figure


def _with_networks(report: Report) -> list[RoundRow | SearchRow]:
    return [row for some in report.rounds for row in (some, some.searches) if row is not None]


def _errors(report: Report) -> Figure:
    from matplotlib.ticker import MaxNLocator

    figure, ax = _figure()
    rows: dict[NetworkKind, list[tuple[int, RoundRow | SearchRow]]] = {
        NetworkKind.STRUCTURE: [(row.number, row) for row in report.rounds],
        NetworkKind.COMPOSITION: [(row.number, row.searches) for row in report.rounds if row.searches],
    }
    for network, some in rows.items():
        for what, dashes in (("prediction_mae", "-"), ("network_mae", "--")):
            errors = {number: 1000 * value for number, row in some if (value := getattr(row, what)) is not None}
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
    _legend(ax)
    return figure


def _legend(ax: Axes) -> None:
    """Above the diagram, where it covers nothing."""
    entries = len(ax.get_legend_handles_labels()[0])
    ax.legend(
        loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=min(2, entries), fontsize=SMALLEST, columnspacing=1.2
    )


def _parity(points: tuple[Point, ...]) -> Figure:
    figure, ax = _figure(5.0, 4.4)
    for network in (NetworkKind.STRUCTURE, NetworkKind.COMPOSITION):
        some = [point for point in points if point.network == network]
        if some:
            ax.errorbar(
                [point.relaxed for point in some],
                [point.predicted for point in some],
                yerr=[point.iqr / 2 for point in some],
                fmt=MARK[network],
                color=COLOUR[network],
                ecolor="#b9c4d0",
                markersize=5,
                alpha=0.8,
                linewidth=1,
                label=f"{network} networks ({len(some):,})",
                rasterized=len(some) > MAX_VECTORS,
            )
    values = [value for point in points for value in (point.relaxed, point.predicted)]
    margin = 0.05 * (max(values) - min(values)) + 0.01
    ends = [min(values) - margin, max(values) + margin]
    ax.plot(ends, ends, color=MUTED, linewidth=1, zorder=1)
    ax.set_xlim(*ends)
    ax.locator_params(axis="x", nbins=5)
    ax.set_xlabel("relaxed formation energy, eV/atom")
    ax.set_ylabel("predicted (bar: half the IQR each way), eV/atom")
    _legend(ax)
    return figure


def _calibrated(networks: tuple[Network, ...]) -> list[Network]:
    """The latest calibrated ensemble of each kind."""
    return list({network.network: network for network in networks if network.bins}.values())


def _calibration(report: Report) -> Figure:
    figure, ax = _figure()
    networks = _calibrated(report.networks)
    for network in networks:
        ax.plot(
            [some.iqr for some in network.bins],
            [some.mae for some in network.bins],
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
    spreads = [some.iqr for network in networks for some in network.bins] + [point.iqr for point in report.points]
    largest = max(spreads)
    ax.plot([0, largest], [0, MEAN_ERROR_OF_IQR * largest], "--", color=INK, linewidth=1, label="normal distribution")
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=0)
    ax.locator_params(axis="x", nbins=6)
    ax.set_xlabel("inter-quartile range of the ensemble, eV/atom")
    ax.set_ylabel("absolute error, eV/atom")
    _legend(ax)
    return figure


def _learning(networks: tuple[Network, ...]) -> Figure:
    figure, ax = _figure()
    for network in (NetworkKind.STRUCTURE, NetworkKind.COMPOSITION):
        some = [n for n in networks if n.network == network and n.test_mae is not None]
        if not some:
            continue
        errors = [1000 * (n.test_mae or 0) for n in some]
        sizes = [n.n_train for n in some]
        ax.plot(sizes, errors, color=COLOUR[network], marker=MARK[network], label=f"{network} networks")
        for n, size, error in zip(some, sizes, errors, strict=True):
            ax.annotate(str(n.round), (size, error), (0, 8), textcoords="offset points", ha="center", fontsize=SMALLEST)
    ax.margins(0.18)
    ax.locator_params(axis="x", nbins=5, integer=True)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("training structures, or compositions")
    ax.set_ylabel("error on the test set, meV/atom")
    _legend(ax)
    return figure


def _elements(report: Report) -> Figure:
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle
    from pymatgen.core import Element

    figure = Figure(figsize=(5.0, 3.1), layout="constrained")
    ax = figure.subplots()
    largest = max(report.element_counts.values())
    for number in range(1, 104):
        element = Element.from_Z(number)
        column, row = _cell(number, element.group, element.row)
        count = report.element_counts.get(element.symbol, 0)
        ours = element.symbol in report.elements
        shade = colormaps["YlGnBu"](0.15 + 0.75 * count / largest) if count else "#f4f6f8"
        edge = ACCENT if ours else "#d5dbe1"
        ax.add_patch(
            Rectangle((column, row), 0.94, 0.94, facecolor=shade, edgecolor=edge, linewidth=1.4 if ours else 0.6)
        )
        colour = "white" if count > 0.55 * largest else INK if ours else MUTED
        middle = column + 0.47
        ax.text(middle, row + (0.33 if count else 0.48), element.symbol, ha="center", va="center", color=colour)
        if count:
            digits = str(count)
            size = 8.5 if len(digits) < 4 else 7
            ax.text(middle, row + 0.74, digits, ha="center", va="center", color=colour, fontsize=size)
    ax.set_xlim(0.9, 19.05)
    ax.set_ylim(9.75, 0.9)
    ax.set_aspect(1.25, adjustable="box")
    ax.axis("off")
    return figure


def _cell(number: int, group: int, period: int) -> tuple[float, float]:
    """Column and row; lanthanides and actinides stand below, La and Ac first."""
    for first, row in ((57, 8.4), (89, 9.4)):
        if first <= number < first + 15:
            return 3.0 + number - first, row - 0.7
    return float(group), float(period)


def _hull(system: System) -> Figure:
    """pymatgen's diagram, in our sizes; stars are the campaign's own."""
    import matplotlib.pyplot as plt
    from pymatgen.analysis.phase_diagram import PDEntry, PDPlotter, PhaseDiagram
    from pymatgen.core import Composition
    from pymatgen.util.string import unicodeify

    entries = []
    for entry in system.entries:
        composition = Composition(entry.formula)
        energy = entry.energy_per_atom * composition.num_atoms
        entries.append(PDEntry(composition, energy, attribute="new" if entry.find else "existing"))
    diagram = PhaseDiagram(entries)
    plotter = PDPlotter(diagram, SHOW_UNSTABLE, backend="matplotlib", markerfacecolor=ACCENT, markersize=9)
    figure = plt.figure()
    try:
        ax: Any = plotter.get_plot(label_unstable=False, process_attributes=True, ax=figure.add_subplot())
        figure.set_size_inches(5.0, 3.9)
        for line in ax.lines:
            if line.get_marker() == "*":
                line.set(markerfacecolor="#f2b705", markersize=14, markeredgecolor=INK)
            elif line.get_marker() == "s":
                line.set(markerfacecolor="#e3a19b", markeredgecolor=MUTED, markersize=5)
            elif line.get_marker() == "None":
                line.set(linewidth=1.2, color=MUTED)
        for text in ax.texts:
            # from LaTeX, which matplotlib takes half of a report's time to read
            text.set_text(unicodeify(re.sub(r"\$_\{(\d+)\}\$", r"\1", text.get_text())))
            text.set(
                fontsize=11 if len(ax.texts) < 16 else SMALLEST,
                bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.5},
            )
            if text.get_color() == "g":
                text.set_color(GOOD)
        if len(system.elements) == 2:
            # its own order, by electronegativity: ours, by the alphabet, may be the other way round
            ax.set_xlabel(f"fraction of {diagram.elements[1].symbol}", fontsize=11, fontweight="normal")
            ax.set_ylabel("formation energy, eV/atom", fontsize=11, fontweight="normal")
            ax.tick_params(labelsize=11)
            ax.margins(y=0.2)
            ax.autoscale(axis="y")
        else:
            ax.set_aspect("equal", adjustable="box")
        spread(ax)
    finally:
        plt.close(figure)
    return figure
