"""What `gnome generate structural` tells of its candidates when it has ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # imported where they are needed: `gnome --help` answers at once
    from rich.console import Console


def print_summary(summary: Mapping[str, Any], out: Path, console: Console) -> None:
    """Print how many candidates there are, what became of the others, and which files hold them.

    Args:
        summary: content of summary.json.
        out: directory of the candidates.
        console: to print on.
    """
    from rich.table import Table

    table = Table(title="Structural candidates")
    table.add_column("")
    table.add_column("number", justify="right")
    for label, number in _rows(summary):
        table.add_row(label, f"{number:,}")
    console.print(table)
    if summary["choices_left_out"]:
        console.print(
            f"{summary['choices_left_out']:,} choices of sites were left out by --choices and --split-sites",
            highlight=False,
        )
    console.print(
        f"{out}/candidates-*.parquet: the candidates; {out}/parents.parquet: their parents; {out}/summary.json: this",
        highlight=False,
        soft_wrap=True,
    )


def _rows(summary: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    yield "parents", summary["parents"]
    yield "  skipped", len(summary["parents_refused"])
    yield "  structure types", summary["prototypes"]
    for rule, count in summary["ions_from"].items():
        yield f"  ions: {rule}", count
    yield "proposed", summary["proposed"]
    for rule, count in summary["refused"].items():
        yield f"  rejected: {rule}", count
    yield "  known composition", summary["known"]
    yield "  duplicates", summary["duplicates"]
    yield "new candidates", summary["passed"]
    if summary["selection"]["limit"] is not None:
        yield f"  kept by --limit ({summary['selection']['order']})", summary["written"]
    yield "written", summary["written"]
    yield "  by partial substitution", summary["saps"]
