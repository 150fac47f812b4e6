"""Entries: computed crystals with their energies, shared by all campaigns.

entries     _id = content hash of input crystal and theory, or of what came from outside
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection as Some
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import combinations
from typing import Any

from pymatgen.core import Structure
from pymongo import ASCENDING, UpdateOne
from pymongo.errors import BulkWriteError

from gnome_torch.data.origins import NOT_STATED, licence_of
from gnome_torch.records import Entry, EntryEnergy, HullPoint, KnownCrystal
from gnome_torch.stability.hull import STABLE_TOLERANCE
from workflows.store.base import Collection, Document, StoreError, chunks, now
from workflows.store.collections.entry_documents import (
    OutsideEntry,
    of_crystal,
    of_energy,
    outside_document,
    record_id,
    written,
)
from workflows.store.collections.imports import PastImport

DUPLICATE_KEY = 11000  # MongoDB's number of the error
MOST_KNOWN = 50_000  # crystals looked at in the search for parents: half a second of a server's time


class Entries(Collection):
    """Reads and writes of `entries`."""

    name = "entries"

    def prepare(self) -> None:
        """Create the indexes; safe to repeat."""
        self.documents.create_index([("theory", ASCENDING), ("chemsys", ASCENDING)])
        self.documents.create_index([("theory", ASCENDING), ("formula", ASCENDING)])
        self.documents.create_index([("campaigns", ASCENDING), ("stability.e_above_hull", ASCENDING)])
        self.documents.create_index([("outside.record", ASCENDING)])
        self.documents.create_index([("chemsys", ASCENDING), ("stability.e_above_hull", ASCENDING)])
        self.documents.create_index([("elements", ASCENDING), ("stability.e_above_hull", ASCENDING)])
        self.documents.create_index([("formula", ASCENDING)])
        self.documents.create_index([("stability.e_above_hull", ASCENDING), ("_id", ASCENDING)])
        self.documents.create_index([("lineage.round", ASCENDING), ("stability.e_above_hull", ASCENDING)])
        self.documents.create_index([("novelty.prototype", ASCENDING), ("lineage.round", ASCENDING)])
        # what `gnome serve` looks for, again and again
        self.documents.create_index([("changed", ASCENDING)])
        self.documents.create_index([("recheck_of", ASCENDING)])

    def add(self, entry: Entry, campaign: str, recheck_of: str | None = None, **fields: Any) -> None:
        """Write a computed crystal; what is there already is kept, and the campaign is noted on it.

        Args:
            entry: the crystal and its energy.
            campaign: campaign that computed it.
            recheck_of: the same phase at the campaign's own theory: then it is no find of the campaign, but a
                recheck.
            fields: more to keep with it (prediction, calculation).
        """
        document = {
            **of_crystal(entry.structure),
            **of_energy(entry.energy, entry.correction, len(entry.structure), entry.theory),
            "source": entry.lineage.source,
            "lineage": {**asdict(entry.lineage), "campaign": campaign},
            "outside": None,
            "stability": None,
            "campaigns": [campaign] if recheck_of is None else [],
            **written(),
            **fields,
        }
        # of what campaigns had, `Finds.settle_compositions` asks when the round closes
        formula = document["formula"]
        document["novelty"]["new_composition"] = entry.lineage.round > 0 and not self._is_imported(formula)
        if recheck_of is not None:
            document["recheck_of"] = recheck_of
        self.documents.update_one({"_id": entry.id}, {"$setOnInsert": document}, upsert=True)
        if recheck_of is None:
            self.share([entry.id], campaign)

    def _is_imported(self, formula: str) -> bool:
        """Whether a composition, reduced formula, has been imported, at whatever theory."""
        query = {"formula": formula, "outside": {"$ne": None}, "replaced_by": None}
        return self.documents.find_one(query, {"_id": 1}) is not None

    def add_outside(self, records: Sequence[OutsideEntry], source: str, version: str, replaces: bool) -> int:
        """Write entries that come from outside; what is there already is kept, with a licence that is stated now.

        Args:
            records: the entries.
            source: where they come from.
            version: of the source.
            replaces: whether a record takes the place of an older one of the same key of the same source.

        Returns:
            How many were not there.
        """
        new = {record.id: record for record in records}
        present: set[str] = set()
        for part in chunks(new):
            fields = {"replaced_by": 1, "outside.source": 1, "outside.licence": 1}
            for document in self.documents.find({"_id": {"$in": part}}, fields):
                present.add(document["_id"])
                self._state_licence(document, new[document["_id"]].licence, source)
                if replaces and document.get("replaced_by"):  # the source has gone back to it
                    self.documents.update_one(
                        {"_id": document["_id"]}, {"$set": {"replaced_by": None, "changed": now()}}
                    )
        documents = [outside_document(new[key], source, version) for key in sorted(new.keys() - present)]
        if documents:
            try:
                self.documents.insert_many(documents, ordered=False)
            except BulkWriteError as error:
                if any(problem["code"] != DUPLICATE_KEY for problem in error.details["writeErrors"]):
                    raise  # another import of the same data, at the same time, is no harm
        if replaces:
            self._retire(records, source)
        self._no_longer_new({record.energy.reduced_formula for record in records})
        return len(documents)

    def _state_licence(self, document: Document, licence: str, source: str) -> None:
        """Note the licence on an entry of the same source that has none, or another."""
        outside = document.get("outside") or {}
        if outside.get("source") == source and licence not in (NOT_STATED, outside.get("licence")):
            change = {"outside.licence": licence, "changed": now()}
            self.documents.update_one({"_id": document["_id"]}, {"$set": change})

    def _no_longer_new(self, formulas: Some[str]) -> None:
        """What was imported is no new composition of a campaign."""
        for part in chunks(formulas):
            new = {"formula": {"$in": part}, "novelty.new_composition": True}
            self.documents.update_many(new, {"$set": {"novelty.new_composition": False, "changed": now()}})

    def _retire(self, records: Sequence[OutsideEntry], source: str) -> None:
        """Mark entries of the same keys and other content as replaced: no hull and no training set sees them again."""
        successors = {record_id(record, source): record.id for record in records}
        for part in chunks(successors):
            same = self.documents.find({"outside.record": {"$in": part}}, {"outside.record": 1, "replaced_by": 1})
            for document in list(same):
                successor = successors[document["outside"]["record"]]
                if document["_id"] != successor and not document.get("replaced_by"):
                    retired = {"replaced_by": successor, "stability": None, "changed": now()}
                    self.documents.update_one({"_id": document["_id"]}, {"$set": retired})

    def existing(self, keys: Some[str]) -> set[str]:
        """Those of some keys that have been computed before."""
        found: set[str] = set()
        for part in chunks(keys):
            found |= {document["_id"] for document in self.documents.find({"_id": {"$in": part}}, {"_id": 1})}
        return found

    def share(self, keys: Some[str], campaign: str) -> None:
        """Note the campaign on entries computed before, unless it is there."""
        for part in chunks(keys):
            self.documents.update_many(
                {"_id": {"$in": part}, "campaigns": {"$ne": campaign}},
                {"$addToSet": {"campaigns": campaign}, "$set": {"changed": now()}},
            )

    def energies(self, theory: str, elements: Some[str] | None = None) -> list[EntryEnergy]:
        """Energies of one theory from whatever source, in the order of their keys: what a hull is made of.

        Args:
            theory: key of the theory.
            elements: leave out entries that hold any other element; None for all entries of the theory.
        """
        query = {"theory": theory, "replaced_by": None} if elements is None else within(theory, elements)
        fields = {"formula": 1, "energy": 1, "correction": 1, "nsites": 1}
        found = [
            EntryEnergy(d["_id"], d["formula"], d["energy"] / d["nsites"], d["correction"] / d["nsites"], theory)
            for d in self.documents.find(query, fields)
        ]
        return sorted(found, key=lambda entry: entry.id)

    def rechecked(self, theory: str) -> Document | None:
        """Some recheck at a theory, without its crystals; None where there is none."""
        query = {"recheck_of": {"$gt": ""}, "theory": theory}
        return self.documents.find_one(query, {"structure": 0, "initial": 0})

    def theories(self) -> list[Document]:
        """Theories that have entries: `theory`, `source`, `licence`, `count`.

        Entries of campaigns have the source "campaigns" and no licence.
        """
        return self._origins({"replaced_by": None})

    def imported(self, theory: str, elements: Some[str]) -> list[Document]:
        """What has been imported under a theory within some elements: rows as of `theories`."""
        return self._origins({**within(theory, elements), "outside": {"$ne": None}})

    def _origins(self, query: Document) -> list[Document]:
        """Numbers of entries by theory, source and licence; what no licence was kept with has that of its source."""
        kept = {"theory": "$theory", "source": "$outside.source", "licence": "$outside.licence"}
        counts: Counter[tuple[str, str, str]] = Counter()
        for group in self.documents.aggregate([{"$match": query}, {"$group": {"_id": kept, "count": {"$sum": 1}}}]):
            of = group["_id"]
            source = of.get("source") or "campaigns"
            licence = licence_of({"source": source, "licence": of.get("licence")}) if of.get("source") else ""
            counts[of["theory"], source, licence] += group["count"]
        names = ("theory", "source", "licence", "count")
        return [dict(zip(names, (*key, count), strict=True)) for key, count in sorted(counts.items())]

    def near_hull(self, theory: str, elements: Some[str], distance: float) -> list[tuple[str, Structure]]:
        """Crystals at most `distance` (eV/atom) above the hull when it was last renewed, in the order of their keys."""
        query = {
            **within(theory, elements),
            "stability.e_above_hull": {"$lte": distance},
            "structure": {"$ne": None},
        }
        found = {d["_id"]: Structure.from_dict(d["structure"]) for d in self.documents.find(query, {"structure": 1})}
        return sorted(found.items())

    def stable_compounds(self, theory: str, elements: Some[str]) -> set[str]:
        """Reduced formulas of the compounds that were on the hull when it was last renewed."""
        query = {**within(theory, elements), "stability.e_above_hull": {"$lte": STABLE_TOLERANCE}}
        found = self.documents.find(query, {"formula": 1, "nelements": 1})
        return {document["formula"] for document in found if document["nelements"] > 1}

    def near_any_hull(self, distance: float, most_sites: int, most_elements: int) -> list[KnownCrystal]:
        """Compounds of whatever theory, at most `distance` (eV/atom) above the hull of their own, the nearest first.

        Not more than 50,000 of them. Rechecks are left out: the crystals that they recheck are there.

        Args:
            distance: from the hull.
            most_sites: atoms in the cell at most.
            most_elements: different elements at most.
        """
        query = {
            "stability.e_above_hull": {"$lte": distance},
            "nsites": {"$lte": most_sites},
            "nelements": {"$gte": 2, "$lte": most_elements},
            "structure": {"$ne": None},
            "replaced_by": None,
            "recheck_of": None,
        }
        fields = {"formula": 1, "novelty.prototype": 1, "stability.e_above_hull": 1}
        nearest = [("stability.e_above_hull", ASCENDING), ("_id", ASCENDING)]
        return [
            KnownCrystal(d["_id"], d["formula"], d["novelty"]["prototype"], d["stability"]["e_above_hull"])
            for d in self.documents.find(query, fields).sort(nearest).limit(MOST_KNOWN)
        ]

    def structures(self, keys: Some[str]) -> dict[str, Structure]:
        """Relaxed crystals of entries by key.

        Raises:
            StoreError: an entry is missing.
        """
        found: dict[str, Structure] = {}
        for part in chunks(keys):
            for document in self.documents.find({"_id": {"$in": part}}, {"structure": 1}):
                found[document["_id"]] = Structure.from_dict(document["structure"])
        missing = sorted(set(keys) - found.keys())
        if missing:
            raise StoreError(f"{len(missing)} entries are not in database '{self.database.name}': {missing[0]}, …")
        return found

    def known_formulas(self, theory: str, elements: Some[str], outside: bool = False) -> set[str]:
        """Reduced formulas of all entries of one theory within a set of elements.

        Args:
            theory: key.
            elements: of the entries.
            outside: only of entries that have been imported.
        """
        query = within(theory, elements) | ({"outside": {"$ne": None}} if outside else {})
        return {document["formula"] for document in self.documents.find(query, {"formula": 1})}

    def set_stability(
        self,
        theory: str,
        points: Mapping[str, HullPoint],
        moment: datetime,
        hull_size: int,
        uncorrected: Mapping[str, float] | None = None,
    ) -> None:
        """Write where entries of a theory stand, unless something later is written already.

        An entry that stands where it stood is left as it is: `hull_date` is that of the hull that put it there.

        Args:
            theory: key of the theory.
            points: entry -> place on the hull.
            moment: when the entries of this hull were read.
            hull_size: entries that the hull was made of.
            uncorrected: entry -> distance to the hull of the same entries without corrections, eV/atom; None for a
                theory that has none.
        """
        placed = self.documents.find(
            {"theory": theory, "replaced_by": None, "stability": {"$ne": None}}, {"stability": 1}
        )
        there = {document["_id"]: document["stability"] for document in placed}
        operations = []
        for key, point in points.items():
            place = asdict(point)
            without = uncorrected[key] if uncorrected else None
            old = there.get(key, {})
            stands = all(old.get(name) == value for name, value in place.items())
            if stands and "e_above_hull_uncorrected" in old and old["e_above_hull_uncorrected"] == without:
                continue
            of_hull = old if stands else {"hull_date": moment, "hull_entries": hull_size}
            stability = {**of_hull, **place, "e_above_hull_uncorrected": without, "written": moment}
            change: Document = {"stability": stability, "doubtful": None, "changed": now()}
            if old.get("e_above_hull", 1.0) <= STABLE_TOLERANCE < point.e_above_hull:
                change["displaced"] = {"until": moment, "by": sorted(point.decomposition)}
            # true of a missing date too; the embedded server would look through all entries for an $or
            not_later = {"stability.written": {"$not": {"$gt": moment}}}
            operations.append(UpdateOne({"_id": key, "replaced_by": None, **not_later}, {"$set": change}))
        if operations:
            self.documents.bulk_write(operations, ordered=False)

    def corrected_otherwise(self, theory: str, mark: Mapping[str, str], unmarked: bool) -> Iterator[Document]:
        """Entries of a theory whose correction is of the same scheme, and not of the version that a mark names.

        Args:
            theory: key of the theory.
            mark: name of the scheme, version of pymatgen.
            unmarked: also those that a campaign computed before corrections were marked.
        """
        other = {"correction_scheme.name": mark["name"], "correction_scheme.pymatgen": {"$ne": mark["pymatgen"]}}
        bare = {"correction_scheme": None, "outside": None}
        # one after the other: the embedded server would look through all entries for an $or
        for which in (other, bare) if unmarked else (other,):
            yield from self.documents.find({"theory": theory, "structure": {"$ne": None}, **which}, _OF_CORRECTION)

    def unmarked_of(self, some: PastImport) -> Iterator[Document]:
        """Entries of an import that a version wrote which did not mark corrections, nor what they depend on."""
        yield from self.documents.find(_unmarked(some), _OF_CORRECTION)

    def count_unmarked_of(self, some: PastImport) -> int:
        """How many there are of `unmarked_of`."""
        return int(self.documents.count_documents(_unmarked(some)))

    def set_correction(self, document: Document, correction: float, mark: Mapping[str, str]) -> None:
        """Write the correction of an entry's cell, eV, and by what it was made."""
        per_atom = (document["energy"] + correction) / document["nsites"]
        changes = {"correction": correction, "energy_per_atom": per_atom, "correction_scheme": dict(mark)}
        self.documents.update_one({"_id": document["_id"]}, {"$set": {**changes, "changed": now()}})

    def set_doubtful(self, reasons: Mapping[str, str]) -> None:
        """Keep entries out of every hull and training set, with the reason."""
        for key, reason in reasons.items():
            change = {"stability": None, "doubtful": reason, "changed": now()}
            self.documents.update_one({"_id": key, "doubtful": {"$ne": reason}}, {"$set": change})

    def documents_of(self, keys: Some[str], fields: Sequence[str] = ()) -> dict[str, Document]:
        """Documents of entries by key, without their crystals; what there is none of is left out.

        Args:
            keys: of the entries.
            fields: only these; empty for all.
        """
        shown = dict.fromkeys(fields, 1) or {"structure": 0, "initial": 0}
        found: dict[str, Document] = {}
        for part in chunks(keys):
            for document in self.documents.find({"_id": {"$in": part}}, shown):
                found[document["_id"]] = dict(document)
        return found

    def on_hull(self, theory: str, elements: Some[str], tolerance: float) -> list[Document]:
        """Entries of a theory on its hull within some elements, crystals included where they are known."""
        query = {**within(theory, elements), "stability.e_above_hull": {"$lte": tolerance}}
        return sorted(self.documents.find(query, {"initial": 0}), key=lambda document: document["_id"])

    def get(self, key: str) -> Document | None:
        """Document of one entry, without its crystal; None when there is none."""
        found = self.documents.find_one({"_id": key}, {"structure": 0, "initial": 0})
        return dict(found) if found else None


_OF_CORRECTION = {"structure": 1, "energy": 1, "nsites": 1, "calculation": 1, "outside.parameters": 1}
"""Fields that a correction is made from."""


def _unmarked(some: PastImport) -> Document:
    """Query for entries with a crystal of an import, of before corrections were marked."""
    return {
        "theory": some.theory,
        "structure": {"$ne": None},
        "outside.source": some.source,
        "outside.parameters": {"$exists": False},
        "correction_scheme": None,
        "replaced_by": None,
        "created": {"$gte": some.begun, "$lte": some.ended},
    }


def within(theory: str, elements: Some[str]) -> Document:
    """Query for the entries in force of one theory that hold no element outside the set.

    A few elements have few chemical systems, which an index finds; for many, every entry of the theory is looked at.
    """
    in_force = {"theory": theory, "replaced_by": None}
    if len(elements) <= 6:
        systems = ["-".join(s) for n in range(1, len(elements) + 1) for s in combinations(sorted(elements), n)]
        return {**in_force, "chemsys": {"$in": systems}}
    return {**in_force, "elements": {"$not": {"$elemMatch": {"$nin": sorted(elements)}}}}
