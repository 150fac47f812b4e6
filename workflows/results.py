"""What a campaign found, as plain rows: the funnel of its rounds, the networks' errors, the stable phases."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gnome_torch.stability.changes import warnings
from gnome_torch.stability.formulas import amounts_of, symbol_of
from gnome_torch.stability.hull import STABLE_TOLERANCE
from workflows.store import Store
from workflows.stored import COMPOSITION, model_id


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
        searches: compositions that were searched for crystals, and what came of it; None for none.
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
    searches: SearchRow | None


@dataclass(frozen=True)
class SearchRow:
    """The compositional pipeline of one round, from formulas to stable phases.

    Attributes:
        formulas: balanced by oxidation states, and not known.
        strict: those of them that balance strictly.
        near_hull: predicted within the threshold.
        searched: searched for crystals.
        failed: searches without a crystal to relax.
        finished: searches with at least one finished relaxation.
        stable: of these, on the hull when the round closed.
        hit_rate: stable / finished.
        prediction_mae: predicted against lowest relaxed formation energy, eV/atom.
        network_mae: the round's ensemble of composition networks on the test part of the data, eV/atom.
        network_mae_before: the ensemble before it on the same compositions, eV/atom.
    """

    formulas: int
    strict: int
    near_hull: int | None
    searched: int
    failed: int
    finished: int | None
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
        phase_separation_energy: eV/atom, negative when stable.
        formation_energy: eV/atom.
        new: the composition was not in the campaign's first data (of the campaign asked for, else of the one that
            computed it), and has not been imported at whatever theory.
        prototype: label of its prototype; None where no symmetry was found.
        new_prototype: no known crystal has it; None for known phases.
        analogue: known crystal of the same prototype with the most similar elements.
        duplicate_of: older entry that is the same crystal.
        likely_disorder: pairs of elements that probably share their sites, such as "Fe/Ni".
        round: round that proposed it.
        source: prototype, element, file, substitution, saps or random.
        parent: prototype or entry whose geometry it has.
        substitution: what was replaced in the parent.
        lineage: the same, traced back to a known crystal: substitutions from the first parent on.
        predicted_formation_energy: formation energy that the ensemble predicted, eV/atom; None for first data.
        iqr: spread of that prediction, eV/atom.
        theory: level of theory.
        entry: key in the database.
        warnings: what its relaxation did that casts doubt on it, such as "fell apart".
        recheck: what came of relaxing it again at the theory of the second opinion: empty (not asked for), "relaxing",
            "failed: reason", "not placed" (its hull has not been renewed since, or an element has no reference there),
            or that theory.
        recheck_e_above_hull: distance to the hull of that theory, eV/atom; None unless it is placed there.
        recheck_missing: competing phases whose second opinion is outstanding or has failed: with them, the distance
            may be larger.
    """

    formula: str
    spacegroup: str
    spacegroup_number: int
    e_above_hull: float
    phase_separation_energy: float
    formation_energy: float
    new: bool
    prototype: str | None
    new_prototype: bool | None
    analogue: str
    duplicate_of: str
    likely_disorder: tuple[str, ...]
    round: int
    source: str
    parent: str
    substitution: str
    lineage: tuple[str, ...]
    predicted_formation_energy: float | None
    iqr: float | None
    theory: str
    entry: str
    warnings: tuple[str, ...]
    recheck: str
    recheck_e_above_hull: float | None
    recheck_missing: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        lists = {
            name: list(getattr(self, name)) for name in ("lineage", "likely_disorder", "warnings", "recheck_missing")
        }
        return {**asdict(self), **lists}


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
                searches=_search_row(store, campaign, document),
            )
        )
    return rows


def _search_row(store: Store, campaign: str, document: dict[str, Any]) -> SearchRow | None:
    counts = document.get("counts", {}).get("compositions")
    if counts is None:
        return None
    number, result = document["number"], document.get("result", {}).get("searches", {})
    model = store.model(model_id(campaign, number, COMPOSITION))
    return SearchRow(
        formulas=counts["compositions"],
        strict=counts["strict"],
        near_hull=counts.get("near_hull"),
        searched=store.count_searches(campaign, number),
        failed=store.count_searches(campaign, number, "failed"),
        finished=result.get("finished"),
        stable=result.get("stable"),
        hit_rate=result.get("hit_rate"),
        prediction_mae=result.get("prediction_mae"),
        network_mae=model.get("test_mae"),
        network_mae_before=model.get("test_mae_before"),
    )


