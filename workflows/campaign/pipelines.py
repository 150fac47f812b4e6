"""The two ways to candidates: crystals by substitution, and formulas that are then searched for crystals.

They share the stages of a round and differ in what their networks learn from. Each difference is a method here, so that
no stage asks which of the two it works for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pymatgen.core import Composition

from workflows.campaign.baseline import fit_baseline
from workflows.campaign.campaign import Campaign
from workflows.campaign.settings import CampaignSettings, CompositionNetworkSettings, Network
from workflows.store import NetworkKind, model_id

if TYPE_CHECKING:  # VASP's workers plan rounds too, and start fast: networks are loaded where they are made
    from gnome_torch.models.composition import CompositionNetworkConfig
    from gnome_torch.models.structure import StructureNetworkConfig
    from gnome_torch.training.config import TrainingConfig
    from gnome_torch.training.dataset import CompositionSet, TrainingSet


class Pipeline(ABC):
    """One way to candidates.

    Attributes:
        name: in settings.
        network: what its networks judge.
        of_what: what distinguishes its Fireworks' names; empty for crystals.
        sent: claim of a round whose candidates have all been sent on.
        models_folder: of a round, with its networks.
        data_folder: of a round, with what they learn from.
    """

    name: ClassVar[str]
    network: ClassVar[NetworkKind]
    of_what: ClassVar[str]
    sent: ClassVar[str]
    models_folder: ClassVar[str]
    data_folder: ClassVar[str]

    @abstractmethod
    def ensemble(self, settings: CampaignSettings) -> Network | CompositionNetworkSettings:
        """Settings of its networks."""

    @abstractmethod
    def load_data(self, path: Path) -> TrainingSet | CompositionSet:
        """A data set that has been written."""

    @abstractmethod
    def build_data(self, campaign: Campaign, number: int) -> TrainingSet | CompositionSet:
        """What the networks of a round learn from: all that was on the hull's books when the last one closed."""

    def nothing_to_learn(self, campaign: Campaign, number: int) -> str | None:
        """Why the networks of a round cannot be trained, with the remedy; None if they can."""
        return None

    @abstractmethod
    def network_config(self, settings: CampaignSettings) -> StructureNetworkConfig | CompositionNetworkConfig:
        """Shape of its networks."""

    @abstractmethod
    def training_config(self, campaign: Campaign, number: int, member: int, device: str) -> TrainingConfig:
        """How one of them is trained."""

    def members(self, settings: CampaignSettings) -> int:
        """Networks in an ensemble."""
        return self.ensemble(settings).members

    def model_id(self, campaign: str, number: int) -> str:
        """Key of a round's ensemble."""
        return model_id(campaign, number, self.network)

    def data_path(self, campaign: Campaign, number: int) -> Path:
        """Where the data of a round's networks are."""
        return campaign.places(number).directory / self.data_folder

    def member_directory(self, campaign: Campaign, number: int, member: int) -> Path:
        """Where a network of a round is."""
        return campaign.places(number).directory / self.models_folder / f"member-{member:02d}"


class Structural(Pipeline):
    """Crystals: substitution in known ones, judged by structure networks."""

    name = "structural"
    network = NetworkKind.STRUCTURE
    of_what = ""
    sent = "relaxations"
    models_folder = "models"
    data_folder = "training-set"

    def ensemble(self, settings: CampaignSettings) -> Network:
        """Settings of the structure networks."""
        return settings.network

    def load_data(self, path: Path) -> TrainingSet:
        """Crystals that have been written."""
        from gnome_torch.training.dataset import TrainingSet

        return TrainingSet.load(path)

    def build_data(self, campaign: Campaign, number: int) -> TrainingSet:
        """Entries as relaxed, and the crystals that their relaxations began from as the settings say.

        With a baseline: what it leaves to the networks.
        """
        from gnome_torch.training.dataset import TrainingSet

        closed = campaign.store.rounds.get(campaign.name, number - 1)["closed"]
        settings = campaign.settings
        data = campaign.store.learning.training_data(
            campaign.theory_id, settings.elements, closed, settings.network.starts
        )
        if settings.baseline is not None:
            over = fit_baseline(campaign, number, data)
            return TrainingSet.build(over.structures, over.left, over.names)
        keys, structures, energies = zip(*data, strict=True) if data else ((), (), ())
        return TrainingSet.build(structures, energies, keys)

    def network_config(self, settings: CampaignSettings) -> StructureNetworkConfig:
        """Shape of the structure networks."""
        from gnome_torch.models.structure import StructureNetworkConfig

        return StructureNetworkConfig(hidden=settings.network.hidden)

    def training_config(self, campaign: Campaign, number: int, member: int, device: str) -> TrainingConfig:
        """From scratch or, where the settings say so, from the weights of the round before."""
        from gnome_torch.training.config import TrainingConfig

        chosen = campaign.settings.network
        before = self.member_directory(campaign, number - 1, member)
        warm = chosen.warm_epochs if before.exists() else None
        return TrainingConfig(
            epochs=warm or chosen.epochs,
            begin_with=str(before) if warm else None,
            batch_size=chosen.batch_size,
            learning_rate=chosen.learning_rate,
            volume_jitter=chosen.volume_jitter,
            seed=campaign.settings.seed + member,
            precision=_precision(device),
            device=device,
        )


