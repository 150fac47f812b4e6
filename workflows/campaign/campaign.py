"""A campaign of the database, as every stage of it takes it: where it is, what it was told, at which theories."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from fireworks import LaunchPad

from workflows.campaign.places import RoundPlaces
from workflows.campaign.settings import CampaignSettings, parse_settings
from workflows.relax import Theory, theory
from workflows.store import Store, StoreError
from workflows.store.base import Document
from workflows.store.states import CampaignState


@dataclass(frozen=True, eq=False)
class Campaign:
    """A campaign; what never changes in it is read and validated once, when it is first asked for.

    Attributes:
        store: the database.
        launchpad: the same database, as FireWorks has it.
        name: of the campaign.
    """

    store: Store
    launchpad: LaunchPad
    name: str

    @cached_property
    def settings(self) -> CampaignSettings:
        """Its settings, with the directory that was chosen for it when it began.

        Raises:
            StoreError: there is no such campaign.
            SettingsError: this installation cannot read them.
        """
        document = self.store.campaigns.get(self.name)
        return parse_settings({**document["settings"], "directory": document["directory"]}, f"campaign '{self.name}'")

    @cached_property
    def theory_id(self) -> str:
        """Key of the theory that it began with; nothing needs to be installed for it."""
        return str(self.store.campaigns.get(self.name)["theory"])

    @cached_property
    def theory(self) -> Theory:
        """Its theory.

        Raises:
            StoreError: what is installed now is not what the campaign began with.
        """
        return self._as_begun(theory(self.settings.theory), self.theory_id)

    @cached_property
    def rough_theory(self) -> Theory | None:
        """The cheap theory that its candidates go through first, if it has one."""
        return theory(self.settings.prerelax) if self.settings.prerelax is not None else None

    @cached_property
    def baseline_theory(self) -> Theory:
        """The potential that candidates are judged by before the networks; only asked for where there is one."""
        if self.settings.baseline is None:
            raise ValueError(f"campaign '{self.name}' has no baseline")
        return theory(self.settings.baseline)

    @cached_property
    def search_theory(self) -> Theory | None:
        """The cheap theory that the crystals of its random searches go through, if it has one."""
        prerelax = self.settings.compositional.search.prerelax
        return theory(prerelax) if prerelax is not None else None

    @cached_property
    def recheck_theory(self) -> Theory | None:
        """The theory at which its stable phases are relaxed again, if it has one."""
        recheck = self.settings.recheck
        return theory(recheck.theory) if recheck is not None else None

    @property
    def state(self) -> CampaignState:
        """How it stands now; asked of the database each time, since anybody may change it."""
        return CampaignState(self.store.campaigns.get(self.name)["state"])

    def places(self, number: int) -> RoundPlaces:
        """Where the files of a round are."""
        return RoundPlaces(self.settings.root, number)

    def theory_of(self, candidate: Document) -> Theory:
        """Theory that a candidate is relaxed at: the campaign's or, for a recheck, the other one.

        Raises:
            StoreError: as `theory`.
        """
        if not candidate.get("recheck_of") or self.recheck_theory is None:
            return self.theory
        return self._as_begun(self.recheck_theory, candidate["theory"])

    def _as_begun(self, installed: Theory, begun_with: str) -> Theory:
        if installed.id != begun_with:
            raise StoreError(
                f"campaign '{self.name}' was begun with theory {begun_with}, this installation has {installed.id}: "
                "their energies must not meet; install the versions of constraints.txt that the campaign began with"
            )
        return installed
