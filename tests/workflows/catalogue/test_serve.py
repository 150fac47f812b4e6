"""`gnome serve`: a real server process on the finds of a small campaign, asked by every client that is at hand."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import uvicorn
from ase import Atoms
from campaigns import run_all, small_campaign
from commands import Gnome
from fastapi.testclient import TestClient
from fireworks import LaunchPad
from optimade.adapters import Structure as OptimadeStructure
from optimade.client import OptimadeClient
from pymatgen.core import Structure
from pymatgen.ext.optimade import OptimadeRester

from gnome_torch.records import EntryEnergy
from workflows.catalogue.serving import documents, running
from workflows.catalogue.serving.application import Server
from workflows.catalogue.serving.documents import refresh
from workflows.catalogue.serving.fields import FIELDS
from workflows.store import OutsideEntry, Store, now
from workflows.store.embedded import EmbeddedDatabase

NAME = "test_serve"
PASSWORD = "correct horse"


def environment(database: EmbeddedDatabase, name: str) -> dict[str, str]:
    uri = f"mongodb://{database.host}:{database.port}"
    return {**os.environ, "GNOME_MONGODB_URI": uri, "GNOME_MONGODB_NAME": name}


@contextmanager
def served(database: EmbeddedDatabase, *arguments: object) -> Iterator[str]:
    """A running `gnome serve`: its address."""
    command = [sys.executable, "-m", "workflows.cli", "serve", "--port", "0", *map(str, arguments)]
    process = subprocess.Popen(
        command, env=environment(database, NAME), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"http://[\d.]+:\d+", said)
        assert found, f"it said {said!r}"
        while "structures are served" not in said:
            said = process.stdout.readline()
            assert said, "it ended"
        yield found[0]
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def store(database: EmbeddedDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A small campaign that has run."""
    pad = LaunchPad(host=database.host, port=database.port, name=NAME, strm_lvl="WARNING")
    pad.reset("", require_password=False)
    directory = tmp_path_factory.mktemp("serve")
    yield run_all(pad, small_campaign(directory), directory / "runs")
    pad.connection.close()


