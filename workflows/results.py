"""What a campaign found, as plain rows: the funnel of its rounds, the networks' errors, the stable phases."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gnome_torch.stability.hull import STABLE_TOLERANCE
from workflows.store import Store


@dataclass(frozen=True)
class RoundRow:
    """One round, from what was generated to what is stable.

    Attributes:
        number: round; 0 is the first data.
        generated: candidates after de-duplication, policy and novelty.
        near_hull: predicted within the threshold.
        selected: sent to relaxation (one per composition).
        relaxed: finished.
        failed: failed, or refused as implausible.
        stable: on the hull when the round closed.
        hit_rate: stable / relaxed.
        prediction_mae: predicted against relaxed formation energy of the round's crystals, eV/atom.
        network_mae: the round's ensemble on the test part of the data, eV/atom.
        network_mae_before: the ensemble before it on the same crystals, eV/atom.
    """

    number: int
    generated: int | None
    near_hull: int | None
    selected: int
    relaxed: int
    failed: int
    stable: int | None
    hit_rate: float | None
    prediction_mae: float | None
    network_mae: float | None
    network_mae_before: float | None


@dataclass(frozen=True)
class PhaseRow:
    """One phase on or near the hull.

    Attributes:
        formula: reduced formula.
        spacegroup: Hermann-Mauguin symbol (tolerance 0.1 angstrom).
        spacegroup_number: its number.
        e_above_hull: eV/atom.
        phase_separation_energy: eV/atom, negative when stable; None for an element.
        formation_energy: eV/atom.
        new: the composition was not in the campaign's first data (of the campaign asked for, else of the one that
            computed it).
        round: round that proposed it.
        source: prototype, element, file, substitution or saps.
        parent: prototype or entry whose geometry it has.
        substitution: what was replaced in the parent.
        lineage: the same, traced back to a known crystal: substitutions from the first parent on.
        predicted_formation_energy: formation energy that the ensemble predicted, eV/atom; None for first data.
        iqr: spread of that prediction, eV/atom.
        theory: level of theory.
        entry: key in the database.
    """

    formula: str
    spacegroup: str
    spacegroup_number: int
    e_above_hull: float
    phase_separation_energy: float | None
    formation_energy: float
    new: bool
    round: int
    source: str
    parent: str
    substitution: str
    lineage: tuple[str, ...]
    predicted_formation_energy: float | None
    iqr: float | None
    theory: str
    entry: str

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "lineage": list(self.lineage)}


def round_rows(store: Store, campaign: str) -> list[RoundRow]:
    """The funnel of a campaign, a row a round."""
    rows = []
    tally = store.tally_candidates(campaign)
    for document in store.all_rounds(campaign):
        states = tally.get(document["number"], {})
        number, counts, result = document["number"], document.get("counts", {}), document.get("result", {})
        model = store.model(f"{campaign}/{number}")
        rows.append(
            RoundRow(
                number=number,
                generated=counts.get("generated"),
                near_hull=counts.get("near_hull"),
                selected=sum(states.values()),
                relaxed=states.get("relaxed", 0),
                failed=states.get("failed", 0),
                stable=result.get("stable"),
                hit_rate=result.get("hit_rate"),
                prediction_mae=result.get("prediction_mae"),
                network_mae=model.get("test_mae"),
                network_mae_before=model.get("test_mae_before"),
            )
        )
    return rows


def phase_rows(
    store: Store,
    campaign: str | None,
    max_e_above_hull: float = STABLE_TOLERANCE,
    new_only: bool = False,
    limit: int = 0,
) -> list[PhaseRow]:
    """Compounds on or near the hull, the most stable first.

    Args:
        store: the database.
        campaign: its name; None for all campaigns.
        max_e_above_hull: eV/atom.
        new_only: leave out compositions of the first data.
        limit: at most this many; 0 for all.
    """
    rows: list[PhaseRow] = []
    first = store.first_formulas(campaign) if campaign else None
    for document in store.stable(campaign, max_e_above_hull):
        new = document["novelty"]["new_composition"] if first is None else document["formula"] not in first
        if new_only and not new:
            continue
        if limit and len(rows) == limit:
            break
        lineage, stability = document["lineage"], document["stability"]
        prediction = document.get("prediction") or {}
        rows.append(
            PhaseRow(
                formula=document["formula"],
                spacegroup=document["spacegroup"]["symbol"],
                spacegroup_number=document["spacegroup"]["number"],
                e_above_hull=stability["e_above_hull"],
                phase_separation_energy=stability["phase_separation_energy"],
                formation_energy=stability["formation_energy"],
                new=new,
                round=lineage["round"],
                source=lineage["source"],
                parent=lineage["parent_id"] or "",
                substitution=lineage["substitution"],
                lineage=ancestry(store, lineage),
                predicted_formation_energy=prediction.get("formation_energy"),
                iqr=prediction.get("iqr"),
                theory=document["theory"],
                entry=document["_id"],
            )
        )
    return rows


def write_cifs(store: Store, rows: list[PhaseRow], directory: Path) -> None:
    """Write the crystals of phases as FORMULA-ENTRY.cif."""
    directory.mkdir(parents=True, exist_ok=True)
    structures = store.structures([row.entry for row in rows])
    for row in rows:
        structures[row.entry].to(filename=str(directory / f"{row.formula}-{row.entry}.cif"))


def ancestry(store: Store, lineage: dict[str, Any]) -> tuple[str, ...]:
    """Steps from the first known crystal to this one: the crystal, then each substitution."""
    steps = []
    while True:
        steps.append(lineage["substitution"] or "as it is")
        parent = lineage["parent_id"] or ""
        document = store.entry(parent)
        if document is None:
            return (parent, *reversed(steps))
        lineage = document["lineage"]
