"""Train one member of an ensemble."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fireworks import FiretaskBase, FWAction, explicit_serialize

from workflows.campaign.campaign import campaign_settings
from workflows.campaign.settings import CampaignSettings
from workflows.ground.continuation import go_on, watch
from workflows.store import NetworkKind, Store


def round_directory(settings: CampaignSettings, number: int) -> Path:
    """Where a round keeps its shards and models."""
    return settings.root / f"round-{number}"


def member_directory(
    settings: CampaignSettings, number: int, member: int, network: str = NetworkKind.STRUCTURE
) -> Path:
    folder = "models" if network == NetworkKind.STRUCTURE else f"{network}-models"
    return round_directory(settings, number) / folder / f"member-{member:02d}"


def members(settings: CampaignSettings, network: str = NetworkKind.STRUCTURE) -> int:
    """Members of an ensemble."""
    return (settings.network if network == NetworkKind.STRUCTURE else settings.composition_network).members


def training_set(store: Store, settings: CampaignSettings, number: int, network: str = NetworkKind.STRUCTURE) -> Any:
    """What the networks of a round learn from: all that was on the hull's books when the last one closed.

    The first member writes it down, the others read it.
    """
    from gnome_torch.training.dataset import CompositionSet, TrainingSet

    kind = TrainingSet if network == NetworkKind.STRUCTURE else CompositionSet
    folder = "training-set" if network == NetworkKind.STRUCTURE else f"{network}-training-set"
    path = round_directory(settings, number) / folder
    if path.exists():
        return kind.load(path)
    closed = store.rounds.get(settings.name, number - 1)["closed"]
    theory = store.campaigns.get(settings.name)["theory"]
    path.parent.mkdir(parents=True, exist_ok=True)
    if network == NetworkKind.STRUCTURE:
        data = store.learning.training_data(theory, settings.elements, closed, settings.network.starts)
        dataset: Any = TrainingSet.build([s for _, s, _ in data], [e for _, _, e in data], [key for key, _, _ in data])
    else:
        labels = store.learning.composition_labels(
            theory,
            settings.elements,
            closed,
            settings.compositional.search.min_runs,
            store.searches.pre_relaxed_runs(theory, closed),
            store.searches.unfinished(theory, closed),
        )
        dataset = CompositionSet.build([formula for formula, _ in labels], [energy for _, energy in labels])
    dataset.save(path)
    return dataset


def shape_and_training(
    settings: CampaignSettings, network: str, number: int, member: int, device: str
) -> tuple[Any, Any]:
    """Configuration of a network and of its training."""
    from gnome_torch.models.composition import CompositionNetworkConfig
    from gnome_torch.models.structure import StructureNetworkConfig
    from gnome_torch.training.loop import TrainingConfig

    common: dict[str, Any] = {
        "seed": settings.seed + member,
        "precision": "float32" if device == "cpu" else "bfloat16",
        "device": device,
    }
    if network == NetworkKind.STRUCTURE:
        chosen = settings.network
        before = member_directory(settings, number - 1, member)
        warm = chosen.warm_epochs if before.exists() else None
        return StructureNetworkConfig(hidden=chosen.hidden), TrainingConfig(
            epochs=warm or chosen.epochs,
            begin_with=str(before) if warm else None,
            batch_size=chosen.batch_size,
            learning_rate=chosen.learning_rate,
            volume_jitter=chosen.volume_jitter,
            **common,
        )
    formulas = settings.composition_network
    return CompositionNetworkConfig(hidden=formulas.hidden, edges=formulas.edges), TrainingConfig(
        epochs=formulas.epochs,
        batch_size=formulas.batch_size,
        learning_rate=formulas.learning_rate,
        warm_up=formulas.warm_up,
        volume_jitter=0.0,
        **common,
    )


@explicit_serialize
class TrainMember(FiretaskBase):
    """Train one network on everything known; one that is there already, of the same data and settings, stays.

    A training that was killed goes on from its last checkpoint; one whose job is about to end stops, and goes on in
    another.

    Required parameters:
        campaign: name.
        round: round whose candidates it will judge.
        member: number of the member, from 0.
    Optional parameters:
        network: "structure" (by default) or "composition".
    """

    required_params = ("campaign", "round", "member")
    optional_params = ("network",)

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        from gnome_torch.devices import best_device, one_thread_unless_told
        from gnome_torch.models.checkpoint import load_metrics
        from gnome_torch.training.loop import TrainingStopped, is_trained, train

        one_thread_unless_told()
        with watch() as stopped:
            store = Store(self.launchpad.db)
            settings = campaign_settings(store, self["campaign"])
            network = self.get("network", NetworkKind.STRUCTURE)
            directory = member_directory(settings, self["round"], self["member"], network)
            dataset = training_set(store, settings, self["round"], network)
            config, training = shape_and_training(settings, network, self["round"], self["member"], best_device())
            if is_trained(directory, dataset, config, training):
                metrics = load_metrics(directory)
            else:
                try:
                    metrics = train(dataset, config, training, directory, asked_to_stop=stopped)
                except TrainingStopped as stop:
                    name = f"{settings.name}: train {self['member'] + 1}, goes on"
                    return go_on(self, fw_spec, name, stop.progress)
        return FWAction(stored_data={key: metrics[key] for key in ("train_mae", "test_mae", "seconds")})
