"""Settings of a campaign: one YAML file, validated before anything is written. Unknown keys are refused."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, field_validator, model_validator
from pymatgen.core import Element

from gnome_torch.candidates.chemistry.policy import NOBLE_GASES, RADIOACTIVE, ElementPolicy
from gnome_torch.candidates.formulas.compositions import CompositionLimits
from gnome_torch.candidates.random_search.options import pair_of
from gnome_torch.candidates.structural.partial import PartialLimits
from gnome_torch.candidates.structural.proposals import StructuralOptions, known_compositions
from gnome_torch.candidates.structural.substitution import SubstitutionRules
from workflows.campaign.sections import (
    Compositional,
    CompositionNetworkSettings,
    Network,
    Policy,
    Recheck,
    Relaxations,
    Retrain,
    Screening,
    Seeds,
    Structural,
    absolute_path,
)
from workflows.ground.home import data_home
from workflows.ground.plain_yaml import YamlError, plain_yaml
from workflows.ground.strict import SettingsError, Strict, validated
from workflows.relax.potentials import ForcefieldTheory
from workflows.relax.registry import TheorySettings

WORDS = {
    "tuple_type": "write a list, such as [Cu, Au]",
    "string_pattern_mismatch": "letters, digits, '.', '_' and '-' only, at most 64, beginning with a letter or digit",
}
"""Of problems, where pydantic's do not say what to write."""
CONFIRMING_ROUNDS = 2
"""After the last round, at most: what one brings to the hull is new, and to be confirmed by another."""
START_TASK = "{{workflows.firetasks.start.StartCampaign}}"


class CampaignSettings(Strict):
    """Everything a campaign is, apart from the database it lives in and the machines it runs on."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$",
        description="of the campaign: letters, digits, '.', '_', '-'; unique in a database",
    )
    elements: tuple[str, ...] = Field(min_length=1, description="that its crystals are made of, two at least")
    theory: TheorySettings = Field(
        ForcefieldTheory(), description="that crystals are relaxed at; its `name` says which"
    )
    prerelax: TheorySettings | None = Field(
        None, description="a cheap theory that crystals go through before the theory; empty: none"
    )
    baseline: TheorySettings | None = Field(
        None,
        description="a universal potential that candidates are judged by, and whose difference to the theory the "
        "networks learn; none: the networks judge alone, as in GNoME",
    )
    recheck: Recheck | None = Field(None, description="relax stable phases again at another theory; empty: do not")
    relaxations: Relaxations = Relaxations()
    seeds: Seeds = Seeds()
    pipelines: tuple[Literal["structural", "compositional"], ...] = Field(
        ("structural",), min_length=1, description="where candidates come from; both may run in every round"
    )
    structural: Structural = Structural()
    compositional: Compositional = Compositional()
    policy: Policy = Policy()
    network: Network = Network()
    composition_network: CompositionNetworkSettings = CompositionNetworkSettings()
    screening: Screening = Screening()
    rounds: int = Field(6, ge=1, description="of proposing and relaxing, after the first data")
    retrain: Retrain = Retrain()
    directory: str | None = Field(None, description="shards and models; on a cluster a shared file system")
    seed: int = Field(0, ge=0, description="of the networks' initial weights and batches, and of samples")

    @field_validator("elements")
    @classmethod
    def _known_elements(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for symbol in value:
            if not Element.is_valid_symbol(symbol):
                raise ValueError(f"{symbol!r} is not an element; write symbols such as Li or O")
        if len(set(value)) != len(value):
            raise ValueError("an element is named twice")
        return value

    @field_validator("baseline", mode="before")
    @classmethod
    def _none_is_a_word(cls, value: Any) -> Any:
        return None if value == "none" else value

    @field_validator("directory")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        return None if value is None else absolute_path(value)

    @model_validator(mode="after")
    def _consistent(self) -> CampaignSettings:
        self._check_elements_are_allowed()
        self._check_theories_have_elements()
        self._check_cheap_theories()
        self._check_baseline()
        self._check_separations()
        self._check_shared_fireworks()
        if len(set(self.pipelines)) != len(self.pipelines):
            raise ValueError("pipelines: one is named twice")
        if len(self.elements) < 2:
            raise ValueError("elements: a campaign needs at least two to find a compound")
        if self.structural.max_elements < 2:
            raise ValueError("structural.max_elements: a compound has at least two elements")
        return self

    def _check_elements_are_allowed(self) -> None:
        refused = sorted(set(self.elements) & self._excluded())
        if refused:
            raise ValueError(
                f"elements {', '.join(refused)} are refused by the policy: "
                "drop them, or allow them under 'policy' (radioactive, noble_gases, exclude)"
            )

    def _check_theories_have_elements(self) -> None:
        if missing := sorted(set(self.elements) - self.theory.supported):
            raise ValueError(
                f"theory {self.theory.name!r} has no {', '.join(missing)}: choose another theory or other elements"
            )
        further = self._cheap_theories() | ({"recheck.theory": self.recheck.theory} if self.recheck else {})
        for key, theory in further.items():
            if missing := sorted(set(self.elements) - theory.supported):
                raise ValueError(f"{key}: theory {theory.name!r} has no {', '.join(missing)}: choose another")

    def _check_cheap_theories(self) -> None:
        for key, theory in self._cheap_theories().items():
            if theory.name.startswith("vasp") or (key == "baseline" and not theory.single_points):
                raise ValueError(f"{key}: theory {theory.name!r} is not cheap: name a potential")
            if theory.keep_steps:
                raise ValueError(f"{key}.keep_steps: steps are kept of the campaign's own theory alone: leave it out")

    def _cheap_theories(self) -> dict[str, TheorySettings]:
        """The theories that crystals go through before the campaign's own, by their keys."""
        theories = {
            "prerelax": self.prerelax,
            "compositional.search.prerelax": self.compositional.search.prerelax,
            "baseline": self.baseline,
        }
        return {key: theory for key, theory in theories.items() if theory is not None}

    def _check_baseline(self) -> None:
        if self.baseline is None:
            return
        if self.screening.cascade is not None:
            raise ValueError("screening.cascade: the baseline is the first look: leave one of them out")
        if self.screening.volumes > 1:
            raise ValueError("screening.volumes: the baseline finds the volume: leave it at 1")
        if self.network.starts == "own":
            raise ValueError("network.starts: the baseline takes starts towards their end: relaxed or none, not own")

    def _check_separations(self) -> None:
        for pair in self.compositional.search.separations:
            if not set(pair_of(pair)) <= set(self.elements):
                raise ValueError(f"compositional.search.separations: {pair}: not two of the campaign's elements")

    def _check_shared_fireworks(self) -> None:
        if self.relaxations.per_firework == 1:
            return
        if not self.theory.at_once:
            raise ValueError(
                f"relaxations.per_firework = {self.relaxations.per_firework}: theory {self.theory.name!r} has "
                "Fireworks of its own for each crystal: leave it at 1"
            )
        if self.prerelax is not None and not self.prerelax.at_once:
            raise ValueError(f"prerelax: theory {self.prerelax.name!r} needs relaxations.per_firework = 1")

    def _excluded(self) -> frozenset[str]:
        excluded = frozenset(self.policy.exclude)
        excluded |= frozenset() if self.policy.radioactive else RADIOACTIVE
        return excluded | (frozenset() if self.policy.noble_gases else NOBLE_GASES)

    @property
    def last_round(self) -> int:
        """The last round that there can be: of those that confirm what is on the hull, or of the others."""
        return self.rounds + (CONFIRMING_ROUNDS if self.screening.confirm else 0)

    @property
    def root(self) -> Path:
        """Directory of the campaign's shards and models; by default in this user's data directory."""
        return Path(self.directory) if self.directory else data_home() / "campaigns" / self.name

    def candidate_policy(self) -> ElementPolicy:
        """Rules for what the campaign proposes."""
        return ElementPolicy(
            elements=frozenset(self.elements),
            excluded=self._excluded(),
            systems=tuple(frozenset(system.split("-")) for system in self.policy.systems),
            max_sites=self.structural.max_sites,
            max_elements=self.structural.max_elements,
            charge_balance=self.structural.charge_balance,
            min_contact=self.structural.min_contact,
        )

    def structural_options(self, known: Collection[str]) -> StructuralOptions:
        """What the structural pipeline may propose, given the reduced formulas of what is known."""
        structural = self.structural
        return StructuralOptions(
            policy=self.candidate_policy(),
            rules=SubstitutionRules(structural.threshold),
            saps=structural.saps,
            partial=PartialLimits(structural.split_sites, structural.choices),
            assignments=structural.assignments,
            known=known_compositions(known),
        )

    def composition_policy(self) -> ElementPolicy:
        """Rules for the compositions that are proposed."""
        limits = self.compositional
        return replace(self.candidate_policy(), max_sites=limits.max_atoms, max_elements=limits.max_elements)

    def composition_limits(self) -> CompositionLimits:
        """Limits of the compositions that are proposed."""
        limits = self.compositional
        return CompositionLimits(limits.max_amount, limits.max_atoms, limits.min_elements, limits.between)

    def seed_policy(self) -> ElementPolicy:
        """Rules for the campaign's first data."""
        return replace(self.candidate_policy(), max_sites=self.seeds.max_sites, max_elements=self.seeds.max_elements)


