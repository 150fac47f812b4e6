"""Entries as finds: what campaigns have on or near the hull, and what is new about it beside what was known.

entries     as in `entries.py`
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection as Some
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymatgen.core import Structure

from gnome_torch.stability.novelty import of_one_hand
from workflows.store.base import Collection, Document, StoreError, chunks, now, utc
from workflows.store.collections.candidates import Candidates
from workflows.store.collections.entries import Entries

COMMON = ("O", "F", "S", "N", "Cl", "H", "C", "P")
"""Elements that most compounds hold: the last ones to be looked for."""


@dataclass(frozen=True)
class FirstData:
    """What a campaign begins with.

    Attributes:
        campaign: its name.
        begun: when.
        formulas: reduced ones, of what was relaxed and of what failed.
    """

    campaign: str
    begun: datetime
    formulas: Some[str]


class Finds(Collection):
    """Reads of `entries`, and writes of their novelty."""

    name = "entries"

    def phases(
        self,
        campaign: str | None,
        max_e_above_hull: float,
        elements: Some[str] = (),
        chemsys: Some[str] = (),
        since: datetime | None = None,
    ) -> list[Document]:
        """Compounds that campaigns have on or near the hull, the most stable first; crystals left out.

        Args:
            campaign: only entries of this campaign; None for all campaigns.
            max_e_above_hull: eV/atom.
            elements: that they hold, all of them.
            chemsys: of just these elements; empty for whatever.
            since: that were written since then.
        """
        wanted = set(elements)
        found: dict[str, Document] = {}
        for query in self.queries(campaign, max_e_above_hull, elements, chemsys):
            found |= {
                document["_id"]: document
                for document in self.documents.find(query, {"structure": 0, "initial": 0})
                if (campaign in document["campaigns"] if campaign else document["campaigns"])
                and document["nelements"] >= 2
                and document["stability"]
                and document["stability"]["e_above_hull"] <= max_e_above_hull
                and wanted.issubset(document["elements"])
                and (since is None or utc(document["created"]) >= utc(since))
            }
        return sorted(
            found.values(),
            key=lambda document: (
                document["stability"]["e_above_hull"],
                document["stability"]["phase_separation_energy"],
                document["_id"],
            ),
        )

    def queries(
        self, campaign: str | None, max_e_above_hull: float, elements: Some[str] = (), chemsys: Some[str] = ()
    ) -> list[Document]:
        """The queries of `phases`, for the same arguments: only what one index serves, the one that leads to the least.

        The rest is looked at here: a condition beside the index makes the embedded server choose another one. So does
        a list of campaigns, each of which is asked for by itself; without them, all that was imported and lies near
        the hull would be read.
        """
        near: Document = {"stability.e_above_hull": {"$lte": max_e_above_hull}}
        if chemsys:
            return [{"chemsys": "-".join(sorted(chemsys))}]
        if elements:
            rare = [element for element in sorted(elements) if element not in COMMON]
            return [{"elements": (rare or sorted(elements))[0], **near}]
        names = (
            [campaign]
            if campaign
            else sorted(document["_id"] for document in self.database["campaigns"].find({}, {"_id": 1}))
        )
        return [{"campaigns": name, **near} for name in names]

    def near_hull(self, distance: float) -> list[str]:
        """Keys of the entries that campaigns proposed and that lie near the hull, in their order."""
        query = {"lineage.round": {"$gt": 0}, "stability.e_above_hull": {"$lte": distance}}
        query["campaigns"] = {"$ne": []}  # no rechecks
        return sorted(document["_id"] for document in self.documents.find(query, {"_id": 1}))

    def known_of_prototype(self, prototype: str) -> list[tuple[str, str]]:
        """Key and reduced formula of the known crystals of a prototype: first data of campaigns, and imported ones."""
        query = {"novelty.prototype": prototype, "lineage.round": 0, "replaced_by": None, "recheck_of": None}
        return [(d["_id"], d["formula"]) for d in self.documents.find(query, {"formula": 1})]

    def proposed_of_prototype(self, prototype: str) -> list[str]:
        """Keys of the entries of a prototype that campaigns proposed."""
        query = {"novelty.prototype": prototype, "lineage.round": {"$gt": 0}, "recheck_of": None}
        return sorted(document["_id"] for document in self.documents.find(query, {"_id": 1}))

    def join_mirror_images(self) -> set[str]:
        """Write one prototype for both hands of a crystal; earlier versions wrote one for each.

        Returns:
            The prototypes that were written.
        """
        written = set()
        for label in filter(None, self.documents.distinct("novelty.prototype")):
            if (joined := of_one_hand(label)) != label:
                change = {"novelty.prototype": joined, "changed": now()}
                self.documents.update_many({"novelty.prototype": label}, {"$set": change})
                written.add(joined)
                # a relaxation that changed the hand alone has not changed the prototype
                turned = {"novelty.prototype": joined, "change.prototype_before": {"$in": [label, joined]}}
                same = {"change.prototype_before": joined, "change.transformed": False}
                self.documents.update_many(turned, {"$set": same})
        return written

    def settle_compositions(self, formulas: Some[str] | None = None) -> int:
        """Write of proposed entries whether their composition is new; repeated, it changes nothing.

        New: not imported, at whatever theory and whenever; not in the first data of a campaign that had begun when the
        entry came, relaxed or not; and no other campaign came to it earlier.

        Args:
            formulas: reduced ones, of the entries to look at; None for all that campaigns proposed.

        Returns:
            How many entries said otherwise.
        """
        if formulas is None:
            proposed = self.documents.find({"lineage.round": {"$gt": 0}}, {"formula": 1})
            formulas = {document["formula"] for document in proposed}
        first = self._first_data()
        changed = 0
        for part in chunks(set(formulas)):
            of_formula: dict[str, list[Document]] = defaultdict(list)
            for document in self.of_compositions(part):
                of_formula[document["formula"]].append(document)
            right = {key: new for same in of_formula.values() for key, new in _new_compositions(same, first)}
            stored = {d["_id"]: d["novelty"].get("new_composition") for same in of_formula.values() for d in same}
            for key in sorted(key for key, new in right.items() if stored[key] is not new):
                self.set_novelty(key, new_composition=right[key])
                changed += 1
        return changed

    def of_compositions(self, formulas: Some[str]) -> list[Document]:
        """Entries in force of some compositions, reduced formulas, rechecks left out: what their novelty depends on."""
        place = ("stability.e_above_hull", "displaced")
        fields = ("formula", "spacegroup", "created", "lineage", "outside.source", "novelty", *place)
        return [
            dict(document)
            for part in chunks(formulas)
            for document in self.documents.find(
                {"formula": {"$in": part}, "replaced_by": None, "recheck_of": None}, dict.fromkeys(fields, 1)
            )
        ]

    def _first_data(self) -> list[FirstData]:
        """What campaigns begin with."""
        begun = self.database["campaigns"].find({}, {"created": 1})
        candidates = Candidates(self.database)
        return [FirstData(d["_id"], d["created"], candidates.first_formulas(d["_id"])) for d in begun]

    def older_crystals(self, key: str) -> Iterator[tuple[str, Structure]]:
        """Key and crystal of the entries of the same formula that were there first: known ones, then found ones.

        Known: imported, whenever; in the first data of a campaign that had begun when the entry came.
        """
        own = self.documents.find_one({"_id": key}, {"formula": 1, "created": 1, "lineage": 1, "outside.source": 1})
        if own is None:
            return
        begun = {d["_id"]: d["created"] for d in self.database["campaigns"].find({}, {"created": 1})}

        def rank(document: Document) -> tuple[bool, datetime, str]:
            lineage = document["lineage"]
            first = not lineage["round"] and begun.get(lineage["campaign"], own["created"]) <= own["created"]
            return not (document.get("outside") or first), document["created"], document["_id"]

        query = {"formula": own["formula"], "structure": {"$ne": None}, "replaced_by": None, "recheck_of": None}
        place = {"created": 1, "lineage": 1, "outside.source": 1}
        for _, _, other in sorted(r for r in map(rank, self.documents.find(query, place)) if r < rank(own)):
            yield from Entries(self.database).structures([other]).items()

    def uncompared(self, keys: Some[str]) -> list[str]:
        """Those of some entries that nobody has compared with older crystals yet, in their order."""
        found: set[str] = set()
        for part in chunks(keys):
            found |= {
                document["_id"]
                for document in self.documents.find({"_id": {"$in": part}}, {"novelty": 1})
                if "duplicate_of" not in document["novelty"]
            }
        return sorted(found)

    def of_campaign(self, campaign: str, theory: str, distance: float) -> list[Document]:
        """Compounds that a campaign proposed itself, within a distance of the hull, eV/atom; crystals included."""
        query: Document = {"campaigns": campaign, "stability.e_above_hull": {"$lte": distance}, "theory": theory}
        query |= {"lineage.round": {"$gt": 0}, "nelements": {"$gte": 2}}
        return sorted(self.documents.find(query, {"initial": 0}), key=lambda document: document["_id"])

    def set_novelty(self, key: str, **fields: Any) -> None:
        """Write what is new about an entry."""
        change = {f"novelty.{name}": value for name, value in fields.items()}
        self.documents.update_one({"_id": key}, {"$set": {**change, "changed": now()}})

    def check_any(self, campaign: str) -> None:
        """Before what a campaign has found is shown.

        Raises:
            StoreError: none of its relaxations has given an entry yet.
        """
        if self.documents.find_one({"campaigns": campaign}, {"_id": 1}) is None:
            raise StoreError(
                f"campaign '{campaign}' has nothing to show yet: no relaxation has ended well; where it stands: "
                f"'gnome campaign status {campaign}'"
            )


def _new_compositions(same: Sequence[Document], first: Sequence[FirstData]) -> Iterator[tuple[str, bool]]:
    """Of the proposed ones among all entries of one composition: key, and whether the composition was new."""
    imported = any(document.get("outside") for document in same)
    found = sorted((d["created"], d["_id"], d["lineage"]["campaign"]) for d in same if not d.get("outside"))
    for document in same:
        lineage = document["lineage"]
        if document.get("outside") or not lineage["round"]:
            continue
        began_with_it = any(
            document["formula"] in known.formulas
            for known in first
            if known.campaign == lineage["campaign"] or known.begun <= document["created"]
        )
        yield document["_id"], not imported and not began_with_it and found[0][2] == lineage["campaign"]
