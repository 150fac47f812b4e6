"""The compositional pipeline's first stages: formulas, and which of them are searched for crystals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pyarrow as pa
from fireworks import FiretaskBase, FWAction, explicit_serialize

from gnome_torch.candidates.formulas.compositions import compositions, number_of_formulas
from gnome_torch.candidates.formulas.shards import write_compositions
from gnome_torch.candidates.structural.proposals import known_compositions
from gnome_torch.records import Prediction, Predictions
from gnome_torch.screening import screen
from workflows.campaign.campaign import campaign_settings
from workflows.campaign.stages.searches import launch_searches
from workflows.catalogue.hulls import current_hull
from workflows.firetasks.screen import stop_if
from workflows.firetasks.train import round_directory
from workflows.ground.continuation import StopRequested, go_on, watch
from workflows.store import NetworkKind, Store, model_id

FOLDER = "compositions"


@explicit_serialize
class GenerateCompositions(FiretaskBase):
    """Write the formulas that oxidation states can balance, and that nobody has computed, into the round's shards.

    Required parameters:
        campaign: name.
        round: number.
    """

    required_params = ("campaign", "round")

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        store = Store(self.launchpad.db)
        name, number = self["campaign"], self["round"]
        settings = campaign_settings(store, name)
        policy, limits = settings.composition_policy(), settings.composition_limits()
        known = store.entries.known_formulas(store.campaigns.get(name)["theory"], settings.elements)
        known |= store.searches.formulas(name)
        summary = write_compositions(
            compositions(policy, limits, known_compositions(sorted(known))),
            round_directory(settings, number) / FOLDER,
            looked_at=number_of_formulas(policy, limits),
            known=len(known),
        )
        counts = {f"compositions.{key}": summary[key] for key in ("looked_at", "known", "compositions", "strict")}
        store.rounds.open(name, number)
        store.rounds.update(name, number, **{f"counts.{key}": value for key, value in counts.items()})
        return FWAction(stored_data=summary)


@explicit_serialize
class ScreenCompositions(FiretaskBase):
    """Predict every formula, keep those near the hull, and add a random search for each.

    Required parameters:
        campaign: name.
        round: number.
    """

    required_params = ("campaign", "round")

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        store = Store(self.launchpad.db)
        name, number = self["campaign"], self["round"]
        # a second run must not choose again: the hull may have moved since the first
        if "chosen" not in store.rounds.get(name, number).get("counts", {}).get("compositions", {}):
            with watch() as stopped:
                try:
                    choose(store, name, number, stopped)
                except StopRequested as stop:
                    return go_on(self, fw_spec, f"{name}: screen {number} compositions, goes on", str(stop))
        chosen = store.rounds.get(name, number)["counts"]["compositions"]["chosen"]
        store.searches.select(
            name,
            number,
            store.campaigns.get(name)["theory"],
            [(some["formula"], Prediction(**some["prediction"]), some["distance"]) for some in chosen],
            model_id(name, number, NetworkKind.COMPOSITION),
        )
        launch_searches(store, self.launchpad, name, number)
        return FWAction(stored_data={"searches": store.searches.count(name, number)})


def choose(store: Store, name: str, number: int, stopped: Callable[[], int] = lambda: 0) -> None:
    """Predict a round's formulas, write down what is thought of each, and choose those that are searched.

    Args and errors as in `screen.choose`.
    """
    import numpy as np
    from pymatgen.core import Composition

    from gnome_torch.devices import one_thread_unless_told
    from gnome_torch.inference import predict_compositions
    from gnome_torch.models.ensemble import Ensemble

    one_thread_unless_told()
    settings = campaign_settings(store, name)
    limits = settings.compositional
    theory = store.campaigns.get(name)["theory"]
    judge = model_id(name, number, NetworkKind.COMPOSITION)
    ensemble = Ensemble.load(store.models.get(judge)["directories"])
    hull = current_hull(store, theory, settings.elements)

    def predict(table: pa.Table) -> Predictions:
        formulas = [Composition(formula) for formula in table["formula"].to_pylist()]
        energies, iqr = predict_compositions(ensemble, formulas)
        return Predictions(energies, iqr, np.ones(len(energies)))

    # what the other pipeline has chosen in this round
    taken = {document["formula"] for document in store.candidates.of_round(name, number)}
    directory = round_directory(settings, number)
    screened = screen(
        directory / FOLDER,
        directory / "composition-screening",
        predict,
        hull.energies,
        {"ensemble": ensemble.fingerprint()},
        threshold=limits.threshold,
        limit=limits.max_compositions + len(taken),
        read=lambda table: table["formula"].to_pylist(),
        progress=stop_if(stopped),
    )
    chosen = [
        {"formula": formula, "prediction": asdict(prediction), "distance": distance}
        for formula, prediction, distance in screened.chosen
        if formula not in taken
    ][: limits.max_compositions]
    counts = {"near_hull": screened.near, "selected": len(chosen), "chosen": chosen}
    store.rounds.update(name, number, **{f"counts.compositions.{key}": value for key, value in counts.items()})