class Compositional(Pipeline):
    """Formulas from oxidation states, judged by composition networks, then searched for crystals."""

    name = "compositional"
    network = NetworkKind.COMPOSITION
    of_what = " compositions"
    sent = "searches"
    models_folder = "composition-models"
    data_folder = "composition-training-set"

    def ensemble(self, settings: CampaignSettings) -> CompositionNetworkSettings:
        """Settings of the composition networks."""
        return settings.composition_network

    def load_data(self, path: Path) -> CompositionSet:
        """Compositions that have been written."""
        from gnome_torch.training.dataset import CompositionSet

        return CompositionSet.load(path)

    def build_data(self, campaign: Campaign, number: int) -> CompositionSet:
        """The elements, what is known, and compositions with enough random crystals, with their lowest energy."""
        from gnome_torch.training.dataset import CompositionSet

        labels = self._labels(campaign, number)
        return CompositionSet.build([formula for formula, _ in labels], [energy for _, energy in labels])

    def nothing_to_learn(self, campaign: Campaign, number: int) -> str | None:
        """No compound at all, where what is known is no label."""
        search = campaign.settings.compositional.search
        if search.known_labels or not all(
            Composition(formula).is_element for formula, _ in self._labels(campaign, number)
        ):
            return None
        return (
            f"round {number}: no composition has compositional.search.min_runs = {search.min_runs} finished runs, and "
            "known_labels is false, so that the composition networks have nothing to learn from: start a campaign of "
            "another name with known_labels: true, what was computed is kept"
        )

    def _labels(self, campaign: Campaign, number: int) -> list[tuple[str, float]]:
        """Reduced formulas and formation energies, eV/atom."""
        closed = campaign.store.rounds.get(campaign.name, number - 1)["closed"]
        theory, settings, store = campaign.theory_id, campaign.settings, campaign.store
        search = settings.compositional.search
        return store.learning.composition_labels(
            theory,
            settings.elements,
            closed,
            search.min_runs,
            store.searches.pre_relaxed_runs(theory, closed),
            store.searches.unfinished(theory, closed),
            store.candidates.first_formulas(campaign.name) if search.known_labels else None,
        )

    def network_config(self, settings: CampaignSettings) -> CompositionNetworkConfig:
        """Shape of the composition networks."""
        from gnome_torch.models.composition import CompositionNetworkConfig

        chosen = settings.composition_network
        return CompositionNetworkConfig(hidden=chosen.hidden, edges=chosen.edges)

    def training_config(self, campaign: Campaign, number: int, member: int, device: str) -> TrainingConfig:
        """From scratch; there are no volumes to jitter."""
        from gnome_torch.training.config import TrainingConfig

        chosen = campaign.settings.composition_network
        return TrainingConfig(
            epochs=chosen.epochs,
            batch_size=chosen.batch_size,
            learning_rate=chosen.learning_rate,
            warm_up=chosen.warm_up,
            volume_jitter=0.0,
            seed=campaign.settings.seed + member,
            precision=_precision(device),
            device=device,
        )


def _precision(device: str) -> str:
    return "float32" if device == "cpu" else "bfloat16"


STRUCTURAL = Structural()
COMPOSITIONAL = Compositional()
PIPELINES: Sequence[Pipeline] = (STRUCTURAL, COMPOSITIONAL)
"""In the order in which they choose in a round: substitution knows what it chooses at once."""


def pipelines_of(settings: CampaignSettings, number: int) -> list[Pipeline]:
    """The pipelines that run in a round of a campaign; the first data, and rounds that confirm, are crystals alone."""
    if number == 0 or settings.rounds < number <= settings.last_round:
        return [STRUCTURAL]
    return [p for p in PIPELINES if p.name in settings.pipelines] if number <= settings.rounds else []


def pipeline_of(network: str | None) -> Pipeline:
    """The pipeline whose networks are of a kind, as Firetasks name it; None for structures."""
    kind = NetworkKind(network or NetworkKind.STRUCTURE)
    return next(pipeline for pipeline in PIPELINES if pipeline.network is kind)
