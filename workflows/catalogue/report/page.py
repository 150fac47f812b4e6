"""The page: one HTML file that needs nothing else, and the figures once more as files beside it."""

from __future__ import annotations

import base64
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from gnome_torch.files import write_whole
from gnome_torch.stability.hull import STABLE_TOLERANCE
from workflows.catalogue.phases import PhaseRow, correction_note
from workflows.catalogue.report.crystals import colours
from workflows.catalogue.report.data import Cost, Report
from workflows.catalogue.report.plots import Plot, plots

PACKAGE = "workflows.catalogue.report"
LIST = ".figures"
"""File in the folder of the figures that names those that we wrote."""


def write_report(report: Report, directory: Path) -> Path:
    """Write `index.html`, and the figures into `plots`; each file appears when it is complete.

    Figures that an earlier report wrote and this one has not are removed; nothing else is.

    Args:
        report: what was read.
        directory: where to; made if it is not there.

    Returns:
        The page.
    """
    figures = plots(report)
    content = {f"{figure.name}.svg": figure.svg for figure in figures}
    content |= {f"{figure.name}.png": figure.png for figure in figures}
    folder = directory / "plots"
    folder.mkdir(parents=True, exist_ok=True)
    earlier = _ours(folder)
    # first what is to be ours, so that a report that is cut off leaves no file behind for good
    write_whole(folder / LIST, "\n".join(sorted(earlier | content.keys())))
    for name, figure_file in content.items():
        write_whole(folder / name, figure_file)
    page = directory / "index.html"
    write_whole(page, render(report, figures))
    for name in earlier - content.keys():
        (folder / name).unlink(missing_ok=True)
    write_whole(folder / LIST, "\n".join(sorted(content)))
    return page


def _ours(folder: Path) -> set[str]:
    """Figures that earlier reports have written into a folder."""
    try:
        names = (folder / LIST).read_text().split("\n")
    except OSError:
        return set()
    return {name for name in names if name and Path(name).name == name}


def render(report: Report, figures: list[Plot]) -> str:
    """The page as text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader(PACKAGE, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": _count, "milli": _milli, "share": _share, "hours": _hours}
    environment.filters["core_hours"] = _core_hours
    environment.policies["json.dumps_kwargs"] = {"sort_keys": True, "separators": (",", ":")}
    # files of this package, no data: they go in as they are
    parts = {name: Markup(_read(name)) for name in ("style.css", "table.js", "viewer.js")}
    return environment.get_template("page.html").render(
        report=report,
        headlines=_headlines(report),
        figures=[(figure, _inline(figure)) for figure in figures if not figure.name.startswith("hull-")],
        hulls=[(figure, _inline(figure)) for figure in figures if figure.name.startswith("hull-")],
        stable_tolerance=STABLE_TOLERANCE,
        doubts=doubts,
        second_opinion=second_opinion,
        opinions=bool(report.rechecks) or any(second_opinion(phase.row) for phase in report.phases),
        drawings=_drawings(report),
        style=parts["style.css"],
        scripts=[parts["table.js"], parts["viewer.js"]],
    )


def doubts(row: PhaseRow) -> list[str]:
    """What casts doubt on a phase."""
    found = list(row.warnings)
    if row.duplicate_of:
        found.append(f"same crystal as {row.duplicate_of}")
    if row.likely_disorder:
        found.append(f"probably disordered: {', '.join(row.likely_disorder)}")
    if row.unusual_elements:
        found.append(f"holds {', '.join(row.unusual_elements)}")
    if note := correction_note(row):
        found.append(note)
    if row.displaced:
        found.append(f"was on the hull until {row.displaced}")
    return found


def second_opinion(row: PhaseRow) -> str:
    """What another theory says of a phase; empty where it was not asked."""
    if row.recheck_e_above_hull is None:
        return row.recheck
    lacking = f", which lacks {', '.join(row.recheck_missing)}" if row.recheck_missing else ""
    return f"{row.recheck_e_above_hull:.3f} eV/atom above the hull of {row.recheck}{lacking}"


def _headlines(report: Report) -> list[tuple[str, str]]:
    """Numbers at the top of the page, with what they count."""
    later = [row for row in report.rounds if row.number > 0]
    searched = [row.searches for row in later if row.searches]
    generated = sum(row.generated or 0 for row in later)
    errors = [network.test_mae for network in report.networks if network.test_mae is not None]
    unclosed = any(row.stable is None for row in later)
    failed = sum(row.failed for row in report.rounds)
    rates = [row.hit_rate for row in later if row.hit_rate is not None]
    numbers = [
        (_count(len(report.finds)), "new stable compounds"),
        (_count(len(later)), "rounds of search, one not closed" if unclosed else "rounds of search"),
        (_count(generated), "candidates generated"),
        (_count(sum(row.relaxed for row in report.rounds)), f"crystals relaxed, {_count(failed)} more failed"),
        (_share(rates[-1] if rates else None), "hit rate, last closed round"),
        (_milli(errors[-1] if errors else None), "meV/atom, latest test error"),
        (_core_hours(report.cost), "core-hours"),
    ]
    if searched:
        numbers.insert(3, (_count(sum(some.searched for some in searched)), "compositions searched"))
    return numbers


def _drawings(report: Report) -> dict[str, Any]:
    """What the viewer needs: crystals by entry, and the look of the elements."""
    crystals = {phase.row.entry: asdict(phase.crystal) for phase in report.phases}
    symbols = {symbol for phase in report.phases for symbol in phase.crystal.elements}
    return {"crystals": crystals, "elements": colours(symbols)}


def _inline(figure: Plot) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(figure.svg).decode()


def _read(name: str) -> str:
    return (files(PACKAGE) / name).read_text(encoding="utf-8")


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _milli(energy: float | None) -> str:
    """An energy in eV as meV."""
    return "–" if energy is None else f"{1000 * energy:.0f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _hours(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min" if whole >= 3600 else f"{whole // 60} min {whole % 60:02} s"


def _core_hours(cost: Cost) -> str:
    """Of the launches whose cores are known; a dash where of none that has ended."""
    hours = cost.core_seconds / 3600
    if not hours:
        return "–"
    known = f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"
    return f"≥ {known}" if cost.without_cores else known
