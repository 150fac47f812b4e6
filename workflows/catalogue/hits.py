"""What the trials of a round came to: new stable compounds, rediscoveries.

A trial is a finished relaxation of what the networks chose; the crystals of one random search are one trial, whose
result is the lowest of them. The first data are none.

On the hull when the round closed, it is a new stable compound if its composition is new (`novelty.new_composition`: not
imported, in the first data of no campaign that had begun, found by no other campaign earlier) and the campaign had not
had that crystal on the hull before. Everything else on the hull is rediscovered. The paper's hit rate counts both.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from gnome_torch.stability.hull import STABLE_TOLERANCE
from workflows.catalogue.known import oldest
from workflows.store import Store
from workflows.store.base import Document


@dataclass(frozen=True)
class Hits:
    """What the trials of a round came to.

    Attributes:
        trials: how many; of the first data 0.
        on_hull: results that were on the hull when the round closed; for the first data too.
        stable: of them new stable compounds; None where an earlier version closed the round, which did not tell.
    """

    trials: int
    on_hull: int
    stable: int | None

    @property
    def rediscovered(self) -> int | None:
        """Those on the hull that were known."""
        return None if self.stable is None else self.on_hull - self.stable

    @property
    def hit_rate(self) -> float | None:
        """New stable compounds / trials."""
        return self.stable / self.trials if self.trials and self.stable is not None else None

    @property
    def hull_rate(self) -> float | None:
        """On the hull / trials: the hit rate of the paper, which does not ask what was known."""
        return self.on_hull / self.trials if self.trials else None

    def __add__(self, other: Hits) -> Hits:
        stable = None if self.stable is None or other.stable is None else self.stable + other.stable
        return Hits(self.trials + other.trials, self.on_hull + other.on_hull, stable)

    @classmethod
    def read(cls, result: Mapping[str, Any]) -> Hits:
        """From what is stored of a round, or of its searches."""
        if "rediscovered" in result:
            return cls(result["trials"], result["stable"] + result["rediscovered"], result["stable"])
        on_hull, rate = result["stable"], result.get("hit_rate")  # of earlier versions: all that was on the hull
        return cls(round(on_hull / rate) if rate else result.get("relaxed", 0), on_hull, None)

    def stored(self) -> dict[str, Any]:
        """What is stored of them."""
        names = ("trials", "stable", "rediscovered", "hit_rate")
        return {name: getattr(self, name) for name in names}


def new_stable(store: Store, campaign: str, number: int, on_hull: Collection[str]) -> set[str]:
    """Those of a round's entries that are new stable compounds, of several that are the same crystal one.

    Args:
        store: the database; the novelty of the entries has been judged.
        campaign: name.
        number: of the round.
        on_hull: keys of the entries that the round has on the hull.
    """
    formulas = {document["formula"] for document in store.entries.documents_of(on_hull, ("formula",)).values()}
    documents = {document["_id"]: document for document in store.finds.of_compositions(formulas)}
    older = {key: document["novelty"].get("duplicate_of") for key, document in documents.items()}
    before = {
        oldest(key, older)
        for key, document in documents.items()
        if is_find_of(campaign, document) and document["lineage"]["round"] < number and _was_on_hull(document)
    }
    new: dict[str, str] = {}
    for key in sorted(on_hull & documents.keys()):
        first = oldest(key, older)
        found = all(is_find_of(campaign, documents.get(one)) for one in (key, first))
        if found and documents[key]["novelty"].get("new_composition") and first not in before:
            new.setdefault(first, key)
    return set(new.values())


def is_find_of(campaign: str, document: Document | None) -> bool:
    """Whether a campaign proposed an entry itself, and was the first to compute it."""
    if not document or document.get("outside"):
        return False
    return bool(document["lineage"]["campaign"] == campaign and document["lineage"]["round"] > 0)


def _was_on_hull(document: Document) -> bool:
    stability = document.get("stability") or {}
    return bool(document.get("displaced")) or stability.get("e_above_hull", 1.0) <= STABLE_TOLERANCE
