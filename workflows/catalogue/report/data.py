"""A campaign as its report shows it, read from the store; nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gnome_torch.stability.hull import STABLE_TOLERANCE
from workflows.catalogue.hulls import hull_entries
from workflows.catalogue.phases import PhaseRow, phase_rows
from workflows.catalogue.progress import RoundRow, round_rows
from workflows.catalogue.report.crystals import Crystal, crystal_of
from workflows.store import NetworkKind, Store, model_id

MAX_SYSTEMS = 12  # diagrams of a page


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
    """Something that failed, and why; second opinions are of no round."""

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
        theory: level of theory.
        begun: when the campaign was created.
        last: end of the latest launch; None before the first has ended.
        max_e_above_hull: of the phases, eV/atom.
        rounds: the funnel.
        points: predictions beside results.
        networks: ensembles, by kind and round.
        phases: as `phase_rows` orders them.
        systems: binary and ternary systems with finds, most finds first, at most `MAX_SYSTEMS`.
        systems_left_out: systems with finds that have no diagram: more elements, or too many systems.
        element_counts: finds that hold each element.
        costs: by category.
        rechecks: second opinions in each state: "selected" (not ended), "relaxed", "failed".
        failures: relaxations, searches and second opinions.
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
    points: tuple[Point, ...]
    networks: tuple[Network, ...]
    phases: tuple[Phase, ...]
    systems: tuple[System, ...]
    systems_left_out: tuple[str, ...]
    element_counts: Mapping[str, int]
    costs: tuple[Cost, ...]
    rechecks: Mapping[str, int]
    failures: tuple[Failure, ...]

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
        return tuple(phase for phase in self.phases if is_find(phase.row))


def is_find(row: PhaseRow) -> bool:
    """Whether a phase is a discovery: stable, and of a new composition."""
    return row.new and row.e_above_hull <= STABLE_TOLERANCE


def read_report(store: Store, campaign: str, max_e_above_hull: float = STABLE_TOLERANCE) -> Report:
    """Read a campaign, at whatever stage it is.

    Args:
        store: the database.
        campaign: name.
        max_e_above_hull: of the phases that are listed, eV/atom.

    Raises:
        StoreError: no such campaign.
    """
    document = store.campaigns.get(campaign)
    rounds = tuple(round_rows(store, campaign))
    rows = phase_rows(store, campaign, max_e_above_hull)
    structures = store.entries.structures([row.entry for row in rows])
    finds = [row for row in rows if is_find(row)]
    systems, left_out = _systems(store, document["theory"], finds)
    launches = store.fireworks.launches(campaign)
    return Report(
        campaign=campaign,
        state=document["state"],
        reason=document["reason"],
        elements=tuple(document["settings"]["elements"]),
        theory=document["theory"],
        begun=document["created"],
        last=max((launch["ended"] for launch in launches if launch["ended"]), default=None),
        max_e_above_hull=max_e_above_hull,
        rounds=rounds,
        points=_points(store, campaign, [row.number for row in rounds]),
        networks=_networks(store, campaign, [row.number for row in rounds]),
        phases=tuple(Phase(row, crystal_of(structures[row.entry])) for row in rows),
        systems=systems,
        systems_left_out=left_out,
        element_counts=_element_counts(finds),
        costs=_costs(launches),
        rechecks=store.rechecks.tally(campaign),
        failures=_failures(store, campaign, [row.number for row in rounds]),
    )


def _points(store: Store, campaign: str, rounds: Sequence[int]) -> tuple[Point, ...]:
    candidates = store.candidates.relaxed(campaign)
    documents = store.entries.documents_of({candidate["entry"] for candidate in candidates})
    energies = {
        key: float(document["stability"]["formation_energy"])
        for key, document in documents.items()
        if document["stability"]
    }
    points = []
    lowest: dict[str, float] = {}
    for candidate in candidates:
        if (energy := energies.get(candidate["entry"])) is None:
            continue  # not placed on a hull yet
        if (formula := candidate.get("search")) is not None:
            lowest[formula] = min(energy, lowest.get(formula, energy))
        elif candidate["prediction"]:
            points.append(_point(candidate, NetworkKind.STRUCTURE, energy))
    for number in rounds:
        for search in store.searches.of_round(campaign, number):
            if search["formula"] in lowest:
                points.append(_point(search, NetworkKind.COMPOSITION, lowest[search["formula"]]))
    return tuple(points)


def _point(document: Mapping[str, Any], network: NetworkKind, relaxed: float) -> Point:
    prediction = document["prediction"]
    return Point(
        document["formula"], document["round"], network, prediction["formation_energy"], relaxed, prediction["iqr"]
    )


def _networks(store: Store, campaign: str, rounds: Sequence[int]) -> tuple[Network, ...]:
    networks = []
    for network in (NetworkKind.STRUCTURE, NetworkKind.COMPOSITION):
        for number in rounds:
            if model := store.models.get(model_id(campaign, number, network)):
                bins = (model.get("calibration") or {}).get("bins", ())
                networks.append(
                    Network(
                        number,
                        network,
                        model["n_train"],
                        model["test_mae"],
                        tuple(Bin(some["iqr"], some["mae"]) for some in bins),
                    )
                )
    return tuple(networks)


def _systems(store: Store, theory: str, finds: Sequence[PhaseRow]) -> tuple[tuple[System, ...], tuple[str, ...]]:
    """Systems to draw, and the names of those with finds that are not drawn."""
    counts = Counter(_elements_of(row) for row in finds)
    order = sorted(counts, key=lambda elements: (-counts[elements], len(elements), elements))
    drawn = [elements for elements in order if len(elements) <= 3][:MAX_SYSTEMS]
    found = {row.entry for row in finds}
    systems = []
    for elements in drawn:
        entries = [
            HullEntry(entry.reduced_formula, entry.energy_per_atom, entry.id in found)
            for entry in hull_entries(store, theory, elements)
        ]
        systems.append(System(elements, tuple(entries)))
    return tuple(systems), tuple("-".join(elements) for elements in order if elements not in drawn)


def _elements_of(row: PhaseRow) -> tuple[str, ...]:
    from pymatgen.core import Composition

    return tuple(sorted(element.symbol for element in Composition(row.formula)))


def _element_counts(finds: Sequence[PhaseRow]) -> dict[str, int]:
    counts = Counter(symbol for row in finds for symbol in _elements_of(row))
    return dict(sorted(counts.items()))


def _costs(launches: Sequence[Mapping[str, Any]]) -> tuple[Cost, ...]:
    costs = []
    for category in sorted({launch["category"] for launch in launches}):
        some = [launch for launch in launches if launch["category"] == category]
        ended = [launch for launch in some if launch["seconds"] is not None]
        costs.append(
            Cost(
                category,
                launches=len(some),
                running=sum(launch["state"] in ("RUNNING", "RESERVED") for launch in some),
                fizzled=sum(launch["state"] == "FIZZLED" for launch in some),
                seconds=sum(launch["seconds"] for launch in ended),
                core_seconds=sum(launch["seconds"] * (launch["cores"] or 0) for launch in ended),
                without_cores=sum(launch["cores"] is None for launch in ended),
            )
        )
    return tuple(costs)


def _failures(store: Store, campaign: str, rounds: Sequence[int]) -> tuple[Failure, ...]:
    failures = []
    for number in rounds:
        for candidate in store.candidates.of_round(campaign, number, "failed"):
            failures.append(Failure(number, candidate["formula"], "relaxation", candidate["reason"]))
        for search in store.searches.of_round(campaign, number, "failed"):
            failures.append(Failure(number, search["formula"], "search", search["reason"]))
    for formula, reason in store.rechecks.failed(campaign):
        failures.append(Failure(None, formula, "second opinion", reason))
    return tuple(failures)
