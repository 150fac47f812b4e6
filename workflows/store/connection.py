"""Which database: the LaunchPad that lpad, rlaunch and qlaunch would use, or the one that the environment names."""

from __future__ import annotations

import os
import re
from pathlib import Path

import yaml
from fireworks import LaunchPad
from fireworks.fw_config import LAUNCHPAD_LOC
from pymongo.errors import ConfigurationError, InvalidURI

from workflows.store import Store, StoreError, check_server
from workflows.store.launchpad import prepare_launchpad

URI_VARIABLE = "GNOME_MONGODB_URI"
NAME_VARIABLE = "GNOME_MONGODB_NAME"
DEFAULT_NAME = "gnome"


def launchpad_settings() -> dict[str, object]:
    """Connection in force, in the form of my_launchpad.yaml.

    GNOME_MONGODB_URI (the server) and GNOME_MONGODB_NAME (the database, `gnome` by default) come before the file that
    FireWorks finds: my_launchpad.yaml here, or as FW_CONFIG_FILE says. Without either, the embedded server's address.

    Raises:
        StoreError: as `read_launchpad_file`.
    """
    if uri := os.environ.get(URI_VARIABLE):
        name = os.environ.get(NAME_VARIABLE, DEFAULT_NAME)
        return {"host": uri, "name": name, "uri_mode": True, "strm_lvl": "WARNING"}
    if not LAUNCHPAD_LOC:
        name = os.environ.get(NAME_VARIABLE, DEFAULT_NAME)
        return {"host": "127.0.0.1", "port": 27017, "name": name, "strm_lvl": "WARNING"}
    settings = read_launchpad_file(Path(LAUNCHPAD_LOC))
    return {**settings, "name": os.environ.get(NAME_VARIABLE) or settings.get("name") or DEFAULT_NAME}


def read_launchpad_file(path: Path) -> dict[str, object]:
    """A my_launchpad.yaml.

    Raises:
        StoreError: it cannot be read, names no server, or shows others a password.
    """
    try:
        settings = yaml.safe_load(path.read_text())
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise StoreError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(settings, dict) or not settings.get("host"):
        raise StoreError(f"{path}: no 'host' in it: see the my_launchpad.yaml of gnome-torch")
    if _holds_password(settings) and mode & 0o077:
        raise StoreError(f"{path}: holds a password, and others may read it: chmod 600 {path}")
    return settings


def _holds_password(settings: dict[str, object]) -> bool:
    in_uri = re.search(r"://[^/@:]*:[^/]*@", str(settings["host"]))
    return bool(settings.get("password") or in_uri)


def connect() -> LaunchPad:
    """The LaunchPad in force; nothing is sent to the server yet.

    Raises:
        StoreError: the connection string or the file is wrong.
    """
    settings = launchpad_settings()
    try:
        # FireWorks' log is for lpad, which says with it what it added; our commands speak for themselves
        return LaunchPad.from_dict({**settings, "strm_lvl": "WARNING"})
    except (InvalidURI, ConfigurationError, ValueError, TypeError) as error:
        where = URI_VARIABLE if os.environ.get(URI_VARIABLE) else (LAUNCHPAD_LOC or "default connection")
        raise StoreError(f"{where}: {' '.join(str(error).split())}") from None


def open_database() -> tuple[LaunchPad, Store]:
    """The LaunchPad in force, checked, with FireWorks' own indexes and ours."""
    launchpad = connect()
    check_server(launchpad.db)
    prepare_launchpad(launchpad)
    store = Store(launchpad.db)
    store.prepare()
    return launchpad, store
