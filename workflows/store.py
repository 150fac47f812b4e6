"""The database: the only door to MongoDB.

Collections (design, section 4): `campaigns`, `rounds`, `candidates`, `entries`, `models`. Every write is an upsert
under a content hash or a name, so a Firework that runs twice changes nothing the second time. Only features that
MongoDB and the embedded server share are used.

    campaigns   _id = name
    rounds      _id = name/number
    candidates  _id = name/candidate key; state: selected -> relaxed | failed
    entries     _id = content hash of input crystal and theory; shared by all campaigns
    models      _id = name/round
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any
from uuid import uuid4

import pymongo
from pymatgen.core import Structure
from pymongo import ASCENDING, UpdateOne
from pymongo.database import Database
from pymongo.errors import ConfigurationError, DuplicateKeyError, OperationFailure, PyMongoError

from gnome_torch.candidates.symmetry import symmetry
from gnome_torch.records import Candidate, Entry, HullPoint, Lineage, Prediction

SCHEMA_VERSION = 1
ENDED = ("relaxed", "failed")
# How long the holder of a claim may be silent before another may finish its work.
LEASE = timedelta(seconds=60)
MAX_INITIAL = 3.0  # eV/atom
SPACE_GROUP_TOLERANCE = 0.1  # angstrom, the Materials Project's


class StoreError(RuntimeError):
    """The database cannot be used; one line that says which and what to do."""


class CampaignExistsError(StoreError):
    """A campaign of this name is there already."""


def now() -> datetime:
    """Now, in UTC, at the millisecond resolution of MongoDB."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def job_store(database: Database[Any]) -> Any:
    """jobflow's store, in the same database: documents in `jobflow_outputs`, large objects in `jobflow_data`."""
    from jobflow import JobStore
    from maggma.stores import MongoStore

    return JobStore(
        MongoStore.from_collection(database["jobflow_outputs"]),
        additional_stores={"data": MongoStore.from_collection(database["jobflow_data"])},
    )


def check_server(database: Database[Any], timeout_s: float = 5.0) -> None:
    """Make sure that the server answers and holds this version's data, or none.

    Raises:
        StoreError: no answer, wrong credentials, a server that the driver does not speak to, or another version's data.
    """
    servers = database.client.topology_description.server_descriptions()
    host = ", ".join(f"{name}:{port}" for name, port in sorted(servers, key=str))
    try:
        with pymongo.timeout(timeout_s):
            database.client.admin.command("ping")
            schema = database["schema"].find_one({"_id": "gnome-torch"})
    except ConfigurationError as error:
        raise StoreError(
            f"database at {host}: {error}: use a MongoDB server that pymongo {pymongo.version} speaks to"
        ) from None
    except OperationFailure as error:
        reason = (error.details or {}).get("errmsg", error)
        raise StoreError(
            f"database '{database.name}' at {host} refused us ({reason}): "
            "check username and password in my_launchpad.yaml"
        ) from None
    except PyMongoError:
        raise StoreError(
            f"no database answers at {host}: start the embedded one with 'gnome db start', "
            "or name yours in my_launchpad.yaml"
        ) from None
    if schema and schema["version"] != SCHEMA_VERSION:
        raise StoreError(
            f"database '{database.name}' at {host} holds data of version {schema['version']}, this gnome-torch writes "
            f"version {SCHEMA_VERSION}: name another database in my_launchpad.yaml"
        )


