"""The page: one HTML file that needs nothing else, and the figures once more as files beside it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from gnome_torch.files import write_whole
from gnome_torch.stability.hull import STABLE_TOLERANCE
from workflows.catalogue.phases.doubts import doubts, recheck_note
from workflows.catalogue.report.colours import looks
from workflows.catalogue.report.data import Report
from workflows.catalogue.report.plots import plots
from workflows.catalogue.report.plots.style import Plot
from workflows.catalogue.report.texts import PHASES, RECHECK, core_hours, count, headlines, hours, milli, share

PACKAGE = "workflows.catalogue.report"
LIST = ".figures"
"""File in the folder of the figures that names those that we wrote."""


def write_report(report: Report, directory: Path) -> Path:
    """Write `index.html`, and the figures into `plots`.

    Args:
        report: what was read.
        directory: where to; made if it is not there.

    Returns:
        The page.
    """
    figures = plots(report)
    return write_page(render(report, figures), figures, directory)


def write_page(text: str, figures: Sequence[Plot], directory: Path) -> Path:
    """Write a page and its figures; each file appears when it is complete.

    Figures that an earlier report wrote and this one has not are removed; nothing else is.
    """
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
    write_whole(page, text)
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


def render(report: Report, figures: Sequence[Plot]) -> str:
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
    environment.filters |= {"count": count, "milli": milli, "share": share, "hours": hours, "core_hours": core_hours}
    environment.policies["json.dumps_kwargs"] = {"sort_keys": True, "separators": (",", ":")}
    # files of this package, no data: they go in as they are
    parts = {name: Markup(_read(name)) for name in ("style.css", "table.js", "viewer.js")}
    rechecked = bool(report.rechecks) or any(phase.row.recheck for phase in report.phases)
    return environment.get_template("page.html").render(
        report=report,
        headlines=headlines(report),
        figures=[(figure, _inline(figure)) for figure in figures if not figure.name.startswith("hull-")],
        hulls=[(figure, _inline(figure)) for figure in figures if figure.name.startswith("hull-")],
        stable_tolerance=STABLE_TOLERANCE,
        columns=[*PHASES, RECHECK] if rechecked else PHASES,
        doubts=doubts,
        recheck_note=recheck_note,
        drawings=_drawings(report),
        style=parts["style.css"],
        scripts=[parts["table.js"], parts["viewer.js"]],
    )


def _drawings(report: Report) -> dict[str, Any]:
    """What the viewer needs: crystals by entry, and the look of the elements."""
    crystals = {phase.row.entry: asdict(phase.crystal) for phase in report.phases}
    symbols = {symbol for phase in report.phases for symbol in phase.crystal.elements}
    elements = {symbol: (look.css, look.radius) for symbol, look in looks(symbols).items()}
    return {"crystals": crystals, "elements": elements}


def _inline(figure: Plot) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(figure.svg).decode()


def _read(name: str) -> str:
    return (files(PACKAGE) / name).read_text(encoding="utf-8")
