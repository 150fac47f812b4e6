"""The embedded database: its server's life, seen from outside. The server itself is `workflows.ground.server`."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import psutil
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from gnome_torch.files import write_whole
from workflows.ground.home import data_home
from workflows.ground.server import (
    DEFAULT_PORT,
    HOST,
    MODULES,
    SECANTUS_VERSION,
    EmbeddedDatabaseError,
    require_installed,
)

START_TIMEOUT_S = 60.0  # a cold start from a network file system; 0.5 s from a warm local disk
STOP_TIMEOUT_S = 60.0  # after TERM; a clean stop takes about 2 s
KILL_TIMEOUT_S = 10.0


def default_directory() -> Path:
    """The user's own database directory: `database` where gnome keeps its data."""
    return data_home() / "database"


@dataclass(frozen=True)
class DatabaseStatus:
    """What is known of an embedded database.

    Attributes:
        running: Whether its server runs.
        pid: The server's process id; None when it does not run.
        port: The port the server listens on, or would listen on.
        directory: Where the data, the log and the process id are kept.
        size_bytes: What the directory occupies on the disk.
        secantus_version: The SecantusDB version that wrote the data, or would write it.
    """

    running: bool
    pid: int | None
    port: int
    directory: Path
    size_bytes: int
    secantus_version: str


@dataclass(frozen=True)
class _ServerRecord:
    """The pid file's contents: enough to know the process again, and never to take another for it."""

    pid: int
    port: int
    created: float  # seconds since the epoch
    hostname: str  # home directories are often shared between machines


