"""Screen a round's candidates with the ensemble, and send the chosen ones to relaxation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from fireworks import FiretaskBase, FWAction, explicit_serialize

from gnome_torch.candidates.tables.shards import read_parents
from gnome_torch.screening import Cascade, Predict, Ranking, by_parent, screen
from workflows.campaign.begin import advance
from workflows.campaign.campaign import campaign_settings
from workflows.campaign.stages.relaxations import launch_relaxations
from workflows.catalogue.hulls import current_hull
from workflows.firetasks.train import round_directory
from workflows.ground.continuation import StopRequested, go_on, watch
from workflows.store import Store, round_id


@explicit_serialize
class ScreenCandidates(FiretaskBase):
    """Predict every candidate, keep those near the hull, one per composition, and add their relaxations.

    Required parameters:
        campaign: name.
        round: number.
    """

    required_params = ("campaign", "round")

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        store = Store(self.launchpad.db)
        name, number = self["campaign"], self["round"]
        # a second run must not choose again: the hull may have moved since the first
        if "selected" not in store.rounds.get(name, number).get("counts", {}):
            with watch() as stopped:
                try:
                    choose(store, name, number, stopped)
                except StopRequested as stop:
                    return go_on(self, fw_spec, f"{name}: screen {number}, goes on", str(stop))
        launch_relaxations(store, self.launchpad, name, number)
        advance(store, self.launchpad, name)
        return FWAction(stored_data={"selected": store.candidates.count(name, number)})


def choose(store: Store, name: str, number: int, stopped: Callable[[], int] = lambda: 0) -> None:
    """Predict a round's candidates, write down what is thought of each, and select those that go to relaxation.

    Args:
        store: the database.
        name: of the campaign.
        number: of the round.
        stopped: says which signal has asked to stop, 0 for none.

    Raises:
        StopRequested: one has; what was predicted before is kept.
    """
    from gnome_torch.devices import best_device, one_thread_unless_told
    from gnome_torch.inference import Evaluation, predict
    from gnome_torch.models.ensemble import Ensemble

    one_thread_unless_told()
    settings = campaign_settings(store, name)
    screening = settings.screening
    directory = round_directory(settings, number)
    crystals = read_parents(directory / "candidates")
    ensemble = Ensemble.load(store.models.get(round_id(name, number))["directories"])
    evaluation = Evaluation(best_device())
    hull = current_hull(store, store.campaigns.get(name)["theory"], settings.elements)

    def predicted(ensemble: Ensemble, volumes: int) -> Predict:
        scales = volume_scales(volumes)
        return by_parent(crystals, lambda some: predict(ensemble, some, scales, evaluation))

    identity: dict[str, Any] = {"ensemble": ensemble.fingerprint(), "volumes": screening.volumes}
    first_look = cascade = None
    if screening.cascade:
        rough = Ensemble(list(ensemble.members)[: screening.cascade.members])
        first_look = predicted(rough, screening.cascade.volumes)
        cascade = Cascade(screening.cascade.margin, screening.cascade.audit)
        # the first look decides against the hull of its time
        identity |= {"first_look": screening.cascade.model_dump(), "hull": hull.fingerprint()}
    screened = screen(
        directory / "candidates",
        directory / "screening",
        predicted(ensemble, screening.volumes),
        hull.energies,
        identity,
        threshold=screening.threshold,
        limit=screening.max_relaxations,
        ranking=Ranking(screening.ranking.rule, screening.ranking.weight, settings.seed + number),
        per_system=screening.per_system,
        first_look=first_look,
        cascade=cascade,
        progress=stop_if(stopped),
    )
    chosen = [
        (candidate, candidate.structure(crystals[candidate.parent_id]), prediction, distance)
        for candidate, prediction, distance in screened.chosen
    ]
    store.candidates.select(name, number, chosen, model_id=round_id(name, number))
    counts = {
        "screened": screened.candidates,
        "predicted_in_full": screened.full,
        "near_hull": screened.near,
        "selected": len(chosen),
        "cascade_recall": screened.recall,
    }
    store.rounds.update(name, number, **{f"counts.{key}": value for key, value in counts.items()})


def stop_if(stopped: Callable[[], int]) -> Callable[[int], None]:
    """For `screen`, which tells of every part that is done."""

    def look(done: int) -> None:
        if stopped():
            raise StopRequested(f"candidate {done}")

    return look


def volume_scales(count: int) -> np.ndarray:
    """Volumes to try, as fractions of the reference volume, (count,); a single one is the reference volume itself."""
    return np.linspace(0.8, 1.2, count) if count > 1 else np.ones(1)
