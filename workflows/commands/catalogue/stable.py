"""`gnome stable`: what was found."""

from __future__ import annotations

import json
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from workflows.commands.tables import console, print_phases
from workflows.ground.strict import SettingsError

if TYPE_CHECKING:  # imported where they are needed: `gnome --help` answers at once
    from workflows.catalogue.phases import New


class PhaseFormat(StrEnum):
    """How phases are printed, or written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    CIF = "cif"
    POSCAR = "poscar"


class NewKind(StrEnum):
    """What is to be new about them."""

    ALL = "all"
    COMPOSITION = "composition"
    PROTOTYPE = "prototype"
    ANY = "any"


def stable(
    campaign: Annotated[str | None, typer.Option(help="only this campaign")] = None,
    elements: Annotated[str | None, typer.Option(help="phases that hold all of these, such as Li,O")] = None,
    chemsys: Annotated[str | None, typer.Option(help="phases of just these elements, such as Li-Fe-O")] = None,
    max_ehull: Annotated[float, typer.Option(min=0.0, help="distance to the hull at most, eV/atom")] = 5e-5,
    new: Annotated[
        NewKind, typer.Option(help="only new compositions, new prototypes, or any of the two")
    ] = NewKind.ALL,
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="computed since, UTC")] = None,
    sort: Annotated[str, typer.Option(help="by what; with a minus in front the largest first")] = "e_above_hull",
    limit: Annotated[int, typer.Option(min=0, help="at most this many; 0 for all")] = 0,
    format: Annotated[PhaseFormat, typer.Option(help="how to print them; cif and poscar: files in --out")] = (
        PhaseFormat.TABLE
    ),
    out: Annotated[Path | None, typer.Option(help="directory of the crystals' files")] = None,
) -> None:
    """Stable compounds, the most stable first."""
    from datetime import UTC

    from workflows.catalogue.phases import PhaseQuery, csv_of, phases, write_crystals
    from workflows.store.connection import open_database

    query = PhaseQuery(
        campaign=campaign,
        elements=_symbols("--elements", elements, ","),
        chemsys=_symbols("--chemsys", chemsys, "-"),
        max_e_above_hull=max_ehull,
        new=cast("New", "" if new is NewKind.ALL else new.value),
        since=since.replace(tzinfo=UTC) if since else None,
        sort=sort,
        limit=limit,
    )
    if format in (PhaseFormat.CIF, PhaseFormat.POSCAR) and out is None:
        raise SettingsError(f"--format {format.value} writes a file for each phase: say where with --out DIR")
    _, store = open_database()
    if campaign:
        store.campaigns.get(campaign)
        store.finds.check_any(campaign)
    rows = phases(store, query)
    if out is not None:
        write_crystals(store, rows, out, "poscar" if format is PhaseFormat.POSCAR else "cif")
    if format is PhaseFormat.JSON:
        print(json.dumps([row.as_dict() for row in rows], indent=2))
    elif format is PhaseFormat.CSV:
        print(csv_of(rows), end="")
    elif format is PhaseFormat.TABLE:
        print_phases(rows, console())
    else:
        print(f"{len(rows)} crystals in {out}")


def _symbols(option: str, text: str | None, separator: str) -> tuple[str, ...]:
    """Elements of an option; empty where it was not given.

    Raises:
        SettingsError: one of them is not an element.
    """
    from pymatgen.core import Element

    symbols = tuple(symbol.strip() for symbol in text.split(separator)) if text is not None else ()
    for symbol in symbols:
        if not Element.is_valid_symbol(symbol):
            raise SettingsError(f"{option} {text}: {symbol!r} is not an element: write Li{separator}O")
    return symbols
