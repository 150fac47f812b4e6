"""What the Firetasks of a campaign have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from fireworks import FiretaskBase, FWAction

from workflows.campaign.campaign import Campaign
from workflows.ground.continuation import Stopped, StopRequested, go_on, stop_signal
from workflows.store import Store

Spec = dict[str, Any]
"""What FireWorks hands a task: the spec of its Firework."""


class CampaignTask(FiretaskBase):
    """A Firetask of a campaign.

    Required parameters:
        campaign: name.
        round: number.
    """

    required_params: ClassVar[tuple[str, ...]] = ("campaign", "round")

    @property
    def campaign(self) -> Campaign:
        """The campaign that it works for."""
        return Campaign(Store(self.launchpad.db), self.launchpad, self["campaign"])

    @property
    def number(self) -> int:
        """Of the round."""
        return int(self["round"])

    def until_stopped(self, fw_spec: Spec, name: str, work: Callable[[Stopped], Mapping[str, Any]]) -> FWAction:
        """Do work that takes long; if a signal asks to stop, it goes on in another Firework.

        Args:
            fw_spec: of this Firework.
            name: of the other.
            work: raises `StopRequested` when what it is given says so; else what it returns is stored.
        """
        with stop_signal() as stopped:
            try:
                return FWAction(stored_data=dict(work(stopped)))
            except StopRequested as stop:
                return go_on(self, fw_spec, name, str(stop))
