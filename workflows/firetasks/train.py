"""Train one member of an ensemble."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fireworks import FiretaskBase, FWAction, explicit_serialize

from workflows.campaign import campaign_settings
from workflows.settings import CampaignSettings
from workflows.store import Store


def round_directory(settings: CampaignSettings, number: int) -> Path:
    """Where a round keeps its shards and models."""
    return settings.root / f"round-{number}"


def member_directory(settings: CampaignSettings, number: int, member: int) -> Path:
    return round_directory(settings, number) / "models" / f"member-{member:02d}"


def training_set(store: Store, settings: CampaignSettings, number: int) -> Any:
    """The crystals that the networks of a round learn from: all that were on the hull's books when the last one closed.

    The first member writes it down, the others read it.
    """
    from gnome_torch.training.dataset import TrainingSet

    path = round_directory(settings, number) / "training-set"
    if path.exists():
        return TrainingSet.load(path)
    closed = store.round(settings.name, number - 1)["closed"]
    data = store.training_data(store.campaign(settings.name)["theory"], settings.elements, closed)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = TrainingSet.build([s for _, s, _ in data], [e for _, _, e in data], [key for key, _, _ in data])
    dataset.save(path)
    return dataset


@explicit_serialize
class TrainMember(FiretaskBase):
    """Train one network on everything known; one that is there already, of the same data and settings, stays.

    A training that was killed goes on from its last checkpoint.

    Required parameters:
        campaign: name.
        round: round whose candidates it will judge.
        member: number of the member, from 0.
    """

    required_params = ("campaign", "round", "member")

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        from gnome_torch.models.checkpoint import load_metrics
        from gnome_torch.models.structure import StructureNetworkConfig
        from gnome_torch.training.loop import TrainingConfig, is_trained, train
        from workflows.calculators import best_device, one_thread_unless_told

        one_thread_unless_told()
        store = Store(self.launchpad.db)
        settings = campaign_settings(store, self["campaign"])
        directory = member_directory(settings, self["round"], self["member"])
        dataset = training_set(store, settings, self["round"])
        network, device = settings.network, best_device()
        config = StructureNetworkConfig(hidden=network.hidden)
        training = TrainingConfig(
            epochs=network.epochs,
            batch_size=network.batch_size,
            learning_rate=network.learning_rate,
            volume_jitter=network.volume_jitter,
            seed=settings.seed + self["member"],
            precision="float32" if device == "cpu" else "bfloat16",
            device=device,
        )
        if is_trained(directory, dataset, config, training):
            metrics = load_metrics(directory)
        else:
            metrics = train(dataset, config, training, directory)
        return FWAction(stored_data={key: metrics[key] for key in ("train_mae", "test_mae", "seconds")})
