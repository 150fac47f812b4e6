"""Hull diagrams of binary and ternary systems."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from workflows.catalogue.report.data import Report, System
from workflows.catalogue.report.plots.labels import spread
from workflows.catalogue.report.plots.style import ACCENT, GOOD, INK, MUTED, SMALLEST, Plot, plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pymatgen.analysis.phase_diagram import PhaseDiagram

SHOW_UNSTABLE = 0.1  # eV/atom above the hull, in its diagrams


def hull_plots(report: Report) -> Iterator[Plot]:
    """A diagram a system."""
    for system in report.systems:
        new = ", ".join(sorted({entry.formula for entry in system.entries if entry.find}))
        text = (
            f"convex hull of {system.name} from {len(system.entries)} entries; stars were found here: {new}; squares "
            f"are less than {1000 * SHOW_UNSTABLE:.0f} meV/atom above it"
        )
        yield plot(f"hull-{system.name}", f"Hull of {system.name}", text, partial(draw_hull, system))


def draw_hull(system: System) -> Figure:
    """Pymatgen's diagram, in our sizes; stars are the campaign's own."""
    import matplotlib.pyplot as plt
    from pymatgen.analysis.phase_diagram import PDPlotter

    diagram = _diagram(system)
    plotter = PDPlotter(diagram, SHOW_UNSTABLE, backend="matplotlib", markerfacecolor=ACCENT, markersize=9)
    figure = plt.figure()
    try:
        ax: Any = plotter.get_plot(label_unstable=False, process_attributes=True, ax=figure.add_subplot())
        figure.set_size_inches(5.0, 3.9)
        _set_marks(ax)
        _set_labels(ax)
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


def _diagram(system: System) -> PhaseDiagram:
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    entries = []
    for entry in system.entries:
        composition = Composition(entry.formula)
        energy = entry.energy_per_atom * composition.num_atoms
        entries.append(PDEntry(composition, energy, attribute="new" if entry.find else "existing"))
    return PhaseDiagram(entries)


def _set_marks(ax: Axes) -> None:
    for line in ax.lines:
        if line.get_marker() == "*":
            line.set(markerfacecolor="#f2b705", markersize=14, markeredgecolor=INK)
        elif line.get_marker() == "s":
            line.set(markerfacecolor="#e3a19b", markeredgecolor=MUTED, markersize=5)
        elif line.get_marker() == "None":
            line.set(linewidth=1.2, color=MUTED)


def _set_labels(ax: Axes) -> None:
    from pymatgen.util.string import unicodeify

    for text in ax.texts:
        # from LaTeX, which matplotlib takes half of a report's time to read
        text.set_text(unicodeify(re.sub(r"\$_\{(\d+)\}\$", r"\1", text.get_text())))
        text.set(
            fontsize=11 if len(ax.texts) < 16 else SMALLEST,
            bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.5},
        )
        if text.get_color() == "g":
            text.set_color(GOOD)