def parse_settings(data: Any, where: str) -> CampaignSettings:
    """Settings from plain data.

    Raises:
        SettingsError: one line per problem, each with `where`, the key, the value and what is wrong.
    """
    if not isinstance(data, dict):
        raise SettingsError(f"{where}: no campaign settings in it (a mapping with name, elements, theory, …)")
    return validated(CampaignSettings, data, where, WORDS)


def read_campaign_file(path: Path) -> CampaignSettings:
    """Settings of a campaign file: a FireWorks workflow whose spec holds them under `campaign`.

    The same file goes to `lpad add`. See workflows/examples/quickstart.yaml.

    Raises:
        SettingsError: the file is missing, is not YAML, or its settings cannot be used.
    """
    try:
        document = plain_yaml(path)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError, YamlError) as error:
        raise SettingsError(f"{path}: not a YAML file: {' '.join(str(error).split())}") from None
    spec = document.get("spec") if isinstance(document, dict) else None
    if not isinstance(spec, dict) or "campaign" not in spec:
        raise SettingsError(f"{path}: no 'spec: campaign:' in it; start from workflows/examples/quickstart.yaml")
    return parse_settings(_beside(path, spec["campaign"]), str(path))


def _beside(path: Path, data: Any) -> Any:
    """Campaign data whose relative paths are taken from the file's own directory."""
    if not isinstance(data, dict):
        return data
    here = path.expanduser().absolute().parent
    data = dict(data)
    structural = data.get("structural")
    if isinstance(structural, dict) and isinstance(structural.get("pool"), str):
        data["structural"] = {**structural, "pool": str(here / Path(structural["pool"]).expanduser())}
    if isinstance(data.get("directory"), str):
        data["directory"] = str(here / Path(data["directory"]).expanduser())
    seeds = data.get("seeds")
    if isinstance(seeds, dict) and isinstance(seeds.get("source"), str) and seeds["source"] != "prototypes":
        data["seeds"] = {**seeds, "source": str(here / Path(seeds["source"]).expanduser())}
    return data
