"""Would SLURM take the jobs? It is asked, before the first is submitted."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from launchers.files import read_adapter
from workflows.ground.queues import CATEGORIES, Category
from workflows.ground.slurm import SlurmError, ask_slurm


@dataclass(frozen=True)
class Verdict:
    """What SLURM says of a category's job.

    Attributes:
        category: whose job it is.
        reason: why SLURM refuses it; empty: it takes it.
    """

    category: Category
    reason: str


# what SLURM says, and the keys of the site file that ask for what it refuses; {} is the category
KEYS = {
    "node configuration|node count|requires more": "slurm.{}.cores, tasks, nodes, memory, gpus, gres",
    "account": "slurm.account, slurm.{}.partition",
    "partition": "slurm.{}.partition, slurm.partition",
    "qos": "slurm.{}.qos, slurm.qos",
    "time limit": "slurm.{}.walltime",
    "feature": "slurm.{}.constraint",
    "generic resource|gres": "slurm.{}.gpus, gres",
}


def batch_script(directory: Path, category: Category) -> str:
    """The script of a category's job, as FireWorks fills it in, for a Firework 0 that there never is."""
    adapter = read_adapter(directory, category)
    adapter["rocket_launch"] += " --fw_id 0"
    script: str = adapter.get_script_str(str(directory / category))
    return script


def verdicts(directory: Path) -> Iterator[Verdict]:
    """SLURM's opinion of every category's job (`sbatch --test-only`: nothing is submitted)."""
    with tempfile.TemporaryDirectory() as place:
        for category in CATEGORIES:
            script = Path(place) / f"{category}.sh"
            script.write_text(batch_script(directory, category))
            try:
                ask_slurm(["sbatch", "--test-only", str(script)])
                yield Verdict(category, "")
            except SlurmError as error:
                yield Verdict(category, f"{error}{_remedy(str(error), category)}")


def _remedy(reason: str, category: Category) -> str:
    """Which keys of the site file to look at; empty where SLURM's words do not tell."""
    for words, keys in KEYS.items():
        if re.search(words, reason, re.IGNORECASE):
            # MPI processes of VASP, unless slurm.relax.tasks says otherwise
            vasp = "vasp.cores, " if category == "relax" and "cores" in keys else ""
            return f": look at {vasp}{keys.format(category)} in the site file"
    return ""
