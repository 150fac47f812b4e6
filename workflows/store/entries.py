"""Entries: computed crystals with their energies, shared by all campaigns.

entries     _id = content hash of input crystal and theory
"""

from __future__ import annotations

from collections.abc import Collection as Some
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from itertools import combinations
from typing import Any

from pymatgen.core import Structure
from pymongo import ASCENDING, UpdateOne
from pymongo.collection import Collection
from pymongo.database import Database

from gnome_torch.candidates.symmetry import symmetry
from gnome_torch.records import Entry, HullPoint, Lineage
from workflows.store.connected import StoreError, chunks, now

MAX_INITIAL = 3.0  # eV/atom
SPACE_GROUP_TOLERANCE = 0.1  # angstrom, the Materials Project's


class Entries:
    """Reads and writes of `entries`."""

    database: Database[Any]
    entries: Collection[Any]

    def add_entry(self, entry: Entry, campaign: str, **fields: Any) -> None:
        """Write a computed crystal; what is there already is kept, and the campaign is noted on it.

        Args:
            entry: the crystal and its energy.
            campaign: campaign that computed it.
            fields: more to keep with it (prediction, calculation).
        """
        composition = entry.composition
        group = symmetry(entry.structure, SPACE_GROUP_TOLERANCE)
        document = {
            "formula": entry.reduced_formula,
            "chemsys": composition.chemical_system,
            "elements": sorted(element.symbol for element in composition),
            "nelements": len(composition),
            "nsites": len(entry.structure),
            "structure": entry.structure.as_dict(),
            "energy": entry.energy,
            "correction": entry.correction,
            "energy_per_atom": entry.energy_per_atom,
            "theory": entry.theory,
            "source": entry.lineage.source,
            "lineage": {**asdict(entry.lineage), "campaign": campaign},
            "spacegroup": {"number": group.number, "symbol": group.symbol},
            "stability": None,
            # for the campaign that computed it: round 0 is its known data, later rounds propose only other compositions
            "novelty": {"new_composition": entry.lineage.round > 0},
            "created": now(),
            **fields,
        }
        self.entries.update_one(
            {"_id": entry.id}, {"$setOnInsert": document, "$addToSet": {"campaigns": campaign}}, upsert=True
        )

    def share_entries(self, keys: Some[str], campaign: str) -> set[str]:
        """Note the campaign on entries computed before, and return those of the keys that exist."""
        found: set[str] = set()
        for some in chunks(keys):
            present = {document["_id"] for document in self.entries.find({"_id": {"$in": some}}, {"_id": 1})}
            self.entries.update_many({"_id": {"$in": sorted(present)}}, {"$addToSet": {"campaigns": campaign}})
            found |= present
        return found

    def read_entries(self, theory: str, elements: Some[str] | None = None) -> list[Entry]:
        """Entries of one theory from whatever campaign, in the order of their keys.

        Args:
            theory: level of theory.
            elements: leave out entries that hold any other element; None for all entries of the theory.
        """
        query = {"theory": theory} if elements is None else within(theory, elements)
        return sorted((to_entry(document) for document in self.entries.find(query)), key=lambda entry: entry.id)

    def near_hull(self, theory: str, elements: Some[str], distance: float) -> list[Entry]:
        """Entries at most `distance` (eV/atom) above the hull when it was last renewed, in the order of their keys."""
        query = {**within(theory, elements), "stability.e_above_hull": {"$lte": distance}}
        return sorted((to_entry(document) for document in self.entries.find(query)), key=lambda entry: entry.id)

    def structures(self, keys: Some[str]) -> dict[str, Structure]:
        """Relaxed crystals of entries by key.

        Raises:
            StoreError: an entry is missing.
        """
        found: dict[str, Structure] = {}
        for some in chunks(keys):
            for document in self.entries.find({"_id": {"$in": some}}, {"structure": 1}):
                found[document["_id"]] = Structure.from_dict(document["structure"])
        missing = sorted(set(keys) - found.keys())
        if missing:
            raise StoreError(f"{len(missing)} entries are not in database '{self.database.name}': {missing[0]}, …")
        return found

    def training_data(self, theory: str, elements: Some[str], until: datetime) -> list[tuple[str, Structure, float]]:
        """What networks learn from: key, crystal, formation energy (eV/atom).

        Every entry that was written up to a moment and placed on a hull, as it is relaxed; and, under `KEY:initial`,
        the crystal that its relaxation began from with the energy that it had there. Candidates are judged before they
        are relaxed: networks that have seen relaxed crystals alone take a bad geometry for a good one (measured on
        Li-Mg-Al-O: 3 eV/atom too low). Starts more than MAX_INITIAL above their end are left out.
        """
        query = {**within(theory, elements), "created": {"$lte": until}, "stability": {"$ne": None}}
        rows = []
        for document in sorted(self.entries.find(query), key=lambda document: document["_id"]):
            energy = float(document["stability"]["formation_energy"])
            rows.append((document["_id"], Structure.from_dict(document["structure"]), energy))
            if initial := document.get("initial"):
                above = (initial["energy"] - document["energy"]) / document["nsites"]
                if above <= MAX_INITIAL:
                    crystal = Structure.from_dict(initial["structure"])
                    rows.append((f"{document['_id']}:initial", crystal, energy + above))
        return rows

    def known_formulas(self, theory: str, elements: Some[str]) -> set[str]:
        """Reduced formulas of all entries of one theory within a set of elements."""
        return {document["formula"] for document in self.entries.find(within(theory, elements), {"formula": 1})}

    def set_stability(self, points: Mapping[str, HullPoint], moment: datetime, hull_size: int) -> None:
        """Write where entries stand, unless something later is written already.

        Args:
            points: entry -> place on the hull.
            moment: when the entries of this hull were read.
            hull_size: entries that the hull was made of.
        """
        older = {"$or": [{"stability": None}, {"stability.hull_date": {"$lte": moment}}]}
        operations = [
            UpdateOne(
                {"_id": key, **older},
                {"$set": {"stability": {**asdict(point), "hull_date": moment, "hull_entries": hull_size}}},
            )
            for key, point in points.items()
        ]
        if operations:
            self.entries.bulk_write(operations, ordered=False)

    def set_doubtful(self, reasons: Mapping[str, str]) -> None:
        """Keep entries out of every hull and training set, with the reason."""
        for key, reason in reasons.items():
            self.entries.update_one({"_id": key}, {"$set": {"stability": None, "doubtful": reason}})

    def stable(self, campaign: str | None, max_e_above_hull: float) -> list[dict[str, Any]]:
        """Compounds on or near the hull, the most stable first; crystals left out.

        Args:
            campaign: only entries of this campaign; None for all.
            max_e_above_hull: eV/atom.
        """
        query: dict[str, Any] = {"stability.e_above_hull": {"$lte": max_e_above_hull}, "nelements": {"$gte": 2}}
        if campaign:
            query["campaigns"] = campaign
        order = [
            ("stability.e_above_hull", ASCENDING),
            ("stability.phase_separation_energy", ASCENDING),
            ("_id", ASCENDING),
        ]
        return list(self.entries.find(query, {"structure": 0, "initial": 0}).sort(order))

    def entry(self, key: str) -> dict[str, Any] | None:
        """Document of one entry, without its crystal; None when there is none."""
        found = self.entries.find_one({"_id": key}, {"structure": 0, "initial": 0})
        return dict(found) if found else None


def within(theory: str, elements: Some[str]) -> dict[str, Any]:
    """Query for entries of one theory that hold no element outside the set.

    A few elements have few chemical systems, which an index finds; for many, every entry of the theory is looked at.
    """
    if len(elements) <= 6:
        systems = ["-".join(s) for n in range(1, len(elements) + 1) for s in combinations(sorted(elements), n)]
        return {"theory": theory, "chemsys": {"$in": systems}}
    return {"theory": theory, "elements": {"$not": {"$elemMatch": {"$nin": sorted(elements)}}}}


def to_entry(document: Mapping[str, Any]) -> Entry:
    """An entry from its document."""
    lineage = {key: value for key, value in document["lineage"].items() if key != "campaign"}
    return Entry(
        id=document["_id"],
        structure=Structure.from_dict(document["structure"]),
        energy=document["energy"],
        correction=document["correction"],
        theory=document["theory"],
        lineage=Lineage(**lineage),
    )
