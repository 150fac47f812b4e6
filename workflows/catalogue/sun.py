"""Stable, unique and novel: how often a campaign's relaxations give a crystal that is all three.

S.U.N. was introduced with MatterGen (Zeni et al., Nature 639, 624, 2025), which calls stable what lies within 0.1
eV/atom of the hull: its rate is the metastable one here. LeMat-GenBench (arXiv:2512.04562) gives both, as SUN (on
the hull) and MetaSUN (within 0.1 eV/atom). Here:

    stable      on the hull as it stands now; metastable: at most 0.1 eV/atom above it
    unique      finds that are the same crystal count once
    novel       no known crystal is the same one. It is the crystal that counts: a new polymorph of a known composition
                is novel. Known: imported, in the first data of a campaign that had begun, found earlier by another one
    tried       relaxations of closed rounds that have ended, failed ones too; the first data are none
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from gnome_torch.similarity import criterion
from gnome_torch.stability.hull import STABLE_TOLERANCE
from workflows.catalogue.hits import is_find_of
from workflows.catalogue.known import oldest
from workflows.store import ENDED, Store
from workflows.store.base import Document

METASTABLE = 0.1
"""Largest distance to the hull of what is called metastable, eV/atom."""


@dataclass(frozen=True)
class Reference:
    """Known crystals that novelty was judged beside.

    Attributes:
        sources: entries that each import has brought into the database.
        imported: of these, crystals of the compositions that the campaign has near the hull.
        first_data: of those compositions, of all campaigns.
        others: of those compositions, found by other campaigns; only the earlier ones count for a find.
    """

    sources: Mapping[str, int]
    imported: int
    first_data: int
    others: int

    def __str__(self) -> str:
        """Counts, in words."""
        sources = ", ".join(f"{source} {count:,}" for source, count in self.sources.items()) or "nothing"
        return (
            f"of the same compositions {self.imported:,} imported, {self.first_data:,} of first data, {self.others:,} "
            f"found by other campaigns; imported in all: {sources}"
        )


@dataclass(frozen=True)
class Sun:
    """How many crystals of a campaign are stable, unique and novel.

    Attributes:
        tried: relaxations that have ended.
        stable: crystals that are stable, unique and novel.
        metastable: that are metastable or stable, unique and novel.
        uncompared: crystals near the hull that have not been compared with known ones yet; they are not counted.
        theory: whose hull it is.
        reference: what they were compared with.
        criterion: of two crystals being the same.
    """

    tried: int
    stable: int
    metastable: int
    uncompared: int
    theory: str
    reference: Reference
    criterion: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it, with the rates."""
        return {**asdict(self), "rate": self.rate, "metastable_rate": self.metastable_rate}

    @property
    def text(self) -> str:
        """Both rates, in words."""
        if not self.tried:
            return "no relaxation tried yet"
        near = f"within {METASTABLE} eV/atom of it {self.metastable:,}, {self.metastable_rate:.1%}"
        return f"of {self.tried:,} relaxations tried, on the hull {self.stable:,}, {self.rate:.1%}; {near}"

    @property
    def meaning(self) -> str:
        """What they were compared with, and how."""
        lacking = (
            f"; {self.uncompared:,} near the hull are not compared yet, and not counted" if self.uncompared else ""
        )
        return (
            f"theory {self.theory}; novel: no known crystal ({self.reference}) is the same one by "
            f"{self.criterion}{lacking}"
        )

    @property
    def rate(self) -> float | None:
        """S.U.N. / tried."""
        return self.stable / self.tried if self.tried else None

    @property
    def metastable_rate(self) -> float | None:
        """Metastable S.U.N. / tried."""
        return self.metastable / self.tried if self.tried else None


def sun_of(store: Store, campaign: str) -> Sun:
    """Count a campaign's stable, unique and novel crystals.

    Raises:
        StoreError: no such campaign.
    """
    document = store.campaigns.get(campaign)
    closed = {row["number"] for row in store.rounds.all(campaign) if row["number"] > 0 and row.get("closed")}
    tally = store.candidates.tally(campaign)
    finds = [
        find
        for find in store.finds.phases(campaign, METASTABLE)
        if is_find_of(campaign, find) and find["lineage"]["round"] in closed and find["theory"] == document["theory"]
    ]
    compared = [find for find in finds if "duplicate_of" in find["novelty"]]
    distances = _novel(store, campaign, compared)
    return Sun(
        tried=sum(tally.get(number, {}).get(state, 0) for number in closed for state in ENDED),
        stable=sum(distance <= STABLE_TOLERANCE for distance in distances),
        metastable=len(distances),
        uncompared=len(finds) - len(compared),
        theory=document["theory"],
        reference=_reference(store, campaign, finds),
        criterion=criterion(),
    )


def _novel(store: Store, campaign: str, finds: Iterable[Document]) -> list[float]:
    """Distance to the hull of each crystal that nobody had before, at its lowest, eV/atom."""
    documents = _with_older(store, finds)
    older = {key: document["novelty"].get("duplicate_of") for key, document in documents.items() if document}
    crystals: dict[str, list[float]] = defaultdict(list)
    for find in finds:
        crystals[oldest(find["_id"], older)].append(find["stability"]["e_above_hull"])
    return [min(distances) for first, distances in crystals.items() if is_find_of(campaign, documents.get(first))]


def _with_older(store: Store, finds: Iterable[Document]) -> dict[str, Document]:
    """Documents of finds, and of the older entries that are the same crystals, by key."""
    documents = {find["_id"]: find for find in finds}
    wanted = {find["novelty"]["duplicate_of"] for find in finds}
    while missing := {key for key in wanted if key} - documents.keys():
        read = store.entries.documents_of(missing, ("lineage", "outside.source", "novelty"))
        documents |= {key: read.get(key, {}) for key in missing}
        wanted = {document["novelty"].get("duplicate_of") for document in read.values()}
    return documents


def _reference(store: Store, campaign: str, finds: Iterable[Document]) -> Reference:
    imported = first_data = others = 0
    for document in store.finds.of_compositions({find["formula"] for find in finds}):
        if not document.get("spacegroup"):
            continue  # only the composition was imported
        lineage = document["lineage"]
        imported += bool(document.get("outside"))
        first_data += not document.get("outside") and not lineage["round"]
        others += lineage["round"] > 0 and lineage["campaign"] != campaign
    return Reference(store.imports.sources(), imported, first_data, others)
