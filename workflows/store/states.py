"""What states campaigns, candidates, searches and imports are in, as the database has them."""

from __future__ import annotations

from enum import StrEnum


class CampaignState(StrEnum):
    """Of a campaign; from finished, failed and stopped there is no way back."""

    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen in it."""
        return self not in (CampaignState.RUNNING, CampaignState.PAUSED)


class CandidateState(StrEnum):
    """Of a candidate: selected, then relaxed or failed."""

    SELECTED = "selected"
    RELAXED = "relaxed"
    FAILED = "failed"


class SearchState(StrEnum):
    """Of a random structure search: selected, then searched (its crystals are candidates) or failed."""

    SELECTED = "selected"
    SEARCHED = "searched"
    FAILED = "failed"


class ImportState(StrEnum):
    """Of an import of outside data."""

    RUNNING = "running"
    DONE = "done"


ENDED = (CandidateState.RELAXED, CandidateState.FAILED)
"""States of a candidate whose relaxation has ended."""
