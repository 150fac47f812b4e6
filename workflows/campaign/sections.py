"""Sections of a campaign file: what each stage is told. The paper's values stand beside ours in docs/method.md."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator
from pymatgen.core import Element

from gnome_torch.candidates.random_search.options import SearchOptions
from workflows.ground.strict import Strict
from workflows.relax.registry import TheorySettings


def absolute_path(value: str) -> str:
    """A path that means the same in every worker's directory."""
    path = Path(value).expanduser()
    if not path.is_absolute():
        raise ValueError(
            f"{value!r} is a relative path, and every Firework runs in a directory of its own: write it in full"
        )
    return str(path)


class Seeds(Strict):
    """The campaign's first data."""

    source: str = Field("prototypes", description="'prototypes', or the path of a file of structures")
    max_sites: int = Field(16, ge=1, description="atoms in the cell at most")
    limit: int = Field(150, ge=0, description="decorated prototypes at most; elemental crystals come on top")
    max_elements: int = Field(5, ge=2, description="2: only binary compounds are known, the rest is to be found")
    polymorphs: int = Field(3, ge=1, description="decorated prototypes of one composition at most")
    references: int = Field(4, ge=1, description="crystals of each element; the lowest becomes its reference")

    @field_validator("source")
    @classmethod
    def _absolute(cls, value: str) -> str:
        return value if value == "prototypes" else absolute_path(value)


class Shares(Strict):
    """Of `structural.limit`, what belongs to the candidates of each origin where there are more; in any unit."""

    library: float = Field(3.0, ge=0, description="prototypes with the campaign's elements on all their sites")
    entries: float = Field(1.0, ge=0, description="the same of computed and imported crystals")
    saps: float = Field(1.0, ge=0, description="either with some of an ion's sites replaced")
    others: float = Field(1.0, ge=0, description="what a pool or a source holds beside these")

    @model_validator(mode="after")
    def _some(self) -> Shares:
        if not any((self.library, self.entries, self.saps, self.others)):
            raise ValueError("all are 0: give one of them a share")
        return self


class Structural(Strict):
    """Candidates by full and symmetry-aware partial substitution, or from a pool."""

    pool: str | None = Field(
        None,
        description="directory that `gnome generate structural` wrote: its candidates in every round, instead of new "
        "substitutions; empty: none",
    )
    source: str | None = Field(
        None,
        description="candidate source of another package, called in every round instead of substitution; empty: none",
    )
    threshold: float = Field(0.001, gt=0, lt=1, description="smallest substitution probability")
    assignments: int = Field(
        2000,
        ge=0,
        description="put the elements on the ions of library prototypes in every way, however improbable, up to this "
        "many ways, the most probable ones; 0: the threshold holds there, too",
    )
    saps: bool = Field(True, description="also replace an ion on some of its sites only")
    split_sites: int = Field(12, ge=0, le=20, description="an ion on more sites than this changes by whole orbits only")
    choices: int = Field(64, ge=0, description="choices of sites per ion at most, the most symmetric ones first")
    max_sites: int = Field(20, ge=2, le=200, description="atoms in the cell at most")
    max_elements: int = Field(5, ge=1, description="different elements at most")
    charge_balance: bool = Field(False, description="refuse what common oxidation states cannot balance")
    min_contact: float = Field(0.75, ge=0, description="shortest distance over the sum of covalent radii at least")
    parents_within: float = Field(0.1, ge=0, description="entries this near the hull are parents too, eV/atom")
    foreign_parents: int = Field(
        200,
        ge=0,
        description="crystals with other elements, or of other theories, that are parents as well: this many at most, "
        "of those that the threshold lets fit; nearest their own hull first, and one of each prototype before a second",
    )
    polymorphs: bool = Field(
        True,
        description="also propose other crystals of compositions that were computed here; false: a composition with an "
        "entry is known, as in GNoME. Those of imported entries are known in any case",
    )
    limit: int = Field(100_000, ge=1, description="candidates screened per round at most")
    order: Literal["probable", "random"] = Field("probable", description="which ones: the most probable, or a sample")
    shares: Shares = Shares()

    @model_validator(mode="after")
    def _one_origin(self) -> Structural:
        if self.pool is not None and self.source is not None:
            raise ValueError("pool and source: candidates come from one of them, leave the other out")
        return self

    @field_validator("pool")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        return None if value is None else absolute_path(value)


