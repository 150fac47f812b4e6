"""The embedded database's server: a MongoDB server that comes with pip, for one user on one machine.

SecantusDB speaks MongoDB's wire protocol and keeps its data in WiredTiger. It is GPL software, so it runs as a program
of its own: only `main`, in the server's process, imports it. `workflows.store.embedded` starts and stops that process.

The server listens on 127.0.0.1 alone and asks for no password: every user of the same machine can reach it, and no
other machine can. A cluster, or a machine shared with people you do not trust, needs a real MongoDB server.

    python -m workflows.ground.server --storage-path DIR --port N      runs the server in the foreground
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import importlib.metadata
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECANTUS_VERSION = "0.7.0b3"
HOST = "127.0.0.1"
DEFAULT_PORT = 27017
INSTALL = "install it with: pip install 'gnome-torch[embedded]'"
MODULES = ("workflows.ground.server", "workflows.embedded")
"""What a server's command line names: this module, and where earlier versions had it."""


class EmbeddedDatabaseError(RuntimeError):
    """The embedded database cannot do what was asked; the message is one line with the remedy."""


def main(argv: list[str] | None = None) -> int:
    """Run the database server in this process until it is told to stop (TERM or Ctrl-C).

    Args:
        argv: Command line arguments; the process's own if None.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {MODULES[0]}", description="Run the embedded database.")
    parser.add_argument("--storage-path", type=Path, required=True, help="directory of the data, made if missing")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"port on {HOST} (default %(default)s)")
    arguments = parser.parse_args(argv)
    try:
        require_installed()
        serialise_find_and_modify(importlib.import_module("secantus.commands"))
    except EmbeddedDatabaseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return _run_secantus(arguments.storage_path, arguments.port)


def _run_secantus(storage_path: Path, port: int) -> int:
    # A configuration file of its own: a secantusd.toml in the working or home directory belongs to another server.
    storage_path.mkdir(parents=True, exist_ok=True)
    configuration = storage_path / "secantusd.toml"
    configuration.touch()
    arguments = ["--standalone", "--sync-on-commit", "--host", HOST, "--port", str(port), "--log-level", "WARNING"]
    arguments += ["--storage-path", str(storage_path), "--config", str(configuration)]
    return int(importlib.import_module("secantus.cli").main(arguments))


def serialise_find_and_modify(commands: Any) -> None:
    """Make the server's findAndModify atomic.

    SecantusDB finds the document, lets go of it, and then writes: two clients can be handed the same image from before
    the change. FireWorks draws its ids that way, so one workflow would overwrite another. Every write to a collection
    holds the storage's lock of that collection; holding it around the whole command closes the gap.

    Args:
        commands: The module `secantus.commands`.
    """
    original: Any = getattr(commands, "_find_and_modify", None)
    handlers: dict[str, Any] = getattr(commands, "_HANDLERS", {})
    names = sorted(name for name, handler in handlers.items() if handler is original)
    if names != ["findAndModify", "findandmodify"]:
        raise EmbeddedDatabaseError(
            f"SecantusDB {SECANTUS_VERSION} does not register findAndModify where it should (found {names} in "
            f"{getattr(commands, '__file__', commands)}): it cannot run safely; reinstall it with: "
            f"pip install --force-reinstall SecantusDB=={SECANTUS_VERSION}"
        )
    handlers.update(dict.fromkeys(names, _locked(original)))


def _locked(find_and_modify: Callable[[dict[str, Any], Any], dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def locked_find_and_modify(command: dict[str, Any], context: Any) -> dict[str, Any]:
        collection = command.get("findAndModify")
        if not isinstance(collection, str):
            return find_and_modify(command, context)  # which answers with the error
        with context.storage._coll_lock(context.db_name, collection):
            return find_and_modify(command, dataclasses.replace(context, storage=_LockedStorage(context.storage)))

    return locked_find_and_modify


class _LockedStorage:
    """The server's storage, as findAndModify sees it while it holds the collection's lock.

    Having found its document, findAndModify writes to `{"_id": ..., "$and": [query]}`, to notice a change in between;
    no index serves that filter, so each call reads the whole collection. Under the lock there is no change in between:
    only a multi-document transaction could make one, and nothing here uses those (a standalone MongoDB has none).
    """

    def __init__(self, storage: Any) -> None:
        self._storage = storage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def update_matching(self, db: str, coll: str, selector: dict[str, Any], update: Any, **options: Any) -> Any:
        if not options.get("upsert"):
            selector = _by_id(selector, options, keep_query=_is_positional(update))
        return self._storage.update_matching(db, coll, selector, update, **options)

    def delete_matching(self, db: str, coll: str, selector: dict[str, Any], **options: Any) -> Any:
        return self._storage.delete_matching(db, coll, _by_id(selector, options, keep_query=False), **options)


def _by_id(selector: dict[str, Any], options: dict[str, Any], keep_query: bool) -> dict[str, Any]:
    if options.get("collation") is not None:
        return selector  # under a collation an _id can name several documents
    (query,) = selector.get("$and", [{}])
    return {**query, "_id": selector["_id"]} if keep_query else {"_id": selector["_id"]}


def _is_positional(update: Any) -> bool:
    """Whether an update has a path such as `nodes.$.state`, whose `$` is the array element that the query matched."""
    if not isinstance(update, dict):
        return False
    paths = [path for operand in update.values() if isinstance(operand, dict) for path in operand]
    return any("$" in path.split(".") for path in paths)


def require_installed() -> None:
    """Make sure that SecantusDB is there, in the one version that the fix below is for.

    Raises:
        EmbeddedDatabaseError: it is not.
    """
    try:
        installed = importlib.metadata.version("SecantusDB")
    except importlib.metadata.PackageNotFoundError:
        raise EmbeddedDatabaseError(f"the package SecantusDB is missing from {sys.prefix}: {INSTALL}") from None
    if installed != SECANTUS_VERSION:
        raise EmbeddedDatabaseError(
            f"SecantusDB {installed} is installed in {sys.prefix}, and only {SECANTUS_VERSION} will do: {INSTALL}"
        )


if __name__ == "__main__":
    sys.exit(main())
