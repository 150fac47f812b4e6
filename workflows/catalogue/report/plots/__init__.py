"""The figures of a report, drawn from its data alone: the same data give the same files."""

from __future__ import annotations

from workflows.catalogue.report.data import Report
from workflows.catalogue.report.plots.elements import element_plots
from workflows.catalogue.report.plots.hulls import hull_plots
from workflows.catalogue.report.plots.networks import network_plots
from workflows.catalogue.report.plots.rounds import round_plots
from workflows.catalogue.report.plots.style import Plot


def plots(report: Report) -> list[Plot]:
    """The figures that a report has data for, in the order of the page."""
    return [*round_plots(report), *network_plots(report), *element_plots(report), *hull_plots(report)]
