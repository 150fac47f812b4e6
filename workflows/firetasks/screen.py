"""Screen a round's candidates with the ensemble, and send the chosen ones to relaxation."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fireworks import FiretaskBase, FWAction, explicit_serialize
from pymatgen.core import Composition, Structure

from gnome_torch.candidates.prototypes import prototypes
from gnome_torch.candidates.shards import read_shards
from gnome_torch.records import Candidate, Prediction
from gnome_torch.screening import select
from gnome_torch.stability.hull import Hull
from gnome_torch.stability.plausibility import unbelievable
from workflows.campaign import campaign_settings, launch_relaxations
from workflows.firetasks.train import round_directory
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
        from gnome_torch.inference import predict
        from gnome_torch.models.ensemble import Ensemble
        from workflows.calculators import one_thread_unless_told

        one_thread_unless_told()
        store = Store(self.launchpad.db)
        name, number = self["campaign"], self["round"]
        settings = campaign_settings(store, name)
        directory = round_directory(settings, number)
        # a second run must not choose again: the hull may have moved since the first
        if "selected" not in store.round(name, number).get("counts", {}):
            candidates = list(read_shards(directory / "candidates"))
            crystals = parent_structures(store, {candidate.parent_id for candidate in candidates})
            ensemble = Ensemble.load(store.model(round_id(name, number))["directories"])
            volumes = volume_scales(settings.screening.volumes)
            predictions = list(predict(ensemble, crystals, candidates, volume_scales=volumes))
            entries = store.read_entries(store.campaign(name)["theory"], settings.elements)
            doubtful = unbelievable(entries)
            hull = Hull(entry for entry in entries if entry.id not in doubtful)
            floors = [hull.energy(Composition(candidate.counts)) for candidate in candidates]
            write_predictions(directory / "predictions.parquet", candidates, predictions, floors)
            near = np.array([p.energy_per_atom for p in predictions]) - np.array(floors)
            choices = select(
                [candidate.reduced_formula for candidate in candidates],
                [prediction.energy_per_atom for prediction in predictions],
                floors,
                settings.screening.threshold,
                settings.screening.max_relaxations,
            )
            counts = {
                "screened": len(candidates),
                "near_hull": int((near <= settings.screening.threshold).sum()),
                "selected": len(choices),
            }
            chosen = [
                (
                    candidates[choice.index],
                    candidates[choice.index].structure(crystals[candidates[choice.index].parent_id]),
                    predictions[choice.index],
                    choice.distance,
                )
                for choice in choices
            ]
            store.select_candidates(name, number, chosen, model_id=round_id(name, number))
            store.update_round(name, number, **{f"counts.{key}": value for key, value in counts.items()})
        launch_relaxations(store, self.launchpad, name, number)
        return FWAction(stored_data={"selected": store.count_candidates(name, number)})


def volume_scales(count: int) -> np.ndarray:
    """Volumes to try, as fractions of the reference volume, (count,); a single one is the reference volume itself."""
    return np.linspace(0.8, 1.2, count) if count > 1 else np.ones(1)


def parent_structures(store: Store, keys: Collection[str]) -> dict[str, Structure]:
    """Crystals of parents, from the prototype library and from the entries."""
    library = prototypes()
    found = {key: library[key] for key in keys if key in library}
    return found | store.structures([key for key in keys if key not in library])


def write_predictions(
    path: Path, candidates: list[Candidate], predictions: list[Prediction], floors: list[float]
) -> None:
    """All predictions of a round as one Parquet file: id, energies in eV/atom, decision aside."""
    table = pa.table(
        {
            "id": [candidate.id for candidate in candidates],
            "formula": [candidate.reduced_formula for candidate in candidates],
            "energy_per_atom": [prediction.energy_per_atom for prediction in predictions],
            "iqr": [prediction.iqr for prediction in predictions],
            "volume_scale": [prediction.volume_scale for prediction in predictions],
            "hull_energy": floors,
        }
    )
    partial = path.with_suffix(".partial")
    pq.write_table(table, partial)
    partial.replace(path)
