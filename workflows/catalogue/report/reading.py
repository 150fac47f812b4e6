"""Reads a report from the store, at whatever stage the campaign is; nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gnome_torch.stability.hull import STABLE_TOLERANCE
from workflows.catalogue.hulls import hull_entries
from workflows.catalogue.licences import imported
from workflows.catalogue.phases import PhaseRow, phase_rows
from workflows.catalogue.progress import round_rows
from workflows.catalogue.report.crystals import crystal_of
from workflows.catalogue.report.data import (
    Bin,
    Cost,
    Failure,
    HullEntry,
    Network,
    Phase,
    Point,
    Report,
    System,
    is_find,
)
from workflows.catalogue.sun import sun_of
from workflows.store import CandidateState, NetworkKind, SearchState, Store, model_id
from workflows.store.base import Document

MAX_SYSTEMS = 12  # diagrams of a page


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
        sun=sun_of(store, campaign),
        points=_points(store, campaign, [row.number for row in rounds]),
        networks=_networks(store, campaign, [row.number for row in rounds]),
        phases=tuple(Phase(row, crystal_of(structures[row.entry])) for row in rows),
        systems=systems,
        systems_left_out=left_out,
        element_counts=_element_counts(finds),
        costs=_costs(launches),
        rechecks=store.rechecks.tally(campaign),
        failures=_failures(store, campaign, [row.number for row in rounds]),
        imported=tuple(imported(store, document["theory"], document["settings"]["elements"])),
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
    searches = (search for number in rounds for search in store.searches.of_round(campaign, number))
    points += [
        _point(search, NetworkKind.COMPOSITION, lowest[search["formula"]])
        for search in searches
        if search["formula"] in lowest
    ]
    return tuple(points)


def _point(document: Document, network: NetworkKind, relaxed: float) -> Point:
    prediction = document["prediction"]
    return Point(
        document["formula"], document["round"], network, prediction["formation_energy"], relaxed, prediction["iqr"]
    )


def _networks(store: Store, campaign: str, rounds: Sequence[int]) -> tuple[Network, ...]:
    networks = []
    for network in (NetworkKind.STRUCTURE, NetworkKind.COMPOSITION):
        for number in rounds:
            if model := store.models.get(model_id(campaign, number, network)):
                measured = (model.get("calibration") or {}).get("bins", ())
                bins = tuple(Bin(part["iqr"], part["mae"]) for part in measured)
                networks.append(Network(number, network, model["n_train"], model["test_mae"], bins))
    return tuple(networks)


def _systems(store: Store, theory: str, finds: Sequence[PhaseRow]) -> tuple[tuple[System, ...], tuple[str, ...]]:
    """Systems to draw, and the names of those with finds that are not drawn."""
    counts = Counter(_elements_of(row) for row in finds)
    order = sorted(counts, key=lambda elements: (-counts[elements], len(elements), elements))
    drawn = [elements for elements in order if len(elements) <= 3][:MAX_SYSTEMS]
    new = {row.entry for row in finds}
    systems = []
    for elements in drawn:
        entries = [
            HullEntry(entry.reduced_formula, entry.energy_per_atom, entry.id in new)
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


def _costs(launches: Sequence[Document]) -> tuple[Cost, ...]:
    costs = []
    for category in sorted({launch["category"] for launch in launches}):
        of_category = [launch for launch in launches if launch["category"] == category]
        ended = [launch for launch in of_category if launch["seconds"] is not None]
        costs.append(
            Cost(
                category,
                launches=len(of_category),
                running=sum(launch["state"] in ("RUNNING", "RESERVED") for launch in of_category),
                fizzled=sum(launch["state"] == "FIZZLED" for launch in of_category),
                seconds=sum(launch["seconds"] for launch in ended),
                core_seconds=sum(launch["seconds"] * (launch["cores"] or 0) for launch in ended),
                without_cores=sum(launch["cores"] is None for launch in ended),
            )
        )
    return tuple(costs)


def _failures(store: Store, campaign: str, rounds: Sequence[int]) -> tuple[Failure, ...]:
    failures = []
    for number in rounds:
        relaxations = store.candidates.of_round(campaign, number, CandidateState.FAILED)
        failures += [Failure(number, d["formula"], "relaxation", d["reason"]) for d in relaxations]
        searches = store.searches.of_round(campaign, number, SearchState.FAILED)
        failures += [Failure(number, d["formula"], "search", d["reason"]) for d in searches]
    failures += [Failure(None, formula, "recheck", reason) for formula, reason in store.rechecks.failed(campaign)]
    return tuple(failures)
