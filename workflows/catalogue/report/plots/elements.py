"""The periodic table, with how many discoveries hold each element."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workflows.catalogue.report.data import Report
from workflows.catalogue.report.plots.style import ACCENT, INK, MUTED, Plot, plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def element_plots(report: Report) -> Iterator[Plot]:
    """The table, where there is a discovery."""
    if report.element_counts:
        text = "new stable compounds that hold each element; outlined in blue: the elements of the campaign"
        yield plot("elements", "Elements of the discoveries", text, lambda: draw_elements(report))


def draw_elements(report: Report) -> Figure:
    """A field an element, darker the more there are."""
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
