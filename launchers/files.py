"""The site's settings as the files that FireWorks' commands read."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from fireworks.user_objects.queue_adapters.common_adapter import CommonAdapter
from fireworks.utilities.fw_serializers import SAVED_FW_MODULES

from workflows.ground.continuation import JOB_END
from workflows.ground.queues import CATEGORIES, Category, seconds
from workflows.ground.site import Site
from workflows.ground.strict import SettingsError

FW_CONFIG = "FW_config.yaml"
JOB_SCRIPT = "job.sh"
WORKER, ADAPTER = "my_fworker.yaml", "my_qadapter.yaml"

FIREWORKS_SETTINGS = {
    "CONFIG_FILE_DIR": ".",
    "PING_TIME_SECS": 120,  # how often a worker says that it is alive
    "RUN_EXPIRATION_SECS": 600,  # after how long a silence `lpad detect_lostruns` calls it lost
    "QUEUE_UPDATE_INTERVAL": 1,
    "QUEUE_RETRY_ATTEMPTS": 1,  # more of them wait 30, 60, 120 s ... for a SLURM that does not answer
    "QSTAT_FREQUENCY": 1,
    "RAPIDFIRE_SLEEP_SECS": 30,
    "SORT_FWS": "FIFO",
}


@dataclass(frozen=True)
class Place:
    """Where the files of a site are, all paths absolute and the same on every node.

    Attributes:
        directory: they are written into it, and the jobs run in it.
        site_file: they come from.
        launchpad: the user's my_launchpad.yaml, which is named in the files and never copied.
    """

    directory: Path
    site_file: Path
    launchpad: Path

    def __post_init__(self) -> None:
        for path in (self.directory, self.site_file, self.launchpad):
            _shell_safe(path)


def launcher_files(site: Site, place: Place) -> dict[str, str]:
    """Text of every file, by its path below the directory.

    Raises:
        SettingsError: a path holds characters that mean something to a shell.
    """
    config = {**FIREWORKS_SETTINGS, "LAUNCHPAD_LOC": str(place.launchpad)}
    template = resources.files("launchers").joinpath(JOB_SCRIPT).read_text()
    files = {FW_CONFIG: _yaml(config), JOB_SCRIPT: template}
    for category in CATEGORIES:
        # every launch remembers its worker, and so how many cores its time is to be multiplied by
        cores = _tasks(site, category) * site.slurm.queue(category).cores / site.slurm.queue(category).pack
        worker = {"name": f"slurm-{category}", "category": category, "query": "{}", "env": {"cores": cores}}
        files[f"{category}/{WORKER}"] = _yaml(worker)
        files[f"{category}/{ADAPTER}"] = _yaml(_adapter(site, category, place))
    return files


def read_adapter(directory: Path, category: Category) -> CommonAdapter:
    """A category's queue adapter."""
    # FireWorks would import all of its packages to find the class by its name
    SAVED_FW_MODULES.setdefault(CommonAdapter._fw_name, CommonAdapter.__module__)
    return CommonAdapter.from_dict(yaml.safe_load((directory / category / ADAPTER).read_text()))


def job_name(category: Category) -> str:
    """Name of a category's jobs in SLURM's queue, by which they are counted."""
    return f"gnome-{category}"


def _adapter(site: Site, category: Category, place: Place) -> dict[str, Any]:
    slurm, queue = site.slurm, site.slurm.queue(category)
    tasks = _tasks(site, category)
    options = {
        "name": job_name(category),
        "account": slurm.account,
        "queue": queue.partition or slurm.partition,
        "qos": queue.qos or slurm.qos,
        "constraint": queue.constraint,
        "walltime": queue.walltime,
        "nodes": queue.nodes,
        "ntasks": tasks,
        "cpus_per_task": queue.cores,
        "memory": queue.memory,
        "gpus": queue.gpus,
        "gres": queue.gres,
        "signal": f"B:USR1@{queue.warning_s}" if queue.warning_s else None,
        "extra": "\n".join(queue.extra) or None,
        "pre_rocket": "\n".join(_first_lines(site, category, tasks, place)),
        "rocket_launch": _worker_command(site, category, place),
        "begin": f"{_program(site, 'python')} -m launchers.begin {_files_of(category, place)}",
    }
    return {
        "_fw_name": "CommonAdapter",
        "_fw_q_type": "SLURM",
        "_fw_q_name": category,
        "_fw_template_file": str(place.directory / JOB_SCRIPT),
        "_fw_timeout": 60,
        # our own two: FireWorks passes over what begins with an underscore
        "_jobs": queue.jobs,
        "_pack": queue.pack,
        "logdir": str(place.directory / category),  # without one, FireWorks keeps sbatch's errors to itself
        **{name: value for name, value in options.items() if value is not None},
    }


def _tasks(site: Site, category: Category) -> int:
    """MPI processes of a category's jobs."""
    vasp_cores = site.vasp.cores if site.vasp and category == "relax" else 1
    return site.slurm.queue(category).tasks or vasp_cores


def _first_lines(site: Site, category: Category, tasks: int, place: Place) -> list[str]:
    queue = site.slurm.queue(category)
    threads = queue.cores if queue.pack == 1 else max(1, tasks * queue.cores // queue.pack)
    vasp_modules = site.vasp.modules if site.vasp and category == "relax" else ()
    return [
        f"export {JOB_END}=$(($(date +%s) + {seconds(queue.walltime)}))",
        f"export GNOME_SITE={place.site_file} FW_CONFIG_FILE={place.directory / FW_CONFIG} OMP_NUM_THREADS={threads}",
        *site.slurm.shell,
        *(f"module load {module} || exit" for module in (*queue.modules, *vasp_modules)),
    ]


def _worker_command(site: Site, category: Category, place: Place) -> str:
    """To which FireWorks adds `--fw_id N`."""
    queue = site.slurm.queue(category)
    rlaunch = f"{_program(site, 'rlaunch')} {_files_of(category, place)} singleshot"
    if queue.pack == 1:
        return rlaunch
    pack = f"{_program(site, 'python')} -m launchers.pack --workers {queue.pack} --last_start_s {queue.last_start_s}"
    return f"{pack} {rlaunch}"


def _files_of(category: Category, place: Place) -> str:
    return f"-l {place.launchpad} -w {place.directory / category / WORKER}"


def _program(site: Site, name: str) -> str:
    """Path of a program on the nodes: the environment that this runs in, which they are taken to share."""
    return str(_shell_safe((site.slurm.bin or Path(sys.executable).parent) / name))


def _shell_safe(path: Path) -> Path:
    if not re.fullmatch(r"[\w./+@%=:,~-]+", str(path)):
        raise SettingsError(f"{str(path)!r} goes into batch scripts: take a path without blanks and quotes")
    return path


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as such."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _yaml(document: Mapping[str, Any]) -> str:
    return yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False, width=1000)