class Store:
    """Reads and writes of the loop.

    Args:
        database: the LaunchPad's database (`launchpad.db`).
    """

    def __init__(self, database: Database[Any]) -> None:
        self.database = database
        self.campaigns = database["campaigns"]
        self.rounds = database["rounds"]
        self.candidates = database["candidates"]
        self.entries = database["entries"]
        self.models = database["models"]

    def prepare(self) -> None:
        """Create the indexes and note the version of the data; safe to repeat."""
        self.database["schema"].update_one(
            {"_id": "gnome-torch"}, {"$setOnInsert": {"version": SCHEMA_VERSION}}, upsert=True
        )
        self.rounds.create_index([("campaign", ASCENDING), ("number", ASCENDING)])
        self.candidates.create_index([("campaign", ASCENDING), ("round", ASCENDING), ("state", ASCENDING)])
        self.entries.create_index([("theory", ASCENDING), ("chemsys", ASCENDING)])
        self.entries.create_index([("theory", ASCENDING), ("formula", ASCENDING)])
        self.entries.create_index([("campaigns", ASCENDING), ("stability.e_above_hull", ASCENDING)])
        self.models.create_index([("campaign", ASCENDING), ("round", ASCENDING)])
        # what keeps a workflow from being added twice, see workflows/launch.py
        self.database["workflows"].create_index([("metadata.gnome_key", ASCENDING)])

    # campaigns

    def has_campaign(self, name: str) -> bool:
        return self.campaigns.find_one({"_id": name}, {"_id": 1}) is not None

    def check_name_is_free(self, name: str) -> None:
        """Before anything is written; `create_campaign` makes sure.

        Raises:
            CampaignExistsError: it is taken.
        """
        if self.has_campaign(name):
            raise CampaignExistsError(
                f"campaign '{name}' exists already: see it with 'gnome campaign status {name}', "
                "or choose another name in the file"
            )

    def create_campaign(
        self, name: str, settings: Mapping[str, Any], theory: str, scheme: str, directory: str, uid: str
    ) -> None:
        """Reserve the name.

        Args:
            name: of the campaign.
            settings: as validated.
            theory: key of its level of theory.
            scheme: corrections of that theory.
            directory: where its files are, for every worker.
            uid: tells it from a campaign of the same name in another database.

        Raises:
            CampaignExistsError: the name is taken.
        """
        document = {
            "_id": name,
            "settings": dict(settings),
            "theory": theory,
            "scheme": scheme,
            "directory": directory,
            "uid": uid,
            "state": "running",
            "reason": "",
            "created": now(),
        }
        try:
            self.campaigns.insert_one(document)
        except DuplicateKeyError:
            self.check_name_is_free(name)

    def campaign(self, name: str) -> dict[str, Any]:
        """One campaign.

        Raises:
            StoreError: there is none of this name.
        """
        found = self.campaigns.find_one({"_id": name})
        if found is None:
            names = ", ".join(sorted(c["_id"] for c in self.campaigns.find({}, {"_id": 1}))) or "none"
            raise StoreError(f"no campaign '{name}' in database '{self.database.name}' (there are: {names})")
        return dict(found)

    def all_campaigns(self) -> list[dict[str, Any]]:
        return list(self.campaigns.find({}).sort([("created", ASCENDING), ("_id", ASCENDING)]))

    def end_campaign(self, name: str, state: str, reason: str) -> None:
        """Mark a running campaign as "finished" or "failed"; one that has ended keeps its first end."""
        self.campaigns.update_one(
            {"_id": name, "state": "running"}, {"$set": {"state": state, "reason": reason, "ended": now()}}
        )

    # rounds

    def open_round(self, campaign: str, number: int) -> None:
        self.rounds.update_one(
            {"_id": round_id(campaign, number)},
            {"$setOnInsert": {"campaign": campaign, "number": number, "started": now()}},
            upsert=True,
        )

    def round(self, campaign: str, number: int) -> dict[str, Any]:
        """One round; empty when it has not begun."""
        return dict(self.rounds.find_one({"_id": round_id(campaign, number)}) or {})

    def all_rounds(self, campaign: str) -> list[dict[str, Any]]:
        return list(self.rounds.find({"campaign": campaign}).sort("number", ASCENDING))

    def update_round(self, campaign: str, number: int, **fields: Any) -> None:
        self.rounds.update_one({"_id": round_id(campaign, number)}, {"$set": fields}, upsert=True)

    def close_round(self, campaign: str, number: int, result: Mapping[str, Any]) -> None:
        """Write what a round brought. The moment of its first close stays: it says which data the next networks see."""
        key = {"_id": round_id(campaign, number)}
        self.rounds.update_one({**key, "closed": None}, {"$set": {"closed": now()}})
        self.rounds.update_one(key, {"$set": {"result": dict(result)}})

    @contextmanager
    def claim(self, campaign: str, number: int, step: str) -> Iterator[bool]:
        """Do a step of a round once, whoever and however many try.

        Yields True to the one who is to do it. The others wait until it is done and get False. The holder tells every
        quarter of LEASE that it is alive; when it dies the claim is free again after LEASE (clocks of the machines may
        differ by less than that), and a step must therefore be able to finish what was begun. An error inside the
        block frees the claim at once.
        """
        key = {"_id": round_id(campaign, number)}
        field = f"claims.{step}"
        token = uuid4().hex
        while True:
            mine = {"$set": {field: {"token": token, "at": now(), "done": False}}}
            free = {"$or": [{field: None}, {f"{field}.done": False, f"{field}.at": {"$lt": now() - LEASE}}]}
            if self.rounds.find_one_and_update({**key, **free}, mine) is not None:
                break
            claim = (self.rounds.find_one(key, {"claims": 1}) or {}).get("claims", {}).get(step)
            if claim is not None and claim["done"]:
                yield False
                return
            time.sleep(0.2)
        done = threading.Event()
        heart = threading.Thread(target=self._beat, args=({**key, f"{field}.token": token}, field, done), daemon=True)
        heart.start()
        try:
            yield True
        except BaseException:
            self.rounds.update_one({**key, f"{field}.token": token}, {"$set": {field: None}})
            raise
        finally:
            done.set()
            heart.join()
        self.rounds.update_one({**key, f"{field}.token": token}, {"$set": {f"{field}.done": True}})

    def _beat(self, mine: Mapping[str, Any], field: str, done: threading.Event) -> None:
        while not done.wait(LEASE.total_seconds() / 4):
            self.rounds.update_one(mine, {"$set": {f"{field}.at": now()}})

    # relaxations

    def job_output(self, uuid: str) -> dict[str, Any] | None:
        """Output of a jobflow job, None when it has none."""
        store = job_store(self.database)
        store.connect()
        document = store.query_one({"uuid": uuid}, sort={"index": -1}, load=True)
        return document["output"] if document else None

    # candidates

    def select_candidates(
        self,
        campaign: str,
        number: int,
        chosen: Iterable[tuple[Candidate, Structure, Prediction | None, float | None]],
        model_id: str | None,
    ) -> None:
        """Write the candidates that go to relaxation; those there already are left as they are.

        Args:
            campaign: name.
            number: round.
            chosen: candidate, its crystal, what was predicted, predicted distance to the hull (eV/atom).
            model_id: ensemble that predicted.
        """
        operations = []
        for candidate, structure, prediction, distance in chosen:
            document = {
                "campaign": campaign,
                "round": number,
                "state": "selected",
                "formula": candidate.reduced_formula,
                "structure": structure.as_dict(),
                "lineage": {**asdict(candidate.lineage), "round": number, "model_id": model_id},
                "prediction": {**asdict(prediction), "e_above_hull": distance} if prediction else None,
                "selected": now(),
            }
            key = f"{campaign}/{candidate.id}"
            operations.append(UpdateOne({"_id": key}, {"$setOnInsert": document}, upsert=True))
        if operations:
            self.candidates.bulk_write(operations, ordered=False)

    def candidate(self, key: str) -> dict[str, Any]:
        """One candidate.

        Raises:
            StoreError: there is none.
        """
        found = self.candidates.find_one({"_id": key})
        if found is None:
            raise StoreError(f"no candidate '{key}' in database '{self.database.name}'")
        return dict(found)

    def round_candidates(self, campaign: str, number: int, state: str | None = None) -> list[dict[str, Any]]:
        query: dict[str, Any] = {"campaign": campaign, "round": number}
        if state:
            query["state"] = state
        return list(self.candidates.find(query).sort("_id", ASCENDING))

    def end_candidate(self, key: str, state: str, **fields: Any) -> None:
        """Record how a relaxation ended. A success replaces a failure (a rerun), never the other way round."""
        replaceable = ["selected", "failed"] if state == "relaxed" else ["selected"]
        self.candidates.update_one(
            {"_id": key, "state": {"$in": replaceable}}, {"$set": {**fields, "state": state, "ended": now()}}
        )

    def count_candidates(self, campaign: str, number: int, states: Collection[str] | None = None) -> int:
        """Candidates of a round, of the given states or all.

        Counted from the records themselves: a count that is kept beside them goes wrong when a worker dies between
        the two writes, or runs twice.
        """
        query: dict[str, Any] = {"campaign": campaign, "round": number}
        if states is not None:
            query["state"] = {"$in": list(states)}
        return int(self.candidates.count_documents(query))

    def tally_candidates(self, campaign: str) -> dict[int, dict[str, int]]:
        """For each round, how many candidates are in each state."""
        stages: list[dict[str, Any]] = [
            {"$match": {"campaign": campaign}},
            {"$group": {"_id": {"round": "$round", "state": "$state"}, "count": {"$sum": 1}}},
        ]
        tally: dict[int, dict[str, int]] = {}
        for group in self.candidates.aggregate(stages):
            tally.setdefault(group["_id"]["round"], {})[group["_id"]["state"]] = group["count"]
        return tally

    def unended(self, campaign: str) -> int:
        """Candidates of all rounds whose relaxation has not ended."""
        return int(self.candidates.count_documents({"campaign": campaign, "state": "selected"}))

    def tried_candidates(self, campaign: str) -> set[str]:
        """Candidate keys that a campaign has selected in any round."""
        return {document["_id"] for document in self.candidates.find({"campaign": campaign}, {"_id": 1})}

    # entries

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

    def share_entries(self, keys: Collection[str], campaign: str) -> set[str]:
        """Note the campaign on entries computed before, and return those of the keys that exist."""
        found: set[str] = set()
        for some in _chunks(keys):
            present = {document["_id"] for document in self.entries.find({"_id": {"$in": some}}, {"_id": 1})}
            self.entries.update_many({"_id": {"$in": sorted(present)}}, {"$addToSet": {"campaigns": campaign}})
            found |= present
        return found

    def read_entries(self, theory: str, elements: Collection[str] | None = None) -> list[Entry]:
        """Entries of one theory from whatever campaign, in the order of their keys.

        Args:
            theory: level of theory.
            elements: leave out entries that hold any other element; None for all entries of the theory.
        """
        query = {"theory": theory} if elements is None else within(theory, elements)
        return sorted((to_entry(document) for document in self.entries.find(query)), key=lambda entry: entry.id)

    def near_hull(self, theory: str, elements: Collection[str], distance: float) -> list[Entry]:
        """Entries at most `distance` (eV/atom) above the hull when it was last renewed, in the order of their keys."""
        query = {**within(theory, elements), "stability.e_above_hull": {"$lte": distance}}
        return sorted((to_entry(document) for document in self.entries.find(query)), key=lambda entry: entry.id)

    def structures(self, keys: Collection[str]) -> dict[str, Structure]:
        """Relaxed crystals of entries by key.

        Raises:
            StoreError: an entry is missing.
        """
        found: dict[str, Structure] = {}
        for some in _chunks(keys):
            for document in self.entries.find({"_id": {"$in": some}}, {"structure": 1}):
                found[document["_id"]] = Structure.from_dict(document["structure"])
        missing = sorted(set(keys) - found.keys())
        if missing:
            raise StoreError(f"{len(missing)} entries are not in database '{self.database.name}': {missing[0]}, …")
        return found

    def training_data(
        self, theory: str, elements: Collection[str], until: datetime
    ) -> list[tuple[str, Structure, float]]:
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

    def known_formulas(self, theory: str, elements: Collection[str]) -> set[str]:
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

    def first_formulas(self, campaign: str) -> set[str]:
        """Reduced formulas of a campaign's first data."""
        query = {"campaign": campaign, "round": 0}
        return {document["formula"] for document in self.candidates.find(query, {"formula": 1})}

    def entry(self, key: str) -> dict[str, Any] | None:
        """Document of one entry, without its crystal; None when there is none."""
        found = self.entries.find_one({"_id": key}, {"structure": 0, "initial": 0})
        return dict(found) if found else None

    # models

    def add_model(self, key: str, **fields: Any) -> None:
        """Write an ensemble, replacing what an earlier run of the same stage wrote."""
        self.models.update_one({"_id": key}, {"$set": {**fields, "created": now()}}, upsert=True)

    def model(self, key: str) -> dict[str, Any]:
        """One ensemble; empty when it has not been trained."""
        return dict(self.models.find_one({"_id": key}) or {})


def round_id(campaign: str, number: int) -> str:
    return f"{campaign}/{number}"


def within(theory: str, elements: Collection[str]) -> dict[str, Any]:
    """Query for entries of one theory that hold no element outside the set.

    A few elements have few chemical systems, which an index finds; for many, every entry of the theory is looked at.
    """
    if len(elements) <= 6:
        systems = ["-".join(s) for n in range(1, len(elements) + 1) for s in combinations(sorted(elements), n)]
        return {"theory": theory, "chemsys": {"$in": systems}}
    return {"theory": theory, "elements": {"$not": {"$elemMatch": {"$nin": sorted(elements)}}}}


def _chunks(keys: Collection[str], size: int = 200) -> Iterator[list[str]]:
    """Keys in pieces: the embedded server's `$in` is quadratic (1 s for 1,000 keys)."""
    keys = sorted(keys)
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


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
