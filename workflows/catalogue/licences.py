"""Under which licences the data are that a hull holds, that networks learnt from, and that are passed on with them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from gnome_torch.data.origins import NOT_STATED, Origin, forbids_commerce
from workflows.store import Store

NO_COMMERCE = "not for commercial use"


@dataclass(frozen=True)
class Imported:
    """Entries of one source and one licence.

    Attributes:
        source: name of the source.
        licence: its name.
        count: entries within the elements.
        origin: who has published the source, and what to cite.
    """

    source: str
    licence: str
    count: int
    origin: Origin

    @property
    def forbids_commerce(self) -> bool:
        """Whether it may be used for non-commercial ends alone."""
        return forbids_commerce(self.licence)

    @property
    def cited(self) -> str:
        """What to cite: a paper, or else an address."""
        return self.origin.citation or self.origin.url

    def __str__(self) -> str:
        return f"{self.origin.title} ({self.source}): {self.licence}"


def imported(store: Store, theory: str, elements: Collection[str]) -> list[Imported]:
    """What has been imported under a theory within some elements: hulls and networks rest on it.

    Args:
        store: the database.
        theory: key.
        elements: of a campaign.
    """
    rows = store.entries.imported(theory, elements)
    origins = {source: store.imports.origin_of(source) for source in sorted({row["source"] for row in rows})}
    return [Imported(row["source"], row["licence"], row["count"], origins[row["source"]]) for row in rows]


def warning(rows: Sequence[Imported]) -> str:
    """A line for whoever passes such data on; "" where there is nothing to heed."""
    theirs = [str(row) for row in rows if row.forbids_commerce]
    if theirs:
        return f"this rests on data that are {NO_COMMERCE}: {'; '.join(theirs)}"
    unknown = [str(row) for row in rows if row.licence == NOT_STATED]
    return f"this rests on data whose licence is {NOT_STATED}: {'; '.join(unknown)}" if unknown else ""
