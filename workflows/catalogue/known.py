"""What is known of an entry: its own document, and what others say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from workflows.store.base import Document


@dataclass(frozen=True)
class Recheck:
    """What came of relaxing a phase again at another theory.

    Attributes:
        outcome: the other theory, once the phase is placed on its hull; before, in words, what keeps it from there;
            empty where it was not asked for.
        e_above_hull: distance to the hull of the other theory, eV/atom; None until it is placed there.
        missing: competing phases that are not on that hull.
    """

    outcome: str = ""
    e_above_hull: float | None = None
    missing: tuple[str, ...] = ()

    @property
    def theory(self) -> str | None:
        """The other theory; None until the phase is placed on its hull."""
        return None if self.e_above_hull is None else self.outcome


NOT_ASKED = Recheck()


@dataclass(frozen=True)
class Known:
    """An entry, and what is known of it from elsewhere.

    Attributes:
        document: of the entry, without its crystal.
        recheck: at another theory.
        first: document of the entry that was there first, among those that are the same crystal; None for itself.
        others: documents of the entries that it names, and of their ancestors, by key.
        campaign: whose phases are shown; None for those of all.
    """

    document: Document
    recheck: Recheck = NOT_ASKED
    first: Document | None = None
    others: Mapping[str, Document] = field(default_factory=dict)
    tried: int = 0
    wanted: int = 0
    campaign: str | None = None

    @property
    def is_new_composition(self) -> bool:
        """Whether nobody had its composition before (`Finds.settle_compositions`), nor another than this campaign."""
        own = self.campaign in (None, self.document["lineage"]["campaign"])
        return own and bool(self.document["novelty"].get("new_composition"))

    @property
    def round(self) -> int:
        """Round that came to the crystal first."""
        return int((self.first or self.document)["lineage"]["round"])

    @property
    def duplicate_of(self) -> str | None:
        """Key of an older entry that is the same crystal; an earlier find of the same campaign is no doubt about it."""
        key: str | None = self.document["novelty"].get("duplicate_of")
        older = (self.others.get(key) or {}).get("lineage", {}) if key else {}
        own = older.get("round", 0) > 0 and older.get("campaign") == self.document["lineage"]["campaign"]
        return None if own else key

    def formula_of(self, key: str) -> str:
        """Formula of another entry; its key where the entry is not known."""
        other = self.others.get(key)
        return other["formula"] if other else key

    def name_of(self, key: str | None) -> str | None:
        """A known crystal as people know it: its formula, and its name where it comes from."""
        other = self.others.get(key) if key else None
        if not other:
            return key
        name = (other["outside"] or {}).get("key") or other["lineage"]["parent_id"] or key
        return f"{other['formula']} ({name})"

    def ancestry(self) -> tuple[str, ...]:
        """Steps from the first known crystal (of an imported one also its source) to this one: each substitution."""
        steps: list[str] = []
        lineage = self.document["lineage"]
        while True:
            steps.append(lineage["substitution"] or "as it is")
            parent = lineage["parent_id"] or ("random search" if lineage["source"] == "random" else "")
            other = self.others.get(parent)
            if not other:
                return (parent, *reversed(steps))
            if other["outside"]:
                return (f"{self.name_of(parent)} of {other['outside']['source']}", *reversed(steps))
            lineage = other["lineage"]


def oldest(key: str, older: Mapping[str, str | None]) -> str:
    """Key of the entry that was there first among those that are the same crystal, as far as it can be followed.

    Args:
        key: of an entry.
        older: key -> key of an older entry that is the same crystal; None for none.
    """
    passed = set[str]()
    while (before := older.get(key)) and key not in passed:  # broken records may go round
        passed.add(key)
        key = before
    return key
