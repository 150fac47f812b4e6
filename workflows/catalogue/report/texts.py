"""What the page says: its headlines, the columns of its phases, numbers as people read them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from workflows.catalogue.phases import PhaseRow
from workflows.catalogue.phases.doubts import doubts, recheck_note
from workflows.catalogue.report.data import Cost, Report
from workflows.catalogue.words import plural


@dataclass(frozen=True)
class Column:
    """A column of the table of phases.

    Attributes:
        label: at its head.
        text: what stands in it.
        number: what it is sorted by; None for the text.
    """

    label: str
    text: Callable[[PhaseRow], str]
    number: Callable[[PhaseRow], float] | None = None


PHASES = [
    Column("formula", lambda row: row.formula),
    Column("space group", lambda row: f"{row.spacegroup} ({row.spacegroup_number})", lambda row: row.spacegroup_number),
    Column("above hull, eV/atom", lambda row: f"{row.e_above_hull:.3f}", lambda row: row.e_above_hull),
    Column(
        "separation, eV/atom",
        lambda row: f"{row.phase_separation_energy:.3f}",
        lambda row: row.phase_separation_energy,
    ),
    Column("new?", lambda row: "new" if row.new else "known"),
    Column("round", lambda row: str(row.round), lambda row: row.round),
    Column("lineage", lambda row: " → ".join(row.lineage)),
    Column("warnings", lambda row: "; ".join(doubts(row))),
]
RECHECK = Column("recheck", recheck_note)
"""Of campaigns that ask for rechecks."""


def headlines(report: Report) -> list[tuple[str, str]]:
    """Numbers at the top of the page, with what they count."""
    later = [row for row in report.rounds if row.number > 0]
    searched = [row.searches for row in later if row.searches]
    errors = [network.test_mae for network in report.networks if network.test_mae is not None]
    rates = [row.hits.hit_rate for row in later if row.hits]
    failed = sum(row.failed for row in report.rounds)
    unclosed = ", one not closed" if any(row.hits is None for row in later) else ""
    more_failed = f", {count(failed)} more failed" if failed else ""
    numbers = [
        _headline(len(report.finds), "new stable compound"),
        _headline(len(later), "round", f" of search{unclosed}"),
        _headline(sum(row.generated or 0 for row in later), "candidate", " generated"),
        _headline(sum(row.relaxed for row in report.rounds), "crystal", f" relaxed{more_failed}"),
        (share(rates[-1] if rates else None), "hit rate, last closed round"),
        (milli(errors[-1] if errors else None), "meV/atom, latest test error"),
        (core_hours(report.cost), "core-hours"),
    ]
    if searched:
        numbers.insert(3, _headline(sum(row.searched for row in searched), "composition", " searched"))
    return numbers


def _headline(number: int, noun: str, rest: str = "") -> tuple[str, str]:
    return count(number), f"{plural(number, noun)}{rest}"


def count(value: int | None) -> str:
    """A number of things; a dash where it is not known."""
    return "–" if value is None else f"{value:,}"


def milli(energy: float | None) -> str:
    """An energy in eV as meV."""
    return "–" if energy is None else f"{1000 * energy:.0f}"


def share(value: float | None) -> str:
    """A part of one, in per cent."""
    return "–" if value is None else f"{value:.0%}"


def hours(seconds: float) -> str:
    """A length of time, in the largest units that it fills."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min" if whole >= 3600 else f"{whole // 60} min {whole % 60:02} s"


def core_hours(cost: Cost) -> str:
    """Of the launches whose cores are known; a dash where of none that has ended."""
    known = cost.core_seconds / 3600
    if not known:
        return "–"
    text = f"{known:,.0f}" if known >= 10 else f"{known:.2g}"
    return f"≥ {text}" if cost.without_cores else text