class Search(Strict):
    """Random crystals of a composition, and which of them are relaxed."""

    structures: int = Field(100, ge=1, le=10_000, description="random crystals of each composition")
    generator: Literal["auto", "airss", "pyxtal"] = Field("auto", description="auto: AIRSS where it is installed")
    time_limit: float = Field(10.0, gt=0, description="of one cell by AIRSS's buildcell, seconds")
    formula_units: tuple[int, int] = Field((1, 4), description="in the primitive cell, from and to")
    max_sites: int = Field(20, ge=2, le=200, description="atoms in the primitive cell at most")
    volumes: tuple[float, float] = Field((0.4, 1.2), description="in units of the estimate from atomic radii")
    operations: tuple[int, int] = Field((2, 48), description="symmetry operations, from and to; 1: no symmetry")
    separations: dict[str, float] = Field({}, description="smallest distances, angstrom, such as {O-O: 1.3}")
    slack: float = Field(0.25, ge=0, lt=1, description="AIRSS: how far it may give way to separations")
    overlap: float = Field(0.1, ge=0, lt=1, description="AIRSS: remaining overlap that it accepts")
    compact: bool = Field(True, description="AIRSS: reduce the cell to a compact one")
    prerelax: TheorySettings | None = Field(
        None, description="a cheap theory for all crystals; the lowest go on to the campaign's. Empty: all go on"
    )
    relax_lowest: int = Field(10, ge=1, description="different crystals that go on after a pre-relaxation")
    min_runs: int = Field(10, ge=1, description="finished runs that make a composition a label for the networks")
    known_labels: bool = Field(
        True,
        description="what was imported, or is the campaign's first data, is a label too; false: searched compositions "
        "alone, which an earlier campaign must have left in the database",
    )

    @model_validator(mode="after")
    def _possible(self) -> Search:
        self.options(0)
        if self.structures < self.min_runs:
            raise ValueError(
                f"structures = {self.structures}: fewer than min_runs = {self.min_runs}, so that no composition could "
                "ever teach the networks"
            )
        return self

    def options(self, seed: int) -> SearchOptions:
        """What `gnome_torch` is asked for."""
        return SearchOptions(
            count=self.structures,
            formula_units=self.formula_units,
            max_sites=self.max_sites,
            volumes=self.volumes,
            operations=self.operations,
            separations=self.separations,
            seed=seed,
            slack=self.slack,
            overlap=self.overlap,
            compact=self.compact,
        )

    @property
    def relaxations(self) -> int:
        """Relaxations of one composition, at most."""
        return min(self.relax_lowest, self.structures) if self.prerelax else self.structures


class Compositional(Strict):
    """Formulas from oxidation states, judged by composition networks, then searched for crystals."""

    max_amount: int = Field(8, ge=1, description="largest stoichiometric number")
    max_atoms: int = Field(20, ge=2, description="atoms in the reduced formula at most")
    min_elements: int = Field(2, ge=2, description="different elements at least")
    max_elements: int = Field(3, ge=2, description="different elements at most")
    between: int = Field(2, ge=0, le=2, description="elements that may sit between two oxidation states; 0: strict")
    threshold: float = Field(0.05, description="predicted distance to the hull at most, eV/atom")
    max_compositions: int = Field(100, ge=1, description="compositions searched per round at most")
    search: Search = Search()

    @model_validator(mode="after")
    def _fits(self) -> Compositional:
        if self.min_elements > self.max_elements:
            raise ValueError(f"min_elements = {self.min_elements}: more than max_elements = {self.max_elements}")
        if self.max_atoms * self.search.formula_units[0] > self.search.max_sites:
            raise ValueError(
                f"max_atoms = {self.max_atoms}: {self.search.formula_units[0]} formula units of so many do not fit "
                f"into search.max_sites = {self.search.max_sites}: allow fewer atoms, or larger cells"
            )
        return self


class CompositionNetworkSettings(Strict):
    """The ensemble of composition networks."""

    members: int = Field(10, ge=1, le=100, description="networks in the ensemble, each from a seed of its own")
    hidden: tuple[int, ...] = Field((256, 256), min_length=2, description="widths of the layers of every MLP")
    edges: bool = Field(False, description="join every pair of elements, as the paper; four times slower")
    epochs: int = Field(60, ge=1, description="passes over the data")
    batch_size: int = Field(512, ge=1, description="compositions in a step")
    learning_rate: float = Field(3e-3, gt=0, description="of Adam at its highest; it falls linearly to 0")
    warm_up: float = Field(0.05, ge=0, le=0.9, description="share of the steps over which the rate first rises")


