"""What several commands print: a campaign's rounds, and phases."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # imported where they are needed: `gnome --help` answers at once
    from collections.abc import Callable

    from rich.console import Console

    from workflows.catalogue.hits import Hits
    from workflows.catalogue.phases import PhaseRow
    from workflows.catalogue.progress import RoundRow
    from workflows.catalogue.sun import Sun
    from workflows.store import Store


NO_LIMIT = 100_000
"""Columns of a log or a pipe, where a table may be as wide as it needs."""


def console() -> Console:
    """The terminal, or a log as wide as the widest table."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = NO_LIMIT
    return console


def print_funnel(store: Store, name: str, console: Console) -> None:
    """A campaign round by round, from what was generated to the new stable compounds."""
    from rich.table import Table

    from workflows.catalogue.progress import round_rows
    from workflows.catalogue.sun import sun_of

    table = Table(title=f"Campaign '{name}', round by round (errors in meV/atom)")
    for header in ("round", "generated", "near hull", "relaxed", "failed", *HITS):
        table.add_column(header, justify="right")
    for header in ("predicted vs relaxed", "networks on test set", "networks of the round before"):
        table.add_column(header, justify="right")
    rows = round_rows(store, name)
    for row in rows:
        table.add_row(
            str(row.number),
            _number(row.generated),
            _number(row.near_hull),
            f"{row.relaxed} of {row.selected}",
            str(row.failed),
            *_hits(row.hits),
            _milli(row.prediction_mae),
            _milli(row.network_mae),
            _milli(row.network_mae_before),
        )
    console.print(table)
    if unknown := [row for row in rows if row.hits and row.hits.stable is None]:
        numbers = ", ".join(str(row.number) for row in unknown)
        console.print(
            f"closed by an earlier version, which did not say what was new: round {numbers} ('gnome doctor' counts it, "
            "where it still can)"
        )
    if any(row.searches for row in rows):
        _print_searches(rows, name, console)
    _print_sun(sun_of(store, name), console)


HITS = ("on the hull", "new", "known", "hit rate")
"""Headers of what came of a round's trials: of what lies on the hull, new stable compounds and rediscoveries."""


def _hits(hits: Hits | None) -> tuple[str, ...]:
    """What stands under them: hit rate is that of new stable compounds."""
    if hits is None:
        return ("-",) * len(HITS)
    rate = _number(hits.hit_rate, ".0%")
    return _number(hits.on_hull), _number(hits.stable), _number(hits.rediscovered), rate


def _print_searches(rows: list[RoundRow], name: str, console: Console) -> None:
    from rich.table import Table

    table = Table(title=f"Campaign '{name}', compositions and their random searches (errors in meV/atom)")
    for header in ("round", "formulas", "strict", "near hull", "searched", "failed", *HITS):
        table.add_column(header, justify="right")
    for header in ("predicted vs lowest", "networks on test set", "networks of the round before"):
        table.add_column(header, justify="right")
    for row in rows:
        if (searches := row.searches) is None:
            continue
        table.add_row(
            str(row.number),
            f"{searches.formulas:,}",
            f"{searches.strict:,}",
            _number(searches.near_hull),
            str(searches.searched),
            str(searches.failed),
            *_hits(searches.hits),
            _milli(searches.prediction_mae),
            _milli(searches.network_mae),
            _milli(searches.network_mae_before),
        )
    console.print(table)


def _print_sun(sun: Sun, console: Console) -> None:
    """How often a campaign's relaxations gave something stable, unique and novel, and what that means."""
    if sun.tried:
        console.print(f"stable, unique and novel crystals (S.U.N.): {sun.text}")
        console.print(sun.meaning)


def _number(value: float | None, form: str = "d") -> str:
    return "-" if value is None else format(value, form)


def _milli(energy: float | None) -> str:
    """An energy in eV as meV."""
    return "-" if energy is None else f"{1000 * energy:.0f}"


# headers of the table of phases, and what stands under them
PHASES: tuple[tuple[str, Callable[[PhaseRow], str]], ...] = (
    ("formula", lambda row: row.formula),
    ("space group", lambda row: f"{row.spacegroup} ({row.spacegroup_number})"),
    ("eV above hull", lambda row: f"{row.e_above_hull:.3f}"),
    ("separation, eV/atom", lambda row: f"{row.phase_separation_energy:.3f}"),
    ("new?", lambda row: "new" if row.new else "known"),
    ("round", lambda row: str(row.round)),
    ("parent", lambda row: row.lineage[0]),
    ("how", lambda row: " | ".join(row.lineage[1:])),
    ("notes", lambda row: "; ".join(_notes(row))),
)


WHOLE = ("formula", "how")
"""Columns whose words are not broken where there is room: formulas, substitutions such as Na+->K+."""
ROOM = 100
"""Columns of a terminal from which on there is."""


def print_phases(rows: list[PhaseRow], console: Console) -> None:
    """Phases, those of new compositions in bold; several theories are named first."""
    from rich.table import Table

    if not rows:
        console.print("no stable compound yet")
        return
    table = Table(title="Stable phases ('new': of a composition that nobody had before)")
    theories = sorted({row.theory for row in rows})
    if len(theories) > 1:
        console.print(f"phases of {len(theories)} theories, each against its own hull: {', '.join(theories)}")
    for header, text in PHASES:
        words = [word for row in rows for word in text(row).split()]
        width = max(map(len, words)) if header in WHOLE and words and console.width >= ROOM else None
        table.add_column(header, justify="right" if "eV" in header else "left", overflow="fold", min_width=width)
    for row in rows:
        table.add_row(*(text(row) for _, text in PHASES), style="bold" if row.new else None)
    console.print(table)


def _notes(row: PhaseRow) -> list[str]:
    """What to know before believing in a phase."""
    from workflows.catalogue.phases.doubts import doubts, recheck_note

    notes = []
    if row.new_prototype:
        notes.append("new prototype")
    elif row.analogue and row.new:
        notes.append(f"like {row.analogue}")
    notes += doubts(row)
    if note := recheck_note(row):
        notes.append(f"recheck: {note}")
    return notes