@pytest.fixture(scope="module")
def address(database: EmbeddedDatabase, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    report = tmp_path_factory.mktemp("report")
    (report / "index.html").write_text("<h1>the report</h1>")
    with served(database, "--campaign", "emt", "--report", report) as found:
        yield found


def structures(address: str, **query: Any) -> list[dict[str, Any]]:
    """All structures, page after page."""
    answer = requests.get(f"{address}/v1/structures", params=query, timeout=30).json()
    found = list(answer["data"])
    while following := answer["links"]["next"]:
        answer = requests.get(following, timeout=30).json()
        assert answer["data"], "an empty page"
        found += answer["data"]
    assert answer["meta"]["data_returned"] == len(found)
    return found


# ---- clients


def test_validator(address: str) -> None:
    command = [Path(sys.executable).with_name("optimade-validator"), "--json", f"{address}/v1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    summary = json.loads(done.stdout)
    assert done.returncode == 0
    counts = ("failure_count", "internal_failure_count", "optional_failure_count")
    assert {name: summary[name] for name in counts} == dict.fromkeys(counts, 0)
    assert summary["success_count"] > 50
    assert summary["optional_success_count"] > 15


def test_our_own_client(address: str, database: EmbeddedDatabase, store: Store) -> None:
    command = [sys.executable, "-m", "workflows.cli", "data", "import", "optimade", address, "--theory", "served"]
    command += ["--energy", "_gnome_energy_per_atom_uncorrected"]
    other = f"{NAME}_imported"
    done = subprocess.run(
        command, env=environment(database, other), capture_output=True, text=True, timeout=120, check=True
    )
    assert "left out" not in done.stderr

    def energies(name: str) -> list[tuple[str, float]]:
        found = store.database.client[name]["entries"].find({"structure": {"$ne": None}})
        return sorted((d["formula"], round(d["energy"] / d["nsites"], 8)) for d in found)

    assert len(energies(NAME)) > 5
    assert energies(other) == energies(NAME)


def test_what_the_server_warns_of_is_passed_on(database: EmbeddedDatabase, store: Store) -> None:
    refresh(store)
    server = Server(store, None, None, None)
    server.structures.notice = "some are missing yet"
    listener = socket.create_server(("127.0.0.1", 0))
    running_server = uvicorn.Server(uvicorn.Config(server.application, log_level="error"))
    thread = threading.Thread(target=running_server.run, args=([listener],))
    thread.start()
    try:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        command = [sys.executable, "-m", "workflows.cli", "data", "import", "optimade", address, "--theory", "early"]
        command += ["--energy", "_gnome_energy_per_atom"]
        there = environment(database, f"{NAME}_early")
        done = subprocess.run(command, env=there, capture_output=True, text=True, timeout=120, check=True)
    finally:
        running_server.should_exit = True
        thread.join(20)
    assert f"gnome: optimade:{address} warns: some are missing yet\n" in done.stderr


def test_pymatgen(address: str, store: Store) -> None:
    with OptimadeRester(address, timeout=30) as rester:
        [found] = rester.get_structures(elements=["Cu", "Au"], nelements=2).values()
    compounds = {d["_id"]: d["structure"] for d in store.database["entries"].find({"nelements": 2})}
    assert found.keys() == compounds.keys()
    for key, crystal in found.items():
        assert Structure.from_dict(compounds[key]).matches(crystal)


def test_optimade_and_ase(address: str, store: Store) -> None:
    """ASE asks no server itself: the client of the package `optimade` does, and its adapter makes Atoms."""
    client = OptimadeClient(base_urls=[address], use_async=False, silent=True)
    query = 'elements HAS ALL "Cu","Au"'
    [answer] = client.get(query)["structures"][query].values()
    entries = {d["_id"]: d["structure"] for d in store.database["entries"].find({"elements": ["Au", "Cu"]})}
    assert {row["id"] for row in answer["data"]} == entries.keys()
    for row in answer["data"]:
        atoms = OptimadeStructure(row).convert("ase")
        crystal = Structure.from_dict(entries[row["id"]])
        assert isinstance(atoms, Atoms)
        assert atoms.get_chemical_symbols() == [site.specie.symbol for site in crystal]
        assert atoms.cell.array == pytest.approx(crystal.lattice.matrix)
        assert atoms.positions == pytest.approx(crystal.cart_coords)
        assert atoms.pbc.all()
        assert atoms.info["_gnome_energy_per_atom"] == row["attributes"]["_gnome_energy_per_atom"]


# ---- what is served


def test_properties(address: str, store: Store) -> None:
    rows = structures(address, filter="nelements=2", sort="_gnome_e_above_hull")
    distances = [row["attributes"]["_gnome_e_above_hull"] for row in rows]
    assert distances == sorted(distances)
    for row in rows:
        entry = store.entries.get(row["id"])
        assert entry is not None
        served = row["attributes"]
        assert served["_gnome_e_above_hull"] == entry["stability"]["e_above_hull"]
        assert served["_gnome_energy_per_atom"] == entry["energy_per_atom"]
        assert served["_gnome_campaigns"] == ["emt"]
        assert served["_gnome_new_composition"] == (entry["lineage"]["round"] > 0)
        assert served["space_group_it_number"] == entry["spacegroup"]["number"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", served["last_modified"])
        assert row["relationships"]["references"]["data"] == [{"type": "references", "id": "merchant2023"}]


def test_definitions(address: str) -> None:
    properties = requests.get(f"{address}/v1/info/structures", timeout=30).json()["data"]["properties"]
    for field in FIELDS:
        shown = properties[field.key]
        assert (shown["type"], shown.get("unit"), shown["description"]) == (field.type, field.unit, field.description)
    assert {name for name in properties if name.startswith("_")} == {field.key for field in FIELDS}


@pytest.mark.parametrize(
    "query", [{}, {"sort": "-_gnome_e_above_hull"}, {"page_number": 1}, {"page_offset": 1}, {"filter": "nelements=2"}]
)
def test_pages(address: str, query: dict[str, Any]) -> None:
    answer = requests.get(f"{address}/v1/structures", params=query, timeout=30).json()
    whole = [row["id"] for row in answer["data"]]
    assert answer["links"]["next"] is None
    paged = []
    following: str | None = f"{address}/v1/structures"
    parameters: dict[str, Any] | None = {**query, "page_limit": 2}
    while following:
        answer = requests.get(following, params=parameters, timeout=30).json()
        assert len(answer["data"]) in (1, 2)
        paged += [row["id"] for row in answer["data"]]
        following, parameters = answer["links"]["next"], None
    assert len(whole) > 2
    assert paged == whole


def test_report_lies_beside(address: str) -> None:
    assert requests.get(f"{address}/report/", timeout=30).text == "<h1>the report</h1>"


def test_only_what_changed_is_written(store: Store) -> None:
    refresh(store)
    published = store.published.collection("structures")
    assert refresh(store).changed == 0
    before = {d["_id"]: d for d in published.find({})}
    first, second, *_ = sorted(before)
    published.update_many({}, {"$set": {"untouched": True}})
    try:
        store.database["entries"].update_one({"_id": first}, {"$set": {"stability.e_above_hull": 0.5}})
        store.database["entries"].update_one({"_id": second}, {"$set": {"doubtful": "no crystal has such an energy"}})
        seen = refresh(store)
        assert seen.changed == 2
        after = {d["_id"]: d for d in published.find({})}
        assert after.keys() == before.keys() - {second}
        assert after[first]["_gnome_e_above_hull"] == 0.5
        assert [key for key, d in after.items() if "untouched" not in d] == [first]
        assert refresh(store).state == seen.state
    finally:
        store.database["entries"].update_one({"_id": first}, {"$set": {"stability": store_stability(before[first])}})
        store.database["entries"].update_one({"_id": second}, {"$unset": {"doubtful": ""}})
        published.delete_many({"untouched": True})
        refresh(store)
    assert {d["_id"] for d in published.find({})} == before.keys()


def test_a_look_at_what_changed_sees_what_a_full_one_does(store: Store) -> None:
    refresh(store)
    published = store.published.collection("structures")
    before = {d["_id"]: d for d in published.find({})}
    entries = list(store.published.found_crystals(before))
    formula = next(d["formula"] for d in entries if d["novelty"]["new_composition"])
    of_formula = {d["_id"] for d in entries if d["formula"] == formula}
    rest = sorted(before.keys() - of_formula)
    moment = now()
    imported = OutsideEntry("1", None, EntryEnergy("imported", formula, -1.0, 0.0, "other"))
    store.entries.add_outside([imported], "elsewhere", "", replaces=False)
    store.entries.set_novelty(rest[0], prototype="another")
    store.entries.set_doubtful({rest[1]: "no crystal has such an energy"})
    store.entries.share([rest[2]], "another")
    try:
        assert refresh(store, since=now() + timedelta(seconds=1)).changed == 0
        assert refresh(store, since=moment).changed == len(of_formula) + 3
        assert refresh(store).changed == 0
        after = {d["_id"]: d for d in published.find({})}
        assert before.keys() - after.keys() == {rest[1]}
        changed = {key for key, document in after.items() if document["digest"] != before[key]["digest"]}
        assert changed == of_formula | {rest[0], rest[2]}
    finally:
        store.database["entries"].delete_one({"_id": "imported"})
        for entry in (store.entries.get(key) or {} for key in rest[:3]):
            old = before[entry["_id"]]
            kept = {"stability": store_stability(old), "novelty.prototype": old["_gnome_prototype"]}
            change = {"$set": {**kept, "campaigns": ["emt"]}, "$unset": {"doubtful": ""}}
            store.database["entries"].update_one({"_id": entry["_id"]}, change)
        refresh(store)
    assert {d["_id"]: d["digest"] for d in published.find({})} == {k: d["digest"] for k, d in before.items()}


def test_while_documents_are_written(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every answer is whole and says that more is to come; who pages on sees each of those he began with once."""
    refresh(store)
    published = store.published.collection("structures")
    whole = {d["_id"]: d["_gnome_e_above_hull"] for d in published.find({})}
    withdrawn = {**published.find_one({}), "_id": "0", "id": "0", "digest": "of an entry that is gone"}
    published.delete_many({})
    published.insert_one(withdrawn)
    whole["0"] = withdrawn["_gnome_e_above_hull"]
    server = Server(store, None, None, None)
    browser = TestClient(server.application, base_url="http://127.0.0.1")
    monkeypatch.setattr(documents, "chunks", lambda keys: [[key] for key in sorted(keys)])
    monkeypatch.setattr(running, "TELL_S", 0.0)
    monkeypatch.setattr(running, "TELL_AGAIN", 0)
    began: dict[str, tuple[list[str], str | None]] = {}
    grew = []

    def ask(address: str) -> tuple[dict[str, Any], list[str]]:
        with warnings.catch_warnings():  # optimade's server puts a hook of its own there
            answer = browser.get(address).json()
        for row in answer["data"]:
            assert row["attributes"]["_gnome_e_above_hull"] == whole[row["id"]]
            assert row["attributes"]["species_at_sites"]
        return answer, [row["id"] for row in answer["data"]]

    def look(said: str) -> None:
        for name, (seen, following) in began.items():
            if following:
                answer, ids = ask(following)
                began[name] = ([*seen, *ids], answer["links"]["next"])
        answer, ids = ask("/v1/structures")
        written = len(ids)
        assert len(ids) == answer["meta"]["data_returned"] == answer["meta"]["data_available"]
        assert bool(answer["meta"].get("warnings")) == (" written" in said)
        if written == 4:
            for name, query in (("by id", ""), ("sorted", "&sort=-_gnome_e_above_hull")):
                answer, ids = ask(f"/v1/structures?page_limit=1{query}")
                began[name] = (ids, answer["links"]["next"])
        grew.append(written)

    running.Follower(store, server.structures, look).begin()
    assert grew == [1, *range(len(whole))]  # what is gone goes first
    first = sorted(whole.keys() - {"0"})[:4]
    assert began["by id"][0][:4] == first
    assert began["sorted"] == (sorted(first, key=lambda key: (-whole[key], key)), None)


def test_what_is_not_on_a_hull_yet_is_served(store: Store) -> None:
    found = store.database["entries"].find_one({"nelements": 2})
    store.database["entries"].update_one({"_id": found["_id"]}, {"$set": {"stability": None}})
    try:
        refresh(store)
        shown = store.published.collection("structures").find_one({"_id": found["_id"]})
        assert shown["species_at_sites"]
        assert {shown[field.key] for field in FIELDS if "hull" in field.name} == {None}
    finally:
        store.database["entries"].replace_one({"_id": found["_id"]}, found)
        refresh(store)


def test_a_look_that_fails_is_made_good(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of ids could not be read; then nobody reads what the server says any more."""
    structures = Server(store, None, None, None).structures
    forget, looks, stop = structures.forget, [], threading.Event()

    def forget_at_the_second_time() -> None:
        monkeypatch.setattr(structures, "forget", forget)
        raise ConnectionError("reset by peer")

    def noted(store: Store, since: datetime | None, *rest: Any) -> Any:
        looks.append(since)
        if len(looks) == 4:
            stop.set()
        return refresh(store, since, *rest)

    def said(line: str) -> None:
        raise BrokenPipeError(line)

    monkeypatch.setattr(structures, "forget", forget_at_the_second_time)
    monkeypatch.setattr(running, "refresh", noted)
    monkeypatch.setattr(running, "QUIET", 0)
    follower = running.Follower(store, structures, said)
    follower.run(0.01, stop)
    assert [since is None for since in looks] == [True, True, False, False]
    assert structures.notice is None


def test_what_is_computed_later_is_served(database: EmbeddedDatabase, store: Store) -> None:
    key = store.database["entries"].find_one({"nelements": 2})["_id"]
    store.campaigns.create("young", {}, "emt", "none", "", "")
    try:
        with served(database, "--campaign", "young", "--refresh-s", 1) as found:
            assert structures(found) == []
            store.entries.share([key], "young")
            deadline = time.monotonic() + 20
            while not (rows := structures(found)) and time.monotonic() < deadline:
                time.sleep(0.2)
            assert [row["id"] for row in rows] == [key]
    finally:
        store.database["entries"].update_many({}, {"$pull": {"campaigns": "young"}})
        store.database["campaigns"].delete_one({"_id": "young"})
        refresh(store)


def store_stability(document: dict[str, Any]) -> dict[str, Any]:
    names = ("e_above_hull", "phase_separation_energy", "formation_energy")
    return {name: document[f"_gnome_{name}"] for name in names}


def test_second_opinions_and_imports_are_told(store: Store) -> None:
    """A phase at another theory is no structure of its own, but a property of the phase."""
    entry = store.database["entries"].find_one({"lineage.round": 1})
    assert entry is not None
    key = entry["_id"]
    opinion = {**entry, "_id": "opinion", "recheck_of": key, "campaigns": [], "theory": "better"}
    opinion["stability"] = {**entry["stability"], "e_above_hull": 0.25}
    outside = {"source": "elsewhere", "key": "1", "version": "", "record": "r"}
    known = {**entry, "_id": "known", "campaigns": [], "theory": "other", "outside": outside}
    published = store.published.collection("structures")
    refresh(store)
    assert published.find_one({"_id": key})["_gnome_new_composition"] is True
    store.database["entries"].insert_many([opinion, known])
    try:
        refresh(store)
        told = published.find_one({"_id": key})
        assert (told["_gnome_second_opinion_theory"], told["_gnome_second_opinion_e_above_hull"]) == ("better", 0.25)
        assert told["_gnome_new_composition"] is False
        assert published.count_documents({"_id": {"$in": ["opinion", "known"]}}) == 0
    finally:
        store.database["entries"].delete_many({"_id": {"$in": ["opinion", "known"]}})
        refresh(store)


def test_a_campaign_alone(database: EmbeddedDatabase, store: Store) -> None:
    """What another campaign has is not served, and not counted."""
    shared = sorted(d["_id"] for d in store.database["entries"].find({}, {"_id": 1}))[:3]
    store.campaigns.create("other", {}, "emt", "none", "", "")
    store.entries.share(shared, "other")
    try:
        with served(database, "--campaign", "other") as found:
            assert [row["id"] for row in structures(found)] == shared
            assert len(structures(found, filter='_gnome_campaigns HAS "emt"')) == 3
            theirs = next(d["_id"] for d in store.database["entries"].find({}, {"_id": 1}) if d["_id"] not in shared)
            assert requests.get(f"{found}/v1/structures/{theirs}", timeout=30).json()["data"] is None
            answer = requests.get(f"{found}/v1/structures", timeout=30).json()
            assert answer["meta"]["data_available"] == 3
    finally:
        store.database["entries"].update_many({}, {"$pull": {"campaigns": "other"}})
        store.database["campaigns"].delete_one({"_id": "other"})


# ---- who may ask


def test_no_other_site_may_ask(address: str) -> None:
    """A page in the user's browser: neither from another origin, nor under a name that leads to this machine."""
    url = f"{address}/v1/structures"
    answer = requests.get(url, headers={"Origin": "https://elsewhere.example"}, timeout=30)
    assert "access-control-allow-origin" not in answer.headers
    assert requests.get(url, headers={"Host": "elsewhere.example"}, timeout=30).status_code == 400


def test_password(database: EmbeddedDatabase, store: Store, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    file.chmod(0o600)
    with served(database, "--host", "0.0.0.0", "--password-file", file) as found:
        url = found.replace("0.0.0.0", "127.0.0.1") + "/v1/structures"
        for credentials in (None, ("gnome", "wrong"), ("other", PASSWORD), ("gnome", "")):
            refused = requests.get(url, auth=credentials, timeout=30)
            assert refused.status_code == 401
            assert "data" not in refused.text
        assert requests.get(url, headers={"Authorization": "Basic !"}, timeout=30).status_code == 401
        assert requests.get(url, auth=("gnome", PASSWORD), timeout=30).json()["data"]


def test_bad_input(
    gnome: Gnome, database: EmbeddedDatabase, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object) -> str:
        status, out, err = gnome("serve", "--port", "0", *arguments)
        assert (status, out, err.count("\n")) == (1, "", 1), err
        return err

    for name, value in environment(database, NAME).items():
        monkeypatch.setenv(name, value)
    secret = tmp_path / "password"
    assert "no campaign 'other'" in refused("--campaign", "other")
    assert "needs a password" in refused("--host", "0.0.0.0")
    assert "needs a password" in refused("--host", "example.org")
    assert "cannot be read" in refused("--host", "0.0.0.0", "--password-file", secret)
    secret.write_text("x")
    secret.chmod(0o644)
    assert "chmod 600" in refused("--host", "0.0.0.0", "--password-file", secret)
    secret.chmod(0o600)
    secret.write_text("\n")
    assert "no password" in refused("--host", "0.0.0.0", "--password-file", secret)
    assert "no index.html" in refused("--report", tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "already in use" in refused("--port", taken.getsockname()[1])
    monkeypatch.setenv("GNOME_MONGODB_URI", "mongodb://127.0.0.1:1")
    assert "no database answers" in refused()