class Network(Strict):
    """The ensemble of structure networks."""

    members: int = Field(10, ge=1, le=100, description="networks in the ensemble, each from a seed of its own")
    hidden: tuple[int, ...] = Field((256, 256), min_length=2, description="widths of the layers of every MLP")
    epochs: int = Field(1000, ge=1, description="passes over the data")
    batch_size: int = Field(256, ge=1, description="crystals in a step")
    learning_rate: float = Field(5.55e-4, gt=0, description="of Adam at the first step; it falls linearly to 0")
    volume_jitter: float = Field(
        0.0, ge=0, lt=1, description="also show crystals at volumes this far off, with their own energy"
    )
    starts: Literal["relaxed", "own", "none"] = Field(
        "relaxed",
        description="crystals as they were before their relaxation are learnt from too, with the energy that they "
        "relax to (relaxed), or with that which they had (own); none: they are left out, as in GNoME",
    )
    warm_epochs: int | None = Field(
        None,
        ge=1,
        description="from the second round on members go on from their weights of the round before, for this many "
        "epochs; empty: from scratch",
    )


class FirstLook(Strict):
    """A cheap prediction before the full one, which only the promising candidates get."""

    members: int = Field(1, ge=1, description="members of the ensemble asked first")
    volumes: int = Field(1, ge=1, description="volumes tried first; 1: the reference alone, as `screening.volumes`")
    margin: float = Field(0.1, ge=0, description="this far beyond the threshold still counts as promising, eV/atom")
    audit: float = Field(0.02, ge=0, le=1, description="share of the others predicted in full: measures the recall")


class RankingSettings(Strict):
    """By what candidates are judged: their predicted distance to the hull, and how the ensemble's spread enters."""

    rule: Literal["predicted", "bound", "thompson", "random"] = Field(
        "predicted",
        description="predicted: the median, as in GNoME; bound: the median less `weight` standard deviations; "
        "thompson: a draw from the spread; random: by chance among those that the threshold lets pass, a control",
    )
    weight: float = Field(1.0, ge=0, description="of the standard deviation in bound and thompson")


class Screening(Strict):
    """The filter between networks and relaxation."""

    threshold: float = Field(0.05, description="predicted distance to the hull at most, eV/atom")
    ranking: RankingSettings = RankingSettings()
    per_system: int | None = Field(
        None, ge=1, description="relaxations of one chemical system per round at most; empty: no such limit"
    )
    volumes: int = Field(
        1,
        ge=1,
        description="volumes tried, from 80 % to 120 % of the reference; the lowest prediction counts. 1: the "
        "reference alone, for networks that know starts (network.starts); GNoME's 20 are for those that do not",
    )
    cascade: FirstLook | None = Field(None, description="a cheap first look at every candidate; empty: none")
    max_relaxations: int = Field(1000, ge=1, description="relaxations per round at most")
    approached: int = Field(
        300, ge=1, description="with a baseline: candidates that take its first steps of relaxation, per round at most"
    )
    approached_per_composition: int = Field(3, ge=1, description="of them, crystals of one composition at most")
    per_composition: int = Field(1, ge=1, description="crystals of one composition relaxed per round at most")
    confirm: int = Field(
        0,
        ge=0,
        description="crystals of a composition that must have been relaxed before what is on the hull counts as "
        "confirmed; they go first, and after the last round there are up to two more for them. 0: as in GNoME",
    )


class Recheck(Strict):
    """Stable phases and what they stand against, relaxed again at another theory and placed on its own hull."""

    theory: TheorySettings = Field(description="of the recheck; another than the campaign's")
    distance: float = Field(0.0, ge=0, description="also phases found this near the hull, eV/atom")


class Relaxations(Strict):
    """How relaxations are handed to the workers."""

    per_firework: int = Field(
        1, ge=1, le=1000, description="crystals that share a Firework, for cheap theories: one after another"
    )


class Retrain(Strict):
    """When the next round starts."""

    fraction: float = Field(1.0, gt=0, le=1, description="share of a round's relaxations that must have ended")
    after_h: float | None = Field(
        None,
        gt=0,
        description="start it also this long after the round's relaxations were sent, hours, if one has ended",
    )


class Policy(Strict):
    """Elements that are refused."""

    radioactive: bool = Field(False, description="allow elements without a stable isotope")
    noble_gases: bool = Field(False, description="allow He, Ne, Ar, Kr, Xe, Rn")
    exclude: tuple[str, ...] = Field((), description="further elements that are refused")
    systems: tuple[str, ...] = Field((), description="chemical systems to stay within, such as Li-Fe-O; empty: all")

    @field_validator("systems")
    @classmethod
    def _known_systems(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for system in value:
            unknown = [symbol for symbol in system.split("-") if not Element.is_valid_symbol(symbol)]
            if unknown:
                raise ValueError(f"{system!r}: {unknown[0]!r} is not an element; write systems such as Li-Fe-O")
        return value