def phase_rows(
    store: Store,
    campaign: str | None,
    max_e_above_hull: float = STABLE_TOLERANCE,
    new_only: bool = False,
    limit: int = 0,
) -> list[PhaseRow]:
    """Compounds on or near the hull, the most stable first, each crystal once.

    Args:
        store: the database.
        campaign: its name; None for all campaigns.
        max_e_above_hull: eV/atom.
        new_only: leave out compositions of the first data.
        limit: at most this many; 0 for all.
    """
    rows: list[PhaseRow] = []
    first = store.first_formulas(campaign) if campaign else None
    documents = store.stable(campaign, max_e_above_hull)
    outside = store.known_outside({document["formula"] for document in documents})
    listed = {document["_id"] for document in documents}
    for document in documents:
        if document["novelty"].get("duplicate_of") in listed:
            continue  # the same crystal, found again
        new = document["novelty"]["new_composition"] if first is None else document["formula"] not in first
        new = new and document["formula"] not in outside
        if new_only and not new:
            continue
        if limit and len(rows) == limit:
            break
        rows.append(_phase_row(store, document, new))
    return rows


def _recheck(store: Store, document: dict[str, Any]) -> tuple[str, float | None, tuple[str, ...]]:
    """Outcome of a phase's second opinion, its distance to the hull there, and what that hull lacks."""
    candidate = store.recheck(document["_id"])
    if candidate is None:
        return "", None, ()
    if candidate["state"] == "selected":
        return "relaxing", None, ()
    if candidate["state"] == "failed":
        return f"failed: {candidate['reason']}", None, ()
    entry = store.entry(candidate["entry"])
    if entry is None or not entry["stability"]:
        return "not placed", None, ()
    unfinished = store.unfinished_rechecks(candidate["campaign"], candidate["theory"])
    missing = tuple(
        some for some in unfinished if {symbol_of(z) for z, _ in amounts_of(some)} <= set(document["elements"])
    )
    return candidate["theory"], float(entry["stability"]["e_above_hull"]), missing


def _phase_row(store: Store, document: dict[str, Any], new: bool) -> PhaseRow:
    lineage, stability, novelty = document["lineage"], document["stability"], document["novelty"]
    prediction = document.get("prediction") or {}
    recheck, recheck_distance, recheck_missing = _recheck(store, document)
    return PhaseRow(
        formula=document["formula"],
        spacegroup=document["spacegroup"]["symbol"],
        spacegroup_number=document["spacegroup"]["number"],
        e_above_hull=stability["e_above_hull"],
        phase_separation_energy=stability["phase_separation_energy"],
        formation_energy=stability["formation_energy"],
        new=new,
        prototype=novelty["prototype"],
        new_prototype=novelty.get("new_prototype"),
        analogue=_named(store, novelty.get("analogue")),
        duplicate_of=novelty.get("duplicate_of") or "",
        likely_disorder=tuple("/".join(pair) for pair in novelty["likely_disorder"]),
        round=lineage["round"],
        source=lineage["source"],
        parent=lineage["parent_id"] or "",
        substitution=lineage["substitution"],
        lineage=ancestry(store, lineage),
        predicted_formation_energy=prediction.get("formation_energy"),
        iqr=prediction.get("iqr"),
        theory=document["theory"],
        entry=document["_id"],
        warnings=warnings(document.get("change"), (document.get("calculation") or {}).get("max_force")),
        recheck=recheck,
        recheck_e_above_hull=recheck_distance,
        recheck_missing=recheck_missing,
    )


def _named(store: Store, key: str | None) -> str:
    """A known crystal as people know it: its formula, and its name where it comes from."""
    document = store.entry(key) if key else None
    if document is None:
        return key or ""
    name = (document["outside"] or {}).get("key") or document["lineage"]["parent_id"] or key
    return f"{document['formula']} ({name})"


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
        parent = lineage["parent_id"] or ("random search" if lineage["source"] == "random" else "")
        document = store.entry(parent)
        if document is None:
            return (parent, *reversed(steps))
        lineage = document["lineage"]
