"""What all figures share: colours, sizes, and the files that they become."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from workflows.store import NetworkKind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, ACCENT, SECOND, GOOD = "#1d2733", "#8694a3", "#1f6feb", "#d9480f", "#2b8a3e"
COLOUR = {NetworkKind.STRUCTURE: ACCENT, NetworkKind.COMPOSITION: SECOND}
MARK = {NetworkKind.STRUCTURE: "o", NetworkKind.COMPOSITION: "s"}
SMALLEST = 9.5  # size of the smallest text that must be read, points
MAX_VECTORS = 500  # points that a figure draws one by one; more become an image in it
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


def plot(name: str, title: str, description: str, draw: Callable[[], Figure]) -> Plot:
    """The files of a figure.

    Args:
        name: of its files.
        title: heading.
        description: what it shows.
        draw: makes it; called where our style holds.
    """
    import matplotlib

    with matplotlib.rc_context(cast("Any", STYLE)):
        figure = draw()
        files = {}
        for kind, metadata in (("svg", {"Date": None}), ("png", {"Software": None})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, dpi=160, metadata=metadata, bbox_inches="tight")
            files[kind] = buffer.getvalue()
    return Plot(name, title, description, **files)


def empty_figure(width: float = 5.0, height: float = 3.6) -> tuple[Figure, Axes]:
    """An empty figure of a size in inches, and its diagram."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def add_legend(ax: Axes) -> None:
    """A legend above the diagram, where it covers nothing."""
    entries = len(ax.get_legend_handles_labels()[0])
    ax.legend(
        loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=min(2, entries), fontsize=SMALLEST, columnspacing=1.2
    )
