"""Put the trained members together, and measure them beside the ensemble before them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fireworks import FiretaskBase, FWAction, explicit_serialize

from workflows.campaign.campaign import campaign_settings
from workflows.firetasks.train import member_directory, members, training_set
from workflows.store import NetworkKind, Store, model_id


@explicit_serialize
class EvaluateEnsemble(FiretaskBase):
    """Write the ensemble of a round, with its error on the test part of the data.

    The ensemble before it is measured on the same crystals. Their compositions were in no training set (the split goes
    by a hash of the formula), so the two errors show what the new data were worth.

    Required parameters:
        campaign: name.
        round: round of the ensemble.
    Optional parameters:
        network: "structure" (by default) or "composition".
    """

    required_params = ("campaign", "round")
    optional_params = ("network",)

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        from gnome_torch.devices import one_thread_unless_told

        one_thread_unless_told()
        store = Store(self.launchpad.db)
        name, number = self["campaign"], self["round"]
        settings = campaign_settings(store, name)
        network = self.get("network", NetworkKind.STRUCTURE)
        dataset = training_set(store, settings, number, network)
        directories = [
            str(member_directory(settings, number, member, network)) for member in range(members(settings, network))
        ]
        before = store.models.get(model_id(name, number - 1, network))
        tested = relaxed_test_part(dataset)
        found = test_errors(dataset, tested, directories)
        fields = {
            "campaign": name,
            "round": number,
            "kind": network,
            "theory": store.campaigns.get(name)["theory"],
            "directories": directories,
            "data_hash": dataset.data_hash,
            "n_train": len(dataset.split()[0]),
            "n_test": len(tested),
            "test_mae": found.get("mae"),
            "test_mae_before": test_errors(dataset, tested, before["directories"]).get("mae") if before else None,
            "calibration": found,
        }
        store.models.add(model_id(name, number, network), **fields)
        return FWAction(stored_data={key: fields[key] for key in ("test_mae", "test_mae_before", "n_train", "n_test")})


def test_errors(dataset: Any, tested: Any, directories: list[str]) -> dict[str, Any]:
    """Errors of an ensemble on examples of a data set (eV/atom), and what its spread is worth; empty for no example."""
    from gnome_torch.models.ensemble import Ensemble
    from gnome_torch.training.calibration import calibrate, member_energies

    if len(tested) == 0:
        return {}
    energies = member_energies(Ensemble.load(directories), dataset, tested)
    targets = dataset.targets[tested]
    if len(energies) == 1:
        return {"n": len(targets), "mae": float(abs(energies[0] - targets).mean())}
    return asdict(calibrate(energies, targets))


def relaxed_test_part(dataset: Any) -> Any:
    """Indices of the test part, (n,), the starts of the relaxations left out."""
    _, test = dataset.split()
    return test[[b":" not in dataset.ids[index] for index in test]]
