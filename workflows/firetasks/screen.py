"""Screen a round's candidates with the ensemble, and send the chosen ones to relaxation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fireworks import FiretaskBase, FWAction, explicit_serialize
from pymatgen.core import Composition

from gnome_torch.candidates.shards import read_parents, read_shards
from gnome_torch.records import Candidate, Prediction
from gnome_torch.screening import select
from gnome_torch.stability.hull import Hull
from gnome_torch.stability.plausibility import unbelievable
from workflows.campaign import campaign_settings, launch_relaxations
from workflows.firetasks.train import round_directory
from workflows.settings import CampaignSettings
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
        if "selected" not in store.round(name, number).get("counts", {}):
            choose(store, name, number)
        launch_relaxations(store, self.launchpad, name, number)
        return FWAction(stored_data={"selected": store.count_candidates(name, number)})


def choose(store: Store, name: str, number: int) -> None:
    """Predict a round's candidates, write all predictions down, and select those that go to relaxation."""
    from gnome_torch.inference import predict
    from gnome_torch.models.ensemble import Ensemble
    from workflows.calculators import one_thread_unless_told

    one_thread_unless_told()
    settings = campaign_settings(store, name)
    screening = settings.screening
    directory = round_directory(settings, number)
    model = round_id(name, number)

    candidates = list(read_shards(directory / "candidates"))
    crystals = read_parents(directory / "candidates")
    ensemble = Ensemble.load(store.model(model)["directories"])
    predictions = list(predict(ensemble, crystals, candidates, volume_scales=volume_scales(screening.volumes)))
    energies = [prediction.formation_energy for prediction in predictions]
    floors = hull_energies(store, settings, name, candidates)
    write_predictions(directory / "predictions.parquet", candidates, predictions, floors)

    formulas = [candidate.reduced_formula for candidate in candidates]
    choices = select(formulas, energies, floors, screening.threshold, screening.max_relaxations)
    chosen = []
    for choice in choices:
        candidate = candidates[choice.index]
        crystal = candidate.structure(crystals[candidate.parent_id])
        chosen.append((candidate, crystal, predictions[choice.index], choice.distance))
    store.select_candidates(name, number, chosen, model_id=model)
    near = sum(energy - floor <= screening.threshold for energy, floor in zip(energies, floors, strict=True))
    counts = {"screened": len(candidates), "near_hull": near, "selected": len(choices)}
    store.update_round(name, number, **{f"counts.{key}": value for key, value in counts.items()})


def hull_energies(store: Store, settings: CampaignSettings, name: str, candidates: list[Candidate]) -> list[float]:
    """Energy of the current hull at each candidate's composition, eV/atom."""
    entries = store.read_entries(store.campaign(name)["theory"], settings.elements)
    doubtful = unbelievable(entries)
    hull = Hull(entry for entry in entries if entry.id not in doubtful)
    return [hull.energy(Composition(candidate.counts)) for candidate in candidates]


def volume_scales(count: int) -> np.ndarray:
    """Volumes to try, as fractions of the reference volume, (count,); a single one is the reference volume itself."""
    return np.linspace(0.8, 1.2, count) if count > 1 else np.ones(1)


def write_predictions(
    path: Path, candidates: list[Candidate], predictions: list[Prediction], floors: list[float]
) -> None:
    """All predictions of a round as one Parquet file: id, energies in eV/atom, decision aside."""
    table = pa.table(
        {
            "id": [candidate.id for candidate in candidates],
            "formula": [candidate.reduced_formula for candidate in candidates],
            "formation_energy": [prediction.formation_energy for prediction in predictions],
            "iqr": [prediction.iqr for prediction in predictions],
            "volume_scale": [prediction.volume_scale for prediction in predictions],
            "hull_energy": floors,
        }
    )
    partial = path.with_suffix(".partial")
    pq.write_table(table, partial)
    partial.replace(path)