@dataclass(frozen=True)
class EmbeddedDatabase:
    """An embedded database: one directory, and the server process that owns it while it runs.

    Attributes:
        directory: Where the data, the log and the process id are kept. One server at a time.
        port: The port on 127.0.0.1.
    """

    host: ClassVar[str] = HOST

    directory: Path = field(default_factory=default_directory)
    port: int = DEFAULT_PORT

    def __post_init__(self) -> None:
        if not 1 <= self.port <= 65535:
            raise EmbeddedDatabaseError(f"port {self.port} is not a TCP port: choose one from 1024 to 65535")
        object.__setattr__(self, "directory", Path(self.directory).expanduser().absolute())

    @property
    def log_file(self) -> Path:
        """The server's log."""
        return self.directory / "server.log"

    def start(self) -> bool:
        """Start the server, detached from this process and its terminal, and wait until it answers.

        Returns:
            True if this call started it, False if it was running already.

        Raises:
            EmbeddedDatabaseError: The port is taken, the directory belongs to another server or SecantusDB version,
                the package is missing, or the server did not come up.
        """
        require_installed()
        self._make_directory()
        with self._exclusive():
            record = self._running()
            if record is None:
                self._check_version()
                _check_port_is_free(self.port)
                self._launch()
                return True
            if record.port != self.port:
                raise EmbeddedDatabaseError(
                    f"the database in {self.directory} already runs on port {record.port} (process {record.pid}), not "
                    f"on {self.port}: use port {record.port}, or stop it first with: gnome db stop"
                )
            return False

    def stop(self) -> bool:
        """Stop the server, whatever its port, and wait until it is gone.

        Returns:
            True if this call stopped it, False if it was not running.

        Raises:
            EmbeddedDatabaseError: The server runs on another machine, or belongs to another user, or cannot be stopped.
        """
        require_installed()
        if not self.directory.is_dir():
            return False
        with self._exclusive():
            record = self._running()
            if record is not None:
                _end(record.pid)
            self._pid_file.unlink(missing_ok=True)
        return record is not None

    def status(self) -> DatabaseStatus:
        """Describe the database and its server."""
        require_installed()
        record = self._running()
        return DatabaseStatus(
            running=record is not None,
            pid=record.pid if record else None,
            port=record.port if record else self.port,
            directory=self.directory,
            size_bytes=_size_on_disk(self.directory),
            secantus_version=self._written_version() or SECANTUS_VERSION,
        )

    # The directory's files

    @property
    def _pid_file(self) -> Path:
        return self.directory / "server.json"

    @property
    def _version_file(self) -> Path:
        return self.directory / "SECANTUSDB_VERSION"

    @property
    def _storage_path(self) -> Path:
        return self.directory / "data"

    def _make_directory(self) -> None:
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise EmbeddedDatabaseError(
                f"cannot make the database directory {self.directory} ({error.strerror}): "
                "choose another with GNOME_HOME"
            ) from error

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Let one process at a time start or stop this database."""
        try:
            lock = (self.directory / "lock").open("w")
        except OSError as error:
            raise EmbeddedDatabaseError(
                f"cannot write to the database directory {self.directory} ({error.strerror}): "
                "choose another with GNOME_HOME"
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
            except OSError as error:
                raise EmbeddedDatabaseError(
                    f"the file system of {self.directory} cannot lock files ({error.strerror}): "
                    "choose a directory on a local disk with GNOME_HOME"
                ) from error
            yield

    def _written_version(self) -> str | None:
        try:
            return self._version_file.read_text().strip()
        except FileNotFoundError:
            return "an unknown version" if (self._storage_path / "WiredTiger").exists() else None

    def _check_version(self) -> None:
        written = self._written_version()
        if written is None:
            self._version_file.write_text(SECANTUS_VERSION + "\n")
        elif written != SECANTUS_VERSION:
            raise EmbeddedDatabaseError(
                f"the database in {self.directory} was written by SecantusDB {written} and this is {SECANTUS_VERSION}: "
                "move that directory away, or choose another with GNOME_HOME"
            )

    # The server's process

    def _running(self) -> _ServerRecord | None:
        """The record of the server that runs on this directory; None if none does (a stale record counts as none)."""
        record = self._read_record()
        if record is None or self._is_alive(record):
            return record
        if record.hostname != socket.gethostname():
            raise EmbeddedDatabaseError(
                f"the database in {self.directory} was started on machine {record.hostname} (process {record.pid}): "
                f"stop it there with: gnome db stop; if it no longer runs there, delete {self._pid_file}"
            )
        return None

    def _read_record(self) -> _ServerRecord | None:
        try:
            return _ServerRecord(**json.loads(self._pid_file.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def _write_record(self, pid: int) -> None:
        created = psutil.Process(pid).create_time()
        record = _ServerRecord(pid=pid, port=self.port, created=created, hostname=socket.gethostname())
        write_whole(self._pid_file, json.dumps(dataclasses.asdict(record)) + "\n")

    def _is_alive(self, record: _ServerRecord) -> bool:
        try:
            process = psutil.Process(record.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            if abs(process.create_time() - record.created) < 1:
                return True
            # Setting the machine's clock shifts create times; then the command line settles it.
            command = set(process.cmdline())
            return str(self._storage_path) in command and not command.isdisjoint(MODULES)
        except psutil.Error:
            return False

    def _launch(self) -> None:
        command = [sys.executable, "-m", MODULES[0]]
        command += ["--storage-path", str(self._storage_path), "--port", str(self.port)]
        with self.log_file.open("ab") as log:
            log_start = log.tell()
            process = subprocess.Popen(
                command,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._write_record(process.pid)
            self._wait_until_it_answers(process, log_start)
        except BaseException:  # Ctrl-C included: leave no server behind that nobody knows of
            process.kill()
            process.wait()
            self._pid_file.unlink(missing_ok=True)
            raise

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes], log_start: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise self._did_not_start(f"ended with exit status {process.returncode}", log_start)
            if _listens(process.pid, self.port) and _answers_ping(self.port):
                return
            time.sleep(0.05)
        raise self._did_not_start(f"did not answer within {START_TIMEOUT_S:.0f} s", log_start)

    def _did_not_start(self, what: str, log_start: int) -> EmbeddedDatabaseError:
        written = self.log_file.read_bytes()[log_start:].decode(errors="replace")
        last_lines = [line.strip() for line in written.splitlines() if line.strip()][-3:]
        return EmbeddedDatabaseError(
            f"the database server on {self.directory}, port {self.port}, {what}; its last words: "
            f"{' | '.join(last_lines) or 'none'}; see {self.log_file}"
        )


def _check_port_is_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                remedy = f"is in use by {_holder(port)}: choose another port, or end that process"
            else:
                remedy = f"cannot be used ({error.strerror}): choose another port, from 1024 to 65535"
            raise EmbeddedDatabaseError(f"port {port} on {HOST} {remedy}") from error


def _holder(port: int) -> str:
    unseen = "a process that cannot be seen from here (another user's, or in another container)"
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return unseen
    pids = [c.pid for c in connections if c.status == psutil.CONN_LISTEN and c.laddr.port == port and c.pid]
    if not pids:
        return unseen
    try:
        return f"process {pids[0]} ({' '.join(psutil.Process(pids[0]).cmdline())})"
    except psutil.Error:
        return f"process {pids[0]} (its command line cannot be seen)"


def _listens(pid: int, port: int) -> bool:
    try:
        connections = psutil.Process(pid).net_connections(kind="tcp")
    except psutil.Error:
        return False
    return any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections)


def _answers_ping(port: int) -> bool:
    client: MongoClient[dict[str, Any]] = MongoClient(HOST, port, directConnection=True, serverSelectionTimeoutMS=1000)
    with client:
        try:
            client.admin.command("ping")
        except PyMongoError:
            return False
    return True


def _end(pid: int) -> None:
    try:
        process = psutil.Process(pid)
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(KILL_TIMEOUT_S)
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied as error:
        raise EmbeddedDatabaseError(f"the database server, process {pid}, belongs to another user: ask them") from error
    except psutil.TimeoutExpired as error:
        raise EmbeddedDatabaseError(
            f"the database server, process {pid}, does not end, not even by kill -9: look for a file system that hangs"
        ) from error


def _size_on_disk(directory: Path) -> int:
    size = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # WiredTiger removes old logs as it goes
                size += (Path(folder) / name).lstat().st_blocks * 512
    return size
