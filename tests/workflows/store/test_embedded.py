"""The embedded database: no id handed out twice, nothing acknowledged lost, and a server that is easy to live with.

The writers of the concurrency tests are real processes: this file runs itself as a script, `WORKERS` names the jobs.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from fireworks import Firework, LaunchPad, ScriptTask, Workflow
from pymongo import MongoClient, ReturnDocument
from pymongo.errors import DuplicateKeyError, PyMongoError

from workflows.ground.server import EmbeddedDatabaseError, serialise_find_and_modify
from workflows.store.embedded import EmbeddedDatabase

PROCESSES = 4
WORKFLOWS_EACH = 40
NUMBERS_EACH = 60

# ---------------------------------------------------------------------------------------------------------------------
# Jobs that run in processes of their own, and print one JSON document
# ---------------------------------------------------------------------------------------------------------------------


def connect(port: int) -> MongoClient:
    return MongoClient("127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=5000)


def add_workflows(port: int, name: str, worker: str) -> dict[str, list]:
    pad = LaunchPad(host="127.0.0.1", port=port, name=name, strm_lvl="WARNING")
    fw_ids, launch_ids, errors = [], [], []
    wait_for_the_others()
    for number in range(WORKFLOWS_EACH):
        first = Firework(ScriptTask.from_str("true"), name=f"{worker}-{number}-a", fw_id=-1)
        second = Firework(ScriptTask.from_str("true"), name=f"{worker}-{number}-b", fw_id=-2)
        try:
            fw_ids += pad.add_wf(Workflow([first, second], {first: [second]}, name=f"{worker}-{number}")).values()
            launch_ids.append(pad.get_new_launch_id())
        except Exception as error:  # every kind is counted
            errors.append(repr(error))
    return {"fw_ids": fw_ids, "launch_ids": launch_ids, "errors": errors}


def take_numbers(port: int, name: str, worker: str) -> dict[str, list[int]]:
    counters = connect(port)[name].counters
    taken: dict[str, list[int]] = {"before": [], "after": [], "upsert": [], "queue": []}
    wait_for_the_others()
    for _ in range(NUMBERS_EACH):
        add_one = {"$inc": {"n": 1}}
        taken["before"].append(counters.find_one_and_update({"_id": "before"}, add_one)["n"])
        after = counters.find_one_and_update({"name": "after"}, add_one, return_document=ReturnDocument.AFTER)
        taken["after"].append(after["n"])
        upserted = counters.find_one_and_update(
            {"name": "upsert"}, add_one, upsert=True, return_document=ReturnDocument.AFTER
        )
        taken["upsert"].append(upserted["n"])
        job = counters.find_one_and_update(
            {"state": "READY"}, {"$set": {"state": "RESERVED", "by": worker}}, sort=[("priority", -1), ("_id", 1)]
        )
        taken["queue"].append(job["_id"])
    return taken


def write_until_it_fails(port: int, name: str, worker: str) -> list[str]:
    documents = connect(port)[name].documents
    acknowledged = []
    wait_for_the_others()
    with contextlib.suppress(PyMongoError):  # the server is killed under it
        for number in range(1_000_000):
            key = f"{worker}-{number}"
            documents.insert_one({"_id": key, "n": 0, "text": "x" * 200})
            documents.find_one_and_update({"_id": key}, {"$set": {"n": 1}})
            acknowledged.append(key)
    return acknowledged


def wait_for_the_others() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


WORKERS: dict[str, Callable[[int, str, str], Any]] = {
    worker.__name__: worker for worker in (add_workflows, take_numbers, write_until_it_fails)
}


@contextlib.contextmanager
def processes(worker: str, port: int, name: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Start the processes, and let go of them together once all are ready."""
    command = [sys.executable, __file__, worker, str(port), name]
    running = [
        subprocess.Popen([*command, f"w{i}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for i in range(PROCESSES)
    ]
    try:
        for process in running:
            assert process.stdout.readline() == "ready\n"
        for process in running:
            process.stdin.write("go\n")
            process.stdin.flush()
        yield running
    finally:
        for process in running:
            process.kill()
            process.communicate()


def results(running: list[subprocess.Popen[str]]) -> list[Any]:
    return [json.loads(process.communicate(timeout=50)[0]) for process in running]


# ---------------------------------------------------------------------------------------------------------------------
# findAndModify is atomic
# ---------------------------------------------------------------------------------------------------------------------


def test_fireworks_ids_are_unique_when_processes_add_workflows_together(launchpad: LaunchPad) -> None:
    with processes("add_workflows", launchpad.port, launchpad.name) as running:
        outcomes = results(running)
    assert [error for outcome in outcomes for error in outcome["errors"]] == []
    n_workflows = PROCESSES * WORKFLOWS_EACH
    assert sorted(i for outcome in outcomes for i in outcome["fw_ids"]) == list(range(1, 2 * n_workflows + 1))
    assert sorted(i for outcome in outcomes for i in outcome["launch_ids"]) == list(range(1, n_workflows + 1))
    expected = {f"w{worker}-{number}" for worker in range(PROCESSES) for number in range(WORKFLOWS_EACH)}
    assert sorted(wf["name"] for wf in launchpad.workflows.find({}, {"name": 1})) == sorted(expected)
    fireworks = list(launchpad.fireworks.find({}, {"name": 1, "fw_id": 1}))
    assert sorted(fw["name"] for fw in fireworks) == sorted(f"{name}-{fw}" for name in expected for fw in "ab")
    assert len({fw["fw_id"] for fw in fireworks}) == 2 * n_workflows


def test_find_one_and_update_hands_out_each_number_once(database: EmbeddedDatabase, launchpad: LaunchPad) -> None:
    n_numbers = PROCESSES * NUMBERS_EACH
    counters = launchpad.db.counters
    counters.create_index("name")
    counters.insert_many([{"_id": "before", "n": 0}, {"name": "after", "n": 0}])
    counters.insert_many([{"_id": i, "state": "READY", "priority": i % 3} for i in range(n_numbers)])
    with processes("take_numbers", database.port, launchpad.name) as running:
        outcomes = results(running)
    taken = {kind: sorted(n for outcome in outcomes for n in outcome[kind]) for kind in outcomes[0]}
    assert taken["before"] == list(range(n_numbers))
    assert taken["after"] == list(range(1, n_numbers + 1))
    assert taken["upsert"] == list(range(1, n_numbers + 1))
    assert taken["queue"] == list(range(n_numbers))
    assert counters.count_documents({"name": "upsert"}) == 1
    for worker, outcome in enumerate(outcomes):
        assert {c["_id"] for c in counters.find({"by": f"w{worker}"})} == set(outcome["queue"])
        priorities = [i % 3 for i in outcome["queue"]]
        assert priorities == sorted(priorities, reverse=True)


def test_find_one_and_update_keeps_its_meaning_under_the_lock(launchpad: LaunchPad) -> None:
    documents = launchpad.db.documents
    documents.insert_one(
        {"_id": 1, "tags": ["a", "b"], "steps": [{"id": 1, "state": "WAIT"}, {"id": 2, "state": "WAIT"}]}
    )
    documents.create_index("unique", unique=True, sparse=True)
    documents.insert_many([{"_id": 2, "unique": "x"}, {"_id": 3, "unique": "y"}])

    changed = documents.find_one_and_update(
        {"steps.id": 2}, {"$set": {"steps.$.state": "DONE"}}, return_document=ReturnDocument.AFTER
    )
    assert [step["state"] for step in changed["steps"]] == ["WAIT", "DONE"]
    changed = documents.find_one_and_update(
        {"_id": {"$gte": 1}, "tags": "b"}, {"$set": {"tags.$": "c"}}, return_document=ReturnDocument.AFTER
    )
    assert changed["tags"] == ["a", "c"]
    changed = documents.find_one_and_update(
        {"_id": 1}, [{"$set": {"first": {"$arrayElemAt": ["$tags", 0]}}}], return_document=ReturnDocument.AFTER
    )
    assert changed["first"] == "a"
    assert documents.find_one_and_replace({"_id": 1, "first": "a"}, {"n": 1}) == changed
    assert documents.find_one_and_update({"_id": 1, "n": 2}, {"$set": {"n": 3}}) is None
    assert documents.find_one_and_update({"n": 7, "$and": [{"_id": 9}]}, {"$set": {"m": 3}}, upsert=True) is None
    assert documents.find_one({"_id": 9}) == {"_id": 9, "n": 7, "m": 3}
    with pytest.raises(DuplicateKeyError):
        documents.find_one_and_update({"_id": 3}, {"$set": {"unique": "x"}})
    with pytest.raises(DuplicateKeyError):
        documents.find_one_and_update({"_id": 4}, {"$set": {"unique": "x"}}, upsert=True)
    assert documents.find_one_and_delete({"unique": "x"})["_id"] == 2
    assert documents.find_one({"_id": 2}) is None


def test_find_one_and_update_does_not_read_the_whole_collection(launchpad: LaunchPad) -> None:
    documents = launchpad.db.documents
    documents.create_index("k")
    documents.insert_many([{"k": i} for i in range(5000)])
    start = time.perf_counter()
    for i in range(20):
        documents.find_one_and_update({"k": i}, {"$set": {"seen": True}})
    assert (time.perf_counter() - start) / 20 < 0.015  # 30 ms without the change, 2 ms with it


# ---------------------------------------------------------------------------------------------------------------------
# Durability
# ---------------------------------------------------------------------------------------------------------------------


def test_acknowledged_writes_survive_kill_9(server: EmbeddedDatabase) -> None:
    for attempt in range(2):
        server.start()
        with processes("write_until_it_fails", server.port, f"attempt{attempt}") as running:
            time.sleep(1.5)
            os.kill(server.status().pid, signal.SIGKILL)
            acknowledged = [key for keys in results(running) for key in keys]
        assert not server.status().running
        assert server.start()
        with connect(server.port) as client:
            kept = {d["_id"] for d in client[f"attempt{attempt}"].documents.find({"n": 1})}
        assert len(acknowledged) > 100
        assert set(acknowledged) <= kept


# ---------------------------------------------------------------------------------------------------------------------
# The server's life
# ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def server(tmp_path: Path, free_port: int) -> Iterator[EmbeddedDatabase]:
    """An embedded database that is not running yet."""
    server = EmbeddedDatabase(tmp_path / "database", free_port)
    yield server
    if pid := server.status().pid:
        os.kill(pid, signal.SIGKILL)  # a clean stop takes 2 s


def test_start_and_stop_can_be_repeated(server: EmbeddedDatabase) -> None:
    before = server.status()
    assert (before.running, before.pid, before.size_bytes) == (False, None, 0)
    assert server.stop() is False
    assert server.start() is True
    pid = server.status().pid
    assert server.start() is False
    status = server.status()
    assert (status.running, status.pid, status.port) == (True, pid, server.port)
    assert status.directory == server.directory
    assert status.size_bytes > 0
    assert status.secantus_version == importlib.metadata.version("SecantusDB")
    with connect(server.port) as client:
        client.test.documents.insert_one({"_id": 1})
    assert server.stop() is True
    assert server.stop() is False
    assert server.status().pid is None
    assert server.start() is True
    with connect(server.port) as client:
        assert client.test.documents.find_one() == {"_id": 1}


def test_only_one_of_two_simultaneous_starts_starts_it(server: EmbeddedDatabase) -> None:
    started = []
    threads = [threading.Thread(target=lambda: started.append(server.start())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(started) == [False, True]


def test_the_server_is_detached_and_listens_on_loopback_alone(database: EmbeddedDatabase) -> None:
    process = psutil.Process(database.status().pid)
    assert os.getsid(process.pid) == process.pid  # Ctrl-C in this terminal does not reach it
    listening = [c.laddr for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
    assert listening == [("127.0.0.1", database.port)]
    others = {a.address for nic in psutil.net_if_addrs().values() for a in nic if a.family == socket.AF_INET}
    for address in others - {"127.0.0.1"}:
        with pytest.raises(OSError):  # noqa: PT011 - refused or unreachable, both are right
            socket.create_connection((address, database.port), timeout=2).close()


def test_a_port_in_use_is_refused_with_the_name_of_its_user(server: EmbeddedDatabase) -> None:
    listen = f"import socket, time; s = socket.create_server(('', {server.port})); print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", listen], stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(EmbeddedDatabaseError) as refusal:
            server.start()
        other.kill()
    message = str(refusal.value)
    assert f"port {server.port} on 127.0.0.1 is in use by process {other.pid} ({sys.executable} -c" in message
    assert "choose another port" in message
    assert "\n" not in message


def test_a_port_in_use_by_an_unseen_process_is_refused(
    server: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", server.port)):
        monkeypatch.setattr(psutil, "net_connections", lambda kind: [])
        with pytest.raises(EmbeddedDatabaseError, match="in use by a process that cannot be seen"):
            server.start()


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_that_is_none_is_refused(tmp_path: Path, port: int) -> None:
    with pytest.raises(EmbeddedDatabaseError, match=f"port {port} is not a TCP port"):
        EmbeddedDatabase(tmp_path, port)


def test_a_directory_in_use_on_another_port_is_refused(database: EmbeddedDatabase, free_port: int) -> None:
    with pytest.raises(EmbeddedDatabaseError, match=f"already runs on port {database.port} .* not on {free_port}"):
        EmbeddedDatabase(database.directory, free_port).start()
    assert EmbeddedDatabase(database.directory, free_port).status().port == database.port


@pytest.mark.parametrize("version", ["0.6.0", None])
def test_a_directory_of_another_version_is_refused(server: EmbeddedDatabase, version: str | None) -> None:
    (server.directory / "data").mkdir(parents=True)
    (server.directory / "data" / "WiredTiger").touch()
    if version is not None:
        (server.directory / "SECANTUSDB_VERSION").write_text(version)
    with pytest.raises(EmbeddedDatabaseError, match=f"written by SecantusDB {version or 'an unknown version'} "):
        server.start()


@pytest.mark.parametrize("pid", [os.getpid(), 2**22 + 1], ids=["another process's", "nobody's"])
def test_a_stale_pid_file_is_passed_over(server: EmbeddedDatabase, pid: int) -> None:
    """A living process that took the old pid, and a pid of nobody."""
    record = {"pid": pid, "port": server.port, "created": 1.0, "hostname": socket.gethostname()}
    server.directory.mkdir()
    (server.directory / "server.json").write_text(json.dumps(record))
    assert not server.status().running
    assert server.stop() is False  # and this process lives on
    (server.directory / "server.json").write_text(json.dumps(record))
    assert server.start() is True
    assert server.status().pid != pid


def test_a_server_is_known_again_after_the_clock_was_set(database: EmbeddedDatabase) -> None:
    pid_file = database.directory / "server.json"
    record = pid_file.read_text()
    pid_file.write_text(json.dumps(json.loads(record) | {"created": 1.0}))
    assert database.status().running
    pid_file.write_text(record)


def test_a_directory_in_use_on_another_machine_is_refused(server: EmbeddedDatabase) -> None:
    server.directory.mkdir()
    pid_file = server.directory / "server.json"
    pid_file.write_text(json.dumps({"pid": 2**22 + 1, "port": 27017, "created": 1.0, "hostname": "node7"}))
    for action in (server.start, server.stop, server.status):
        with pytest.raises(EmbeddedDatabaseError, match=f"started on machine node7 .* delete {pid_file}"):
            action()
    pid_file.unlink()


def test_a_server_that_fails_to_start_shows_its_last_words(server: EmbeddedDatabase) -> None:
    server.directory.mkdir()
    (server.directory / "data").touch()
    with pytest.raises(EmbeddedDatabaseError, match=r"exit status 1; its last words: .*FileExistsError.*server\.log"):
        server.start()
    assert not server.status().running


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedDatabaseError, match=r"cannot make the database directory .* GNOME_HOME"):
        EmbeddedDatabase(tmp_path / "file" / "database", free_port).start()


def test_a_missing_or_other_package_is_named_with_the_remedy(
    server: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.8.0")
    with pytest.raises(EmbeddedDatabaseError, match=r"SecantusDB 0\.8\.0 is installed .* only 0\.7\.0b3"):
        server.start()

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(EmbeddedDatabaseError, match=r"install it with: pip install 'gnome-torch\[embedded\]'"):
        server.start()
    monkeypatch.undo()


def test_the_server_refuses_a_secantusdb_it_does_not_know() -> None:
    class Commands:
        _HANDLERS: dict[str, Any] = {}  # noqa: RUF012

    with pytest.raises(EmbeddedDatabaseError, match="does not register findAndModify"):
        serialise_find_and_modify(Commands)


def test_the_lifecycle_side_does_not_import_the_gpl_package() -> None:
    code = "import sys, workflows.store.embedded; sys.exit('secantus' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_default_directory_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GNOME_HOME", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert EmbeddedDatabase().directory == tmp_path / ".local/share/gnome-torch/database"
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert EmbeddedDatabase().directory == Path("/data/gnome-torch/database")
    monkeypatch.setenv("GNOME_HOME", "/gnome")
    assert EmbeddedDatabase().directory == Path("/gnome/database")


if __name__ == "__main__":
    job, port, name, worker = sys.argv[1:]
    print(json.dumps(WORKERS[job](int(port), name, worker)))
