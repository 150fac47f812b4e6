"""Who judges the crystals of a round: the networks alone, as in GNoME, or a baseline that they correct."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pymatgen.core import Structure

from gnome_torch.baseline import Baseline
from gnome_torch.candidates.tables.shards import read_parents
from gnome_torch.devices import best_device
from gnome_torch.records import Candidate, Predictions
from gnome_torch.screening import Cascade, Predict, Predictor, by_parent
from gnome_torch.stability.formulas import fractions_of
from gnome_torch.stability.hull import Hull
from workflows.campaign.baseline import Judgements, judgements_of
from workflows.campaign.campaign import Campaign
from workflows.campaign.pipelines import STRUCTURAL
from workflows.campaign.stages.alike import already_there, computed
from workflows.store import StoreError

if TYPE_CHECKING:
    import pyarrow as pa

    from gnome_torch.models.ensemble import Ensemble


@dataclass(frozen=True)
class Judge:
    """What is thought of candidates, and which crystals they are.

    Attributes:
        predictor: of their formation energies.
        crystal: of a candidate, as it goes to relaxation.
    """

    predictor: Predictor
    crystal: Callable[[Candidate], Structure]


def judge_of(campaign: Campaign, number: int, hull: Hull) -> Judge:
    """The judge of a round's candidates.

    Args:
        campaign: whose.
        number: of the round; its ensemble has been evaluated.
        hull: as it is now.
    """
    from gnome_torch.models.ensemble import Ensemble

    model = campaign.store.models.get(STRUCTURAL.model_id(campaign.name, number))
    ensemble = Ensemble.load(model["directories"])
    parents = read_parents(campaign.places(number).candidates)
    if model.get("baseline") is None:
        return _networks_alone(campaign, ensemble, parents, hull)
    return _over_baseline(campaign, number, ensemble, parents)


def _networks_alone(campaign: Campaign, ensemble: Ensemble, parents: Mapping[str, Structure], hull: Hull) -> Judge:
    """Decorated parents at their reference volume, or the lowest of several volumes."""
    from gnome_torch.models.ensemble import Ensemble

    screening = campaign.settings.screening
    identity: dict[str, Any] = {"ensemble": ensemble.fingerprint(), "volumes": screening.volumes}
    cascade = None
    if screening.cascade:
        few = Ensemble(list(ensemble.members)[: screening.cascade.members])
        first_look = _predict_crystals(few, parents, screening.cascade.volumes)
        cascade = Cascade(first_look, screening.cascade.margin, screening.cascade.audit)
        # the first look decides against the hull of its time
        identity |= {"first_look": screening.cascade.model_dump(), "hull": hull.fingerprint()}
    predict = _predict_crystals(ensemble, parents, screening.volumes)
    return Judge(Predictor(predict, identity, cascade), lambda c: c.structure(parents[c.parent_id]))


def _over_baseline(campaign: Campaign, number: int, ensemble: Ensemble, parents: Mapping[str, Structure]) -> Judge:
    """The baseline's energies of what has taken the first steps, with the networks' correction; nothing else."""
    document = campaign.store.models.get(STRUCTURAL.model_id(campaign.name, number))["baseline"]
    if document["theory"] != campaign.baseline_theory.id:
        raise StoreError(
            f"campaign '{campaign.name}': the baseline of round {number} was fitted to {document['theory']}, this "
            f"installation has {campaign.baseline_theory.id}: their energies must not meet; install the versions of "
            "constraints.txt that it was fitted with"
        )
    baseline, judgements = Baseline.from_document(document), judgements_of(campaign)
    known = computed(campaign, number, judgements)

    def predict(table: pa.Table) -> Predictions:
        names, formulas = table["id"].to_pylist(), table["formula"].to_pylist()
        stepped = [row for row, name in enumerate(names) if judgements.approached(name).structure is not None]
        there = already_there(known, judgements, [(names[row], formulas[row]) for row in stepped])
        rows = [row for row in stepped if names[row] not in there]
        # what has not taken the first steps, and what has come to a crystal that is there, is not to be chosen
        energy, iqr, scale = np.full(len(names), np.inf), np.full(len(names), np.nan), np.ones(len(names))
        if rows:
            some = [names[row] for row in rows]
            energy[rows], iqr[rows] = _corrected(ensemble, baseline, judgements, some, [formulas[r] for r in rows])
            volumes = np.array([_crystal(judgements, name).volume for name in some])
            scale[rows] = volumes / table["volume"].to_numpy()[rows]
        return Predictions(energy, iqr, scale)

    def crystal(candidate: Candidate) -> Structure:
        return judgements.approached(candidate.id).structure or candidate.structure(parents[candidate.parent_id])

    identity = {"ensemble": ensemble.fingerprint(), "baseline": dict(document)}
    return Judge(Predictor(predict, identity), crystal)


def _corrected(
    ensemble: Ensemble, baseline: Baseline, judgements: Judgements, names: list[str], formulas: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Formation energies and spreads of crystals after their first steps, eV/atom, (n,) each."""
    from gnome_torch.inference import Evaluation, predict_structures

    crystals = [_crystal(judgements, name) for name in names]
    energies = np.array([judgements.approached(name).energy for name in names])
    own = baseline.formation_energies(energies, fractions_of(formulas))
    corrections, iqr = predict_structures(ensemble, crystals, Evaluation(best_device()))
    return baseline.corrected(own, corrections, iqr)


def _crystal(judgements: Judgements, name: str) -> Structure:
    structure = judgements.approached(name).structure
    assert structure is not None  # asked only of those that have one
    return structure


def _predict_crystals(ensemble: Ensemble, parents: Mapping[str, Structure], volumes: int) -> Predict:
    """Predictions for candidates as their shards have them, from the crystals of their parents."""
    from gnome_torch.inference import Evaluation, predict

    evaluation, scales = Evaluation(best_device()), volume_scales(volumes)
    return by_parent(parents, lambda part: predict(ensemble, part, scales, evaluation))


def volume_scales(count: int) -> np.ndarray:
    """Volumes to try, as fractions of the reference volume, (count,); a single one is the reference volume itself."""
    return np.linspace(0.8, 1.2, count) if count > 1 else np.ones(1)
