"""Put the trained members together, and measure them beside the ensemble before them."""

from __future__ import annotations

from typing import Any

from fireworks import FiretaskBase, FWAction, explicit_serialize

from workflows.campaign import campaign_settings
from workflows.firetasks.train import member_directory, training_set
from workflows.store import Store, round_id


@explicit_serialize
class EvaluateEnsemble(FiretaskBase):
    """Write the ensemble of a round, with its error on the test part of the data.

    The ensemble before it is measured on the same crystals. Their compositions were in no training set (the split goes
    by a hash of the formula), so the two errors show what the new data were worth.

    Required parameters:
        campaign: name.
        round: round of the ensemble.
    """

    required_params = ("campaign", "round")

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        from workflows.calculators import one_thread_unless_told

        one_thread_unless_told()
        store = Store(self.launchpad.db)
        name, number = self["campaign"], self["round"]
        settings = campaign_settings(store, name)
        dataset = training_set(store, settings, number)
        directories = [str(member_directory(settings, number, member)) for member in range(settings.network.members)]
        before = store.model(round_id(name, number - 1))
        fields = {
            "campaign": name,
            "round": number,
            "kind": "structure",
            "theory": store.campaign(name)["theory"],
            "directories": directories,
            "data_hash": dataset.data_hash,
            "n_train": len(dataset.split()[0]),
            "n_test": len(relaxed_test_part(dataset)),
            "test_mae": test_error(store, dataset, directories),
            "test_mae_before": test_error(store, dataset, before["directories"]) if before else None,
        }
        store.add_model(round_id(name, number), **fields)
        return FWAction(stored_data={key: fields[key] for key in ("test_mae", "test_mae_before", "n_train", "n_test")})


def test_error(store: Store, dataset: Any, directories: list[str]) -> float | None:
    """Mean absolute error of an ensemble's median on the relaxed crystals of the test part, eV/atom.

    None when there is no test crystal.
    """
    from gnome_torch.inference import predict_structures
    from gnome_torch.models.ensemble import Ensemble

    targets = relaxed_test_part(dataset)
    if not targets:
        return None
    crystals = store.structures(list(targets))
    energies, _ = predict_structures(Ensemble.load(directories), [crystals[key] for key in targets])
    return float(abs(energies - list(targets.values())).mean())


def relaxed_test_part(dataset: Any) -> dict[str, float]:
    """Entry -> formation energy (eV/atom) of the test part, the starts of the relaxations left out."""
    _, test = dataset.split()
    rows = zip(dataset.ids[test], dataset.targets[test], strict=True)
    return {str(key): float(energy) for key, energy in rows if ":" not in str(key)}
