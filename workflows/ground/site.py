"""What a site sets, in one file: VASP's command, where its potentials are, its queues.

The file is YAML, named by GNOME_SITE or `~/.config/gnome-torch/site.yaml`:

    vasp:
      command: srun vasp_std            # $VARIABLES are expanded on the worker
      gamma_command: srun vasp_gam      # by default the same
      potcars: /opt/vasp/potentials     # holds POT_GGA_PAW_PBE_54 and the like (PMG_VASP_PSP_DIR)
    slurm:                              # docs/cluster.md
      partition: cpu
      train: {partition: gpu, gpus: 1}

A worker reads it before it runs a relaxation; nothing of it is stored in the database, so sites may differ.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import yaml
from pydantic import Field

from workflows.ground.queues import Slurm, Word
from workflows.ground.strict import SettingsError, Strict, validated

VARIABLE = "GNOME_SITE"
COMMAND, GAMMA_COMMAND = "GNOME_VASP_COMMAND", "GNOME_VASP_GAMMA_COMMAND"
"""Environment variables that a Firework's command consists of: the worker that runs it says what they are."""


class VaspSite(Strict):
    """How VASP is run here."""

    command: str = Field(min_length=1, description="with everything before it, such as: srun vasp_std")
    gamma_command: str = Field("", description="for meshes of the gamma point alone; empty: the same")
    potcars: Path | None = Field(None, description="PMG_VASP_PSP_DIR; empty: as pymatgen is configured")
    modules: tuple[Word, ...] = Field((), description="loaded before a relaxation")
    cores: int = Field(1, ge=1, description="MPI processes of a calculation: what its job asks the queue for")


class DatabaseSite(Strict):
    """Where the database is said; what opens it (names, passwords) stays in that file."""

    launchpad: Path | None = Field(None, description="my_launchpad.yaml of the jobs; empty: the one that lpad finds")


class Site(Strict):
    """Everything that a site sets."""

    vasp: VaspSite | None = None
    slurm: Slurm = Slurm()
    database: DatabaseSite = DatabaseSite()


class _Loader(yaml.SafeLoader):
    """YAML without numbers to the base of 60: 24:00:00 is a walltime, not 86400."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":int")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?\d+$"), list("-+0123456789"))


def site_file() -> Path:
    """Where the site's file is, or would be."""
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else Path.home() / ".config" / "gnome-torch" / "site.yaml"


def read_site(path: Path | None = None) -> Site:
    """The site's settings; empty where there is no file.

    Args:
        path: the file; by default `site_file`.

    Raises:
        SettingsError: the file that is named is missing, or a file cannot be used; one line for each problem.
    """
    if path is not None and not path.exists():
        raise SettingsError(f"{path}: no such file: docs/cluster.md shows one of five lines")
    path = path or site_file()
    if not path.exists():
        if os.environ.get(VARIABLE):
            raise SettingsError(f"{VARIABLE}={path}: no such file")
        return Site()
    try:
        data = yaml.load(path.read_text(), _Loader) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    return validated(Site, data, str(path))


def apply_site() -> None:
    """Set the environment of this process for the relaxations that it runs.

    Raises:
        SettingsError: as `read_site`.
    """
    vasp = read_site().vasp
    if vasp is None:
        return
    os.environ[COMMAND] = vasp.command
    os.environ[GAMMA_COMMAND] = vasp.gamma_command or vasp.command
    if vasp.potcars is not None:
        from pymatgen.core import SETTINGS

        os.environ["PMG_VASP_PSP_DIR"] = SETTINGS["PMG_VASP_PSP_DIR"] = str(vasp.potcars)
