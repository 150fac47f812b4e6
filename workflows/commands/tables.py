"""What several commands print: a campaign's rounds, and phases."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # imported where they are needed: `gnome --help` answers at once
    from rich.console import Console

    from workflows.catalogue.phases import PhaseRow
    from workflows.store import Store


def console() -> Console:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:  # a table in a log must not be cut to 80 columns
        console.width = 150
    return console


def print_funnel(store: Store, name: str, console: Console) -> None:
    from rich.table import Table

    from workflows.catalogue.progress import round_rows

    table = Table(title=f"Campaign '{name}', round by round (errors in meV/atom)")
    for header in ("round", "generated", "near hull", "relaxed", "failed", "on the hull", "hit rate"):
        table.add_column(header, justify="right")
    for header in ("predicted vs relaxed", "networks on test set", "networks of the round before"):
        table.add_column(header, justify="right")
    for row in round_rows(store, name):
        table.add_row(
            str(row.number),
            _number(row.generated),
            _number(row.near_hull),
            f"{row.relaxed} of {row.selected}",
            str(row.failed),
            _number(row.stable),
            _number(row.hit_rate, ".0%"),
            _milli(row.prediction_mae),
            _milli(row.network_mae),
            _milli(row.network_mae_before),
        )
    console.print(table)
    if any(row.searches for row in round_rows(store, name)):
        _print_searches(store, name, console)


def _print_searches(store: Store, name: str, console: Console) -> None:
    from rich.table import Table

    from workflows.catalogue.progress import round_rows

    table = Table(title=f"Campaign '{name}', compositions and their random searches (errors in meV/atom)")
    for header in ("round", "formulas", "strict", "near hull", "searched", "failed", "on the hull", "hit rate"):
        table.add_column(header, justify="right")
    for header in ("predicted vs lowest", "networks on test set", "networks of the round before"):
        table.add_column(header, justify="right")
    for row in round_rows(store, name):
        if (found := row.searches) is None:
            continue
        table.add_row(
            str(row.number),
            f"{found.formulas:,}",
            f"{found.strict:,}",
            _number(found.near_hull),
            str(found.searched),
            str(found.failed),
            _number(found.stable),
            _number(found.hit_rate, ".0%"),
            _milli(found.prediction_mae),
            _milli(found.network_mae),
            _milli(found.network_mae_before),
        )
    console.print(table)


def _number(value: float | None, form: str = "d") -> str:
    return "-" if value is None else format(value, form)


def _milli(energy: float | None) -> str:
    """An energy in eV as meV."""
    return "-" if energy is None else f"{1000 * energy:.0f}"


def print_phases(rows: list[PhaseRow], console: Console) -> None:
    from rich.table import Table

    table = Table(title="Stable phases ('new': a composition neither in the campaign's first data nor imported)")
    theories = sorted({row.theory for row in rows})
    if len(theories) > 1:
        console.print(f"phases of {len(theories)} theories, each against its own hull: {', '.join(theories)}")
    for header in (
        "formula",
        "space group",
        "eV above hull",
        "separation, eV/atom",
        "new?",
        "round",
        "parent",
        "how",
        "notes",
    ):
        table.add_column(header, justify="right" if "eV" in header else "left", overflow="fold")
    for row in rows:
        table.add_row(
            row.formula,
            f"{row.spacegroup} ({row.spacegroup_number})",
            f"{row.e_above_hull:.3f}",
            f"{row.phase_separation_energy:.3f}",
            "new" if row.new else "known",
            str(row.round),
            row.lineage[0],
            " | ".join(row.lineage[1:]),
            "; ".join(_notes(row)),
            style="bold" if row.new else None,
        )
    console.print(table if rows else "no stable compound yet")


def _notes(row: PhaseRow) -> list[str]:
    """What to know before believing in a phase."""
    from workflows.catalogue.phases import correction_note

    notes = []
    if row.duplicate_of:
        notes.append(f"same crystal as {row.duplicate_of}")
    if row.new_prototype:
        notes.append("new prototype")
    elif row.analogue and row.new:
        notes.append(f"like {row.analogue}")
    if row.likely_disorder:
        notes.append(f"probably disordered: {', '.join(row.likely_disorder)}")
    if row.unusual_elements:
        notes.append(f"holds {', '.join(row.unusual_elements)}")
    if note := correction_note(row):
        notes.append(note)
    notes += row.warnings
    if row.displaced:
        notes.append(f"was on the hull until {row.displaced}, falls apart into {' + '.join(row.decomposition)}")
    if row.recheck_e_above_hull is not None:
        lacking = f", which lacks {', '.join(row.recheck_missing)}" if row.recheck_missing else ""
        notes.append(f"{row.recheck_e_above_hull:.3f} eV/atom above the hull of {row.recheck}{lacking}")
    elif row.recheck:
        notes.append(f"second opinion: {row.recheck}")
    return notes
