"""Fireworks as jobs on a real SLURM."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from fireworks import Firework, LaunchPad
from slurm import Slurm

Gnome = Callable[..., tuple[int, str, str]]

SITE = """\
slurm:
  partition: cpu
  control: {walltime: 00:10:00, pack: 3}
  relax: {walltime: 00:10:00, jobs: 4}
  train: {walltime: 00:10:00, partition: gpu, gpus: 1, cores: 2}
"""


class Jobs:
    """A directory of `gnome launchers write`, and its LaunchPad."""

    def __init__(self, slurm: Slurm, launchpad: LaunchPad, directory: Path, gnome: Gnome) -> None:
        self.slurm, self.launchpad, self.directory, self.gnome = slurm, launchpad, directory, gnome
        server = {"host": launchpad.host, "port": launchpad.port, "name": launchpad.name}
        (directory / "my_launchpad.yaml").write_text(yaml.safe_dump(server))

    def write(self, site: str = SITE) -> tuple[int, str, str]:
        place = self.directory
        (place / "site.yaml").write_text(site)
        files = ["--site", place / "site.yaml", "--launchpad", place / "my_launchpad.yaml"]
        return self.gnome("launchers", "write", *files, "--out", place / "jobs")

    def launch(self, *options: str) -> tuple[int, list[str], str]:
        """Exit status, lines on standard output, standard error."""
        status, out, err = self.gnome("launchers", "launch", self.directory / "jobs", "--once", *options)
        return status, out.splitlines(), err

    def add(self, task: Any, category: str, name: str = "some work") -> int:
        firework = Firework([task], spec={"_category": category}, name=name)
        (fw_id,) = self.launchpad.add_wf(firework).values()
        return int(fw_id)

    def wait(self, what: Callable[[], Any], patience_s: float = 60.0) -> Any:
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            if found := what():
                return found
            time.sleep(0.2)
        logs = "\n".join(path.read_text() for path in self.directory.rglob("job-*.out"))
        raise AssertionError(f"waited in vain; the jobs wrote:\n{logs}\n{self.slurm.ask('squeue')}")

    def wait_for_state(self, fw_id: int, state: str) -> Any:
        """The Firework, once it is in that state."""
        return self.wait(lambda: (found := self.launchpad.get_fw_by_id(fw_id)).state == state and found)

    def stored(self, fw_id: int) -> dict[str, Any]:
        """What a Firework stored, once it is complete."""
        data: dict[str, Any] = self.wait_for_state(fw_id, "COMPLETED").launches[-1].action.stored_data
        return data

    def submitted(self) -> list[Path]:
        return list(self.directory.rglob("FW_submit.script"))
