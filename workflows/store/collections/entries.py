"""Entries: computed crystals with their energies, shared by all campaigns.

entries     _id = content hash of input crystal and theory, or of what came from outside
"""

from __future__ import annotations

from collections.abc import Collection as Some
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import combinations
from typing import Any

from pymatgen.core import Composition, Structure
from pymongo import ASCENDING, UpdateOne
from pymongo.errors import BulkWriteError

from gnome_torch.records import Entry, EntryEnergy, HullPoint, Lineage, content_hash, structure_key
from gnome_torch.stability.hull import STABLE_TOLERANCE
from gnome_torch.stability.novelty import likely_disorder, prototype_of
from gnome_torch.symmetry import symmetry
from workflows.store.base import Collection, Document, StoreError, chunks, now, utc

COMMON = ("O", "F", "S", "N", "Cl", "H", "C", "P")
"""Elements that most compounds hold: the last ones to be looked for."""
DUPLICATE_KEY = 11000  # MongoDB's number of the error
SPACE_GROUP_TOLERANCE = 0.1  # angstrom, the Materials Project's


@dataclass(frozen=True)
class OutsideEntry:
    """An entry that comes from outside.

    Attributes:
        key: name in its source.
        structure: crystal; None where only the composition is known.
        energy: its energy, under the key of the entry.
        scheme: name and version of pymatgen of the correction, if it is ours.
        parameters: what it was computed with, which a correction hangs on; None if not known.
    """

    key: str
    structure: Structure | None
    energy: EntryEnergy
    scheme: Mapping[str, str] | None = None
    parameters: Mapping[str, Any] | None = None

    @property
    def id(self) -> str:
        """Key of the entry."""
        return self.energy.id


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
        self.documents.create_index([("stability.e_above_hull", ASCENDING)])
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
            **_of_crystal(entry.structure),
            **_of_energy(entry.energy, entry.correction, len(entry.structure), entry.theory),
            "source": entry.lineage.source,
            "lineage": {**asdict(entry.lineage), "campaign": campaign},
            "outside": None,
            "stability": None,
            "campaigns": [campaign] if recheck_of is None else [],
            **_written(),
            **fields,
        }
        # for the campaign that computed it: round 0 is its known data, later rounds propose only other compositions
        document["novelty"]["new_composition"] = entry.lineage.round > 0
        if recheck_of is not None:
            document["recheck_of"] = recheck_of
        self.documents.update_one({"_id": entry.id}, {"$setOnInsert": document}, upsert=True)
        if recheck_of is None:
            self.share([entry.id], campaign)

    def add_outside(self, records: Sequence[OutsideEntry], source: str, version: str, replaces: bool) -> int:
        """Write entries that come from outside; what is there already is kept.

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
            for document in self.documents.find({"_id": {"$in": part}}, {"replaced_by": 1}):
                present.add(document["_id"])
                if replaces and document.get("replaced_by"):  # the source has gone back to it
                    self.documents.update_one(
                        {"_id": document["_id"]}, {"$set": {"replaced_by": None, "changed": now()}}
                    )
        documents = [_outside_document(new[key], source, version) for key in sorted(new.keys() - present)]
        if documents:
            try:
                self.documents.insert_many(documents, ordered=False)
            except BulkWriteError as error:
                if any(problem["code"] != DUPLICATE_KEY for problem in error.details["writeErrors"]):
                    raise  # another import of the same data, at the same time, is no harm
        if replaces:
            self._retire(records, source)
        return len(documents)

    def _retire(self, records: Sequence[OutsideEntry], source: str) -> None:
        """Mark entries of the same keys and other content as replaced: no hull and no training set sees them again."""
        successors = {_record_id(record, source): record.id for record in records}
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

    def theories(self) -> list[Document]:
        """Theories that have entries: `theory`, `source`, `count`; entries of campaigns have the source "campaigns"."""
        stages: list[Document] = [
            {"$match": {"replaced_by": None}},
            {"$group": {"_id": {"theory": "$theory", "source": "$outside.source"}, "count": {"$sum": 1}}},
        ]
        rows = [
            {"theory": g["_id"]["theory"], "source": g["_id"].get("source") or "campaigns", "count": g["count"]}
            for g in self.documents.aggregate(stages)
        ]
        return sorted(rows, key=lambda row: (row["theory"], row["source"]))

    def near_hull(self, theory: str, elements: Some[str], distance: float) -> list[tuple[str, Structure]]:
        """Crystals at most `distance` (eV/atom) above the hull when it was last renewed, in the order of their keys."""
        query = {
            **within(theory, elements),
            "stability.e_above_hull": {"$lte": distance},
            "structure": {"$ne": None},
        }
        found = {d["_id"]: Structure.from_dict(d["structure"]) for d in self.documents.find(query, {"structure": 1})}
        return sorted(found.items())

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
            theory: level of theory.
            mark: name of the scheme, version of pymatgen.
            unmarked: also those that a campaign computed before corrections were marked.
        """
        other = {"correction_scheme.name": mark["name"], "correction_scheme.pymatgen": {"$ne": mark["pymatgen"]}}
        bare = {"correction_scheme": None, "outside": None}
        query = {"theory": theory, "structure": {"$ne": None}, "$or": [other, bare] if unmarked else [other]}
        fields = {"structure": 1, "energy": 1, "nsites": 1, "calculation": 1, "outside.parameters": 1}
        yield from self.documents.find(query, fields)

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
        for query in self.phases_queries(campaign, max_e_above_hull, elements, chemsys):
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

    def phases_queries(
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

    # novelty

    def found_near_hull(self, distance: float) -> list[str]:
        """Keys of the entries that campaigns proposed and that lie near the hull, in their order."""
        query = {"lineage.round": {"$gt": 0}, "stability.e_above_hull": {"$lte": distance}}
        query["campaigns"] = {"$ne": []}  # no rechecks
        return sorted(document["_id"] for document in self.documents.find(query, {"_id": 1}))

    def known_of_prototype(self, prototype: str) -> list[tuple[str, str]]:
        """Key and reduced formula of the known crystals of a prototype: first data of campaigns, and imported ones."""
        query = {"novelty.prototype": prototype, "lineage.round": 0, "replaced_by": None, "recheck_of": None}
        return [(d["_id"], d["formula"]) for d in self.documents.find(query, {"formula": 1})]

    def known_outside(self, formulas: Some[str]) -> set[str]:
        """Which of some reduced formulas have been imported, at whatever theory."""
        found: set[str] = set()
        for part in chunks(set(formulas)):
            query = {"formula": {"$in": part}, "outside": {"$ne": None}, "replaced_by": None}
            found |= {document["formula"] for document in self.documents.find(query, {"formula": 1})}
        return found

    def older_crystals(self, key: str) -> Iterator[tuple[str, Structure]]:
        """Key and crystal of the entries of the same formula that were there first: known ones, then found ones."""
        own = self.documents.find_one({"_id": key}, {"formula": 1, "created": 1, "lineage.round": 1})
        if own is None:
            return
        query = {"formula": own["formula"], "structure": {"$ne": None}, "replaced_by": None, "recheck_of": None}
        place = {"created": 1, "lineage.round": 1}
        rank = (own["lineage"]["round"] > 0, own["created"], key)
        older = sorted(
            (d["lineage"]["round"] > 0, d["created"], d["_id"])
            for d in self.documents.find(query, place)
            if (d["lineage"]["round"] > 0, d["created"], d["_id"]) < rank
        )
        for _, _, other in older:
            yield from self.structures([other]).items()

    def on_hull(self, theory: str, elements: Some[str], tolerance: float) -> list[Document]:
        """Entries of a theory on its hull within some elements, crystals included where they are known."""
        query = {**within(theory, elements), "stability.e_above_hull": {"$lte": tolerance}}
        return sorted(self.documents.find(query, {"initial": 0}), key=lambda document: document["_id"])

    def found_by(self, campaign: str, theory: str, distance: float) -> list[Document]:
        """Compounds that a campaign proposed itself, within a distance of the hull, eV/atom; crystals included."""
        query: Document = {"campaigns": campaign, "stability.e_above_hull": {"$lte": distance}, "theory": theory}
        query |= {"lineage.round": {"$gt": 0}, "nelements": {"$gte": 2}}
        return sorted(self.documents.find(query, {"initial": 0}), key=lambda document: document["_id"])

    def set_novelty(self, key: str, **fields: Any) -> None:
        """Write what is new about an entry."""
        change = {f"novelty.{name}": value for name, value in fields.items()}
        self.documents.update_one({"_id": key}, {"$set": {**change, "changed": now()}})

    def get(self, key: str) -> Document | None:
        """Document of one entry, without its crystal; None when there is none."""
        found = self.documents.find_one({"_id": key}, {"structure": 0, "initial": 0})
        return dict(found) if found else None


def entry_id(structure: Structure, theory: str) -> str:
    """Key of the entry that relaxing a crystal at a theory gives."""
    return content_hash({"input": structure_key(structure), "theory": theory})


def within(theory: str, elements: Some[str]) -> Document:
    """Query for the entries in force of one theory that hold no element outside the set.

    A few elements have few chemical systems, which an index finds; for many, every entry of the theory is looked at.
    """
    in_force = {"theory": theory, "replaced_by": None}
    if len(elements) <= 6:
        systems = ["-".join(s) for n in range(1, len(elements) + 1) for s in combinations(sorted(elements), n)]
        return {**in_force, "chemsys": {"$in": systems}}
    return {**in_force, "elements": {"$not": {"$elemMatch": {"$nin": sorted(elements)}}}}


def _of_crystal(structure: Structure) -> Document:
    """Fields of an entry that follow from its crystal."""
    group = symmetry(structure, SPACE_GROUP_TOLERANCE)
    return {
        **_of_composition(structure.composition),
        "nsites": len(structure),
        "structure": structure.as_dict(),
        "spacegroup": {"number": group.number, "symbol": group.symbol},
        "novelty": {
            "prototype": prototype_of(structure),
            "likely_disorder": [list(pair) for pair in likely_disorder(structure)],
        },
    }


def _of_composition(composition: Composition) -> Document:
    return {
        "formula": composition.reduced_formula,
        "chemsys": composition.chemical_system,
        "elements": sorted(element.symbol for element in composition),
        "nelements": len(composition),
    }


def _record_id(record: OutsideEntry, source: str) -> str:
    """What a record is called in its source, at its theory: one indexed field in the place of three."""
    return content_hash({"source": source, "theory": record.energy.theory, "key": record.key})


def _written() -> dict[str, datetime]:
    """When an entry was written, and when it last changed: every later write of it notes that anew."""
    moment = now()
    return {"created": moment, "changed": moment}


def _whole(number: float) -> float:
    return int(number) if number == int(number) else number


def _of_energy(energy: float, correction: float, nsites: float, theory: str) -> Document:
    """Fields of an entry that hold its energy, eV per cell and eV/atom."""
    return {
        "energy": energy,
        "correction": correction,
        "energy_per_atom": (energy + correction) / nsites,
        "theory": theory,
    }


def _outside_document(record: OutsideEntry, source: str, version: str) -> Document:
    if record.structure is not None:
        fields = _of_crystal(record.structure)
    else:  # one formula unit takes the place of the cell
        composition = Composition(record.energy.reduced_formula)
        fields = {**_of_composition(composition), "nsites": _whole(composition.num_atoms), "structure": None}
        fields |= {"spacegroup": None, "novelty": {"prototype": None, "likely_disorder": []}}
    n = fields["nsites"]
    fields["novelty"]["new_composition"] = False
    return {
        "_id": record.id,
        **fields,
        **_of_energy(record.energy.uncorrected * n, record.energy.correction * n, n, record.energy.theory),
        "source": "outside",
        "lineage": {**asdict(Lineage("outside")), "campaign": None},
        "outside": {
            "source": source,
            "key": record.key,
            "version": version,
            "record": _record_id(record, source),
            "parameters": dict(record.parameters) if record.parameters else None,
        },
        "correction_scheme": dict(record.scheme) if record.scheme else None,
        "campaigns": [],
        "stability": None,
        **_written(),
    }
