"""The figures of a report."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from reports import THEORY, formation_energy, formulas, write_networks

from workflows.catalogue.report.data import Bin, HullEntry, Network, Point, Report, System
from workflows.catalogue.report.plots import plots
from workflows.catalogue.report.plots.hulls import draw_hull
from workflows.catalogue.report.plots.networks import draw_calibration, draw_learning, draw_parity
from workflows.catalogue.report.plots.rounds import draw_errors
from workflows.catalogue.report.reading import read_report
from workflows.store import Store


def system(*elements: str, largest: int = 3) -> System:
    """All compositions there are, from the same made-up energies."""
    compounds = [f for f in formulas(elements, largest) if set(re.findall("[A-Z][a-z]?", f)) <= set(elements)]
    entries = [HullEntry(formula, formation_energy(formula), formula not in elements) for formula in compounds]
    return System(elements, (*(HullEntry(element, 0.0, False) for element in elements), *entries))


def test_the_axis_of_a_binary_hull_names_the_element_that_grows_along_it() -> None:
    """pymatgen orders by electronegativity, systems are ordered by the alphabet."""
    for elements in (("F", "Li"), ("Li", "O")):
        (ax,) = draw_hull(system(*elements)).axes
        ends = {text.xy[0]: text.get_text() for text in ax.texts}
        right = re.match("[A-Z][a-z]?", ends[1.0])
        assert right is not None
        assert ends[0.0] == "Li"
        assert ax.get_xlabel() == f"fraction of {right[0]}"


@pytest.mark.parametrize("elements", [("Al", "F", "Mg"), ("Na", "Zr", "O")])
def test_labels_of_a_hull_cover_neither_each_other_nor_a_mark(elements: tuple[str, ...]) -> None:
    figure = draw_hull(system(*elements))
    (ax,) = figure.axes
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) > 20
    for number, box in enumerate(boxes):
        assert not [other for other in boxes[:number] if box.overlaps(other)]
        assert not [text for text in ax.texts if box.contains(*ax.transData.transform(text.xy))]


def drawn_legends() -> dict[str, Any]:
    """Figures with a legend, of few data and of more than the legend has lines."""
    bins = tuple(Bin(0.01 * k, 0.02 * k) for k in range(1, 5))
    networks = [Network(n, kind, 20 * n, 0.09 / n, bins) for kind in ("structure", "composition") for n in (1, 2, 3)]
    points = [Point("LiO", 1, kind, x, x + 0.1, 0.05) for kind in ("structure", "composition") for x in (-1.0, -0.9, 0)]
    return {"networks": tuple(networks), "points": tuple(points)}


def test_legends_stand_above_their_diagrams(store: Store, tmp_path: Path) -> None:
    """Nothing that is drawn can be under them; they are no wider than the figure either."""
    store.campaigns.create("c", {"elements": ["Li", "O"]}, THEORY, "none", str(tmp_path), "uid")
    for number in (1, 2):
        store.rounds.open("c", number)
        write_networks(store, "c", number, 40 * number, 0.1)
    everything = drawn_legends()
    for made in (everything, {name: some[:2] for name, some in everything.items()}):
        report: Report = replace(read_report(store, "c"), **made)
        for figure in (
            draw_learning(report.networks),
            draw_parity(report.points),
            draw_calibration(report),
            draw_errors(report),
        ):
            figure.draw_without_rendering()
            (ax,) = figure.axes
            legend = ax.get_legend().get_window_extent()
            assert legend.y0 >= ax.bbox.y1
            assert legend.width <= figure.bbox.width
            assert ax.bbox.width > figure.bbox.width / 2


def test_many_rounds_and_points_stay_small(store: Store, tmp_path: Path) -> None:
    store.campaigns.create("c", {"elements": ["Li", "O"]}, THEORY, "none", str(tmp_path), "uid")
    for number in range(1, 21):
        store.rounds.open("c", number)
        store.rounds.update("c", number, counts={"generated": 10 * number})
        store.rounds.close("c", number, {"stable": 1, "hit_rate": 0.5, "prediction_mae": 0.1})
    points = [Point("LiO", 1, "structure", -0.001 * n, -0.0011 * n, 0.05) for n in range(2000)]
    report = replace(read_report(store, "c"), points=tuple(points))
    found = {figure.name: figure for figure in plots(report)}
    assert "the latest 6 of 20 funnels" in found["funnel"].description
    assert max(len(figure.svg) for figure in found.values()) < 150_000
