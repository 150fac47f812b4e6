"""A campaign as its report shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from gnome_torch.stability.hull import STABLE_TOLERANCE
from workflows.catalogue.licences import Imported
from workflows.catalogue.phases import PhaseRow
from workflows.catalogue.progress import RoundRow
from workflows.catalogue.report.crystals import Crystal
from workflows.catalogue.sun import Sun
from workflows.store import NetworkKind


@dataclass(frozen=True)
class Point:
    """A prediction and what came of it.

    Attributes:
        formula: reduced formula.
        round: number.
        network: "structure", or "composition": then the lowest crystal of the random search.
        predicted: formation energy, eV/atom.
        relaxed: formation energy, eV/atom.
        iqr: spread of the prediction, eV/atom.
    """

    formula: str
    round: int
    network: NetworkKind
    predicted: float
    relaxed: float
    iqr: float


@dataclass(frozen=True)
class Bin:
    """Test crystals of similar spread: their mean inter-quartile range and mean absolute error, eV/atom."""

    iqr: float
    mae: float


@dataclass(frozen=True)
class Network:
    """An ensemble.

    Attributes:
        round: number.
        network: "structure" or "composition".
        n_train: training structures, or compositions.
        test_mae: on the test part of the data, eV/atom.
        bins: its calibration there, from small to large spread; empty for a single network.
    """

    round: int
    network: NetworkKind
    n_train: int
    test_mae: float | None
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class HullEntry:
    """An entry of a convex hull.

    Attributes:
        formula: reduced formula.
        energy_per_atom: corrected, eV/atom.
        find: whether the campaign found it.
    """

    formula: str
    energy_per_atom: float
    find: bool


@dataclass(frozen=True)
class System:
    """A chemical system that holds finds, with all that is known in it."""

    elements: tuple[str, ...]
    entries: tuple[HullEntry, ...]

    @property
    def name(self) -> str:
        """Its elements, joined."""
        return "-".join(self.elements)


@dataclass(frozen=True)
class Phase:
    """A phase and its crystal."""

    row: PhaseRow
    crystal: Crystal


@dataclass(frozen=True)
class Cost:
    """Launches of one kind of work.

    Attributes:
        category: the Fireworks' `_category`.
        launches: begun, repeated ones too.
        running: not ended.
        fizzled: failed.
        seconds: wall time of those that have ended.
        core_seconds: the same times the cores of their workers, of those that have said how many they have.
        without_cores: launches that have ended on other workers.
    """

    category: str
    launches: int
    running: int
    fizzled: int
    seconds: float
    core_seconds: float
    without_cores: int


@dataclass(frozen=True)
class Failure:
    """Something that failed, and why; rechecks are of no round."""

    round: int | None
    formula: str
    what: str
    reason: str


@dataclass(frozen=True)
class Report:
    """All that the page shows.

    Attributes:
        campaign: name.
        state: running, paused, finished, failed or stopped.
        reason: of the end.
        elements: of the campaign.
        theory: how it computes energies.
        begun: when the campaign was created.
        last: end of the latest launch; None before the first has ended.
        max_e_above_hull: of the phases, eV/atom.
        rounds: the funnel.
        sun: how many of its crystals are stable, unique and novel.
        points: predictions beside results.
        networks: ensembles, by kind and round.
        phases: as `phase_rows` orders them.
        systems: binary and ternary systems with finds, most finds first, not too many.
        systems_left_out: systems with finds that have no diagram: more elements, or too many systems.
        element_counts: finds that hold each element.
        costs: by category.
        rechecks: relaxations at another theory in each state: "selected" (not ended), "relaxed", "failed".
        failures: of relaxations, searches and rechecks.
        imported: what its hulls and networks rest on, of what others have published.
    """

    campaign: str
    state: str
    reason: str
    elements: tuple[str, ...]
    theory: str
    begun: datetime
    last: str | None
    max_e_above_hull: float
    rounds: tuple[RoundRow, ...]
    sun: Sun
    points: tuple[Point, ...]
    networks: tuple[Network, ...]
    phases: tuple[Phase, ...]
    systems: tuple[System, ...]
    systems_left_out: tuple[str, ...]
    element_counts: Mapping[str, int]
    costs: tuple[Cost, ...]
    rechecks: Mapping[str, int]
    failures: tuple[Failure, ...]
    imported: tuple[Imported, ...] = ()

    @property
    def cost(self) -> Cost:
        """Of all categories."""
        return Cost(
            "all",
            launches=sum(cost.launches for cost in self.costs),
            running=sum(cost.running for cost in self.costs),
            fizzled=sum(cost.fizzled for cost in self.costs),
            seconds=sum(cost.seconds for cost in self.costs),
            core_seconds=sum(cost.core_seconds for cost in self.costs),
            without_cores=sum(cost.without_cores for cost in self.costs),
        )

    @property
    def finds(self) -> tuple[Phase, ...]:
        """Its discoveries."""
        return tuple(phase for phase in self.phases if is_find(phase.row))


def is_find(row: PhaseRow) -> bool:
    """Whether a phase is a discovery: stable, and of a new composition."""
    return row.new and row.e_above_hull <= STABLE_TOLERANCE
