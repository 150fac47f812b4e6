"""The filter: networks judge what was generated; crystals are sent to relaxation, formulas to search."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from gnome_torch.devices import one_thread_unless_told
from gnome_torch.records import Prediction, Predictions
from gnome_torch.screening import Criteria, Predict, Predictor, Ranking, screen
from workflows.campaign.campaign import Campaign
from workflows.campaign.pipelines import COMPOSITIONAL, STRUCTURAL
from workflows.campaign.stages.confirm import unconfirmed
from workflows.campaign.stages.predictors import judge_of
from workflows.campaign.stages.relaxations import launch_relaxations
from workflows.campaign.stages.searches import launch_searches
from workflows.catalogue.hulls import current_hull
from workflows.ground.continuation import Stopped, never, stop_after_part

if TYPE_CHECKING:
    import pyarrow as pa

    from gnome_torch.models.ensemble import Ensemble


# ---- crystals


def screen_candidates(campaign: Campaign, number: int, stopped: Stopped = never) -> dict[str, int]:
    """Predict every candidate, keep those near the hull, one per composition, and send them to relaxation.

    Raises:
        StopRequested: a signal has asked to stop; what was predicted before is kept.
    """
    # a second run must not choose again: the hull may have moved since the first
    if "selected" not in campaign.store.rounds.get(campaign.name, number).get("counts", {}):
        _choose_candidates(campaign, number, stopped)
    launch_relaxations(campaign, number)
    return {"selected": campaign.store.candidates.count(campaign.name, number)}


def _choose_candidates(campaign: Campaign, number: int, stopped: Stopped) -> None:
    """Write down what is thought of each candidate of a round, and select those that go to relaxation."""
    one_thread_unless_told()
    places = campaign.places(number)
    hull = current_hull(campaign.store, campaign.theory_id, campaign.settings.elements)
    judge = judge_of(campaign, number, hull)
    screened = screen(
        places.candidates,
        places.screening,
        judge.predictor,
        hull.energies,
        _criteria(campaign, number),
        progress=stop_after_part(stopped),
    )
    chosen = [
        (candidate, judge.crystal(candidate), prediction, distance)
        for candidate, prediction, distance in screened.chosen
    ]
    model_id = STRUCTURAL.model_id(campaign.name, number)
    campaign.store.candidates.select(campaign.name, number, chosen, model_id=model_id)
    counts = {
        "screened": screened.candidates,
        "predicted_in_full": screened.full,
        "near_hull": screened.near,
        "selected": len(chosen),
        "cascade_recall": screened.recall,
    }
    campaign.store.rounds.set_counts(campaign.name, number, counts)


def _criteria(campaign: Campaign, number: int) -> Criteria:
    """What decides in a round."""
    settings, screening = campaign.settings, campaign.settings.screening
    return Criteria(
        screening.threshold,
        screening.max_relaxations,
        Ranking(screening.ranking.rule, screening.ranking.weight, settings.seed + number),
        screening.per_system,
        screening.per_composition if number <= settings.rounds else 0,  # the last rounds confirm, and no more
        unconfirmed(campaign),
    )


# ---- formulas


def screen_compositions(campaign: Campaign, number: int, stopped: Stopped = never) -> dict[str, int]:
    """Predict every formula, keep those near the hull, and add a random search for each.

    Raises:
        StopRequested: a signal has asked to stop; what was predicted before is kept.
    """
    rounds, name = campaign.store.rounds, campaign.name
    # a second run must not choose again: the hull may have moved since the first
    if "chosen" not in rounds.get(name, number).get("counts", {}).get("compositions", {}):
        _choose_compositions(campaign, number, stopped)
    chosen = rounds.get(name, number)["counts"]["compositions"]["chosen"]
    campaign.store.searches.select(
        name,
        number,
        campaign.theory_id,
        [(row["formula"], Prediction(**row["prediction"]), row["distance"]) for row in chosen],
        COMPOSITIONAL.model_id(name, number),
    )
    launch_searches(campaign, number)
    return {"searches": campaign.store.searches.count(name, number)}


def _choose_compositions(campaign: Campaign, number: int, stopped: Stopped) -> None:
    """Write down what is thought of each formula of a round, and choose those that are searched."""
    from gnome_torch.models.ensemble import Ensemble

    one_thread_unless_told()
    store, places, limits = campaign.store, campaign.places(number), campaign.settings.compositional
    model = store.models.get(COMPOSITIONAL.model_id(campaign.name, number))
    ensemble = Ensemble.load(model["directories"])
    hull = current_hull(store, campaign.theory_id, campaign.settings.elements)
    # what the other pipeline has chosen in this round
    taken = {document["formula"] for document in store.candidates.of_round(campaign.name, number)}
    screened = screen(
        places.compositions,
        places.composition_screening,
        Predictor(_predict_formulas(ensemble), {"ensemble": ensemble.fingerprint()}),
        hull.energies,
        Criteria(limits.threshold, limits.max_compositions + len(taken)),
        read=lambda table: table["formula"].to_pylist(),
        progress=stop_after_part(stopped),
    )
    chosen = [
        {"formula": formula, "prediction": asdict(prediction), "distance": distance}
        for formula, prediction, distance in screened.chosen
        if formula not in taken
    ][: limits.max_compositions]
    counts = {"near_hull": screened.near, "selected": len(chosen), "chosen": chosen}
    store.rounds.set_counts(campaign.name, number, counts, within="counts.compositions")


def _predict_formulas(ensemble: Ensemble) -> Predict:
    """Predictions for formulas as their shards have them."""
    from pymatgen.core import Composition

    from gnome_torch.inference import predict_compositions

    def predict(table: pa.Table) -> Predictions:
        formulas = [Composition(formula) for formula in table["formula"].to_pylist()]
        energies, iqr = predict_compositions(ensemble, formulas)
        return Predictions(energies, iqr, np.ones(len(energies)))

    return predict
