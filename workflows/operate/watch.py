"""A campaign at a glance: its rounds, what waits and runs, how fast it goes, and what went wrong last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table

from workflows.catalogue.hits import Hits
from workflows.catalogue.progress import RoundProgress, status_lines
from workflows.ground.queues import CATEGORIES
from workflows.store import CampaignState, CandidateState, Store, now, utc

WINDOW = timedelta(hours=1)
"""The rate is that of the last hour."""
SHOWN = 5  # errors


@dataclass(frozen=True)
class FailedRelaxation:
    """A relaxation that failed.

    Attributes:
        formula: reduced formula.
        reason: why.
        directory: where it ran; empty where it never did.
        ended: when.
    """

    formula: str
    reason: str
    directory: str
    ended: datetime


@dataclass(frozen=True)
class Snapshot:
    """Where a campaign stands.

    Attributes:
        name: of the campaign.
        state: running, paused, finished, failed, stopped.
        reason: of its end.
        rounds: what each is doing that has begun.
        queue: Fireworks of the whole database by category and state, of those that have not ended.
        rate_per_h: relaxations that ended in the last hour.
        waiting: relaxations that have not ended.
        hits: what came of the trials of all rounds.
        failures: the latest.
    """

    name: str
    state: str
    reason: str
    rounds: tuple[RoundProgress, ...]
    queue: dict[str, dict[str, int]]
    rate_per_h: float
    waiting: int
    hits: Hits
    failures: tuple[FailedRelaxation, ...]

    @property
    def left(self) -> timedelta | None:
        """Until the relaxations that wait have ended, at the rate of the last hour; None where there is no rate."""
        return timedelta(hours=self.waiting / self.rate_per_h) if self.waiting and self.rate_per_h else None


def snapshot(store: Store, name: str) -> Snapshot:
    """Where a campaign stands now.

    Raises:
        StoreError: there is none of this name.
    """
    document = store.campaigns.get(name)
    results = [row["result"] for row in store.rounds.all(name) if row["number"] > 0 and row.get("result")]
    failures = [
        FailedRelaxation(d["formula"], d["reason"], d.get("directory") or "", utc(d["ended"]))
        for d in store.candidates.latest_failures(name, SHOWN)
    ]
    begun = utc(document["created"])
    hours = min(WINDOW, max(now() - begun, timedelta(seconds=1))) / timedelta(hours=1)
    return Snapshot(
        name=name,
        state=document["state"],
        reason=document["reason"],
        rounds=tuple(status_lines(store, name)),
        queue=store.fireworks.queue(),
        rate_per_h=store.candidates.count_ended(name, now() - WINDOW) / hours,
        waiting=store.candidates.count_unended(name) + store.rechecks.tally(name).get(CandidateState.SELECTED, 0),
        hits=sum(map(Hits.read, results), Hits(0, 0, 0)),
        failures=tuple(failures),
    )


def view(standing: Snapshot) -> RenderableType:
    """What is shown of it; nothing of what is to come once the campaign has ended."""
    head = f"campaign '{standing.name}': {standing.state} {standing.reason}".rstrip()
    left = "" if standing.left is None else f", about {_words(standing.left)} left"
    facts = _rates(standing.hits)
    if not CampaignState(standing.state).has_ended:
        facts = f"{standing.rate_per_h:.0f} relaxations an hour, {standing.waiting} waiting{left}; {facts}"
    lines = [
        f"failed {f.ended:%m-%d %H:%M} {f.formula}: {f.reason} ({f.directory or 'not run'})" for f in standing.failures
    ]
    parts: list[RenderableType] = [head, facts, "", _round_table(standing)]
    if any(standing.queue.values()):
        parts += ["", _queue_table(standing)]
    return Group(*parts, *(["", *lines] if lines else []))


def _rates(hits: Hits) -> str:
    """The shares of the trials that are new stable compounds, and that came to lie on the hull."""
    new, all_ = ("-" if rate is None else f"{rate:.0%}" for rate in (hits.hit_rate, hits.hull_rate))
    return f"hit rate {new} (new stable; {all_} on the hull)"


def _round_table(standing: Snapshot) -> Table:
    table = Table(box=None, pad_edge=False)
    for header in ("round", "ended", "of", ""):
        table.add_column(header, justify="left" if not header or header == "round" else "right", overflow="fold")
    for row in standing.rounds:
        table.add_row(row.label, str(row.ended), str(row.total or "?"), row.note)
    return table


def _queue_table(standing: Snapshot) -> Table:
    """Fireworks that have not ended, by category and state."""
    table = Table(box=None, pad_edge=False)
    states = [s for s in ("RUNNING", "RESERVED", "READY", "WAITING", "PAUSED", "FIZZLED") if _any(standing, s)]
    for header in ("queue", *(state.lower() for state in states)):
        table.add_column(header, justify="left" if header == "queue" else "right")
    for category in CATEGORIES:
        if counts := standing.queue.get(category):
            table.add_row(category, *(str(counts.get(state, 0)) for state in states))
    return table


def _any(standing: Snapshot, state: str) -> bool:
    return any(counts.get(state) for counts in standing.queue.values())


def _words(length: timedelta) -> str:
    minutes = int(length.total_seconds() // 60)
    if minutes < 120:
        return f"{max(1, minutes)} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} days"


def watch(look: Callable[[], Snapshot], console: Console, every_s: float, pause: Callable[[float], None]) -> None:
    """Show a campaign until it has ended; once, where there is no terminal.

    Args:
        look: where it stands now.
        console: where to.
        every_s: seconds between two looks.
        pause: waits.
    """
    if not console.is_terminal:
        console.print(view(look()), markup=False, highlight=False)
        return
    with Live(console=console, auto_refresh=False) as live:
        while True:
            standing = look()
            live.update(view(standing), refresh=True)
            if CampaignState(standing.state).has_ended:
                return
            pause(every_s)
