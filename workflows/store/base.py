"""What everything that reads or writes the database shares: its errors, its clock, the check of a server."""

from __future__ import annotations

from collections.abc import Collection as Some
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar

import pymongo
from pymongo.collection import Collection as Documents
from pymongo.database import Database
from pymongo.errors import ConfigurationError, OperationFailure, PyMongoError

Key = TypeVar("Key", str, int)
Document = dict[str, Any]
"""As the database has it; which fields it has is in docs/data_model.md."""

SCHEMA_VERSION = 2


class StoreError(RuntimeError):
    """The database cannot be used; one line that says which and what to do."""


def now() -> datetime:
    """Now, in UTC, at the millisecond resolution of MongoDB."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def utc(moment: datetime) -> datetime:
    """A moment from the database, which knows no time zones."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


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


def chunks(keys: Some[Key], size: int = 200) -> Iterator[list[Key]]:
    """Keys in pieces: the embedded server's `$in` is quadratic (1 s for 1,000 keys)."""
    in_order = sorted(keys)
    for start in range(0, len(in_order), size):
        yield in_order[start : start + size]


class Collection:
    """A collection of the database; its subclasses have the reads and writes.

    Args:
        database: the LaunchPad's (`launchpad.db`).
    """

    name: ClassVar[str]

    def __init__(self, database: Database[Any]) -> None:
        self.database = database

    @property
    def documents(self) -> Documents[Any]:
        """As pymongo has them."""
        return self.database[self.name]
