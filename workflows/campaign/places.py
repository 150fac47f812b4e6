"""Where a campaign's files are: every path below its directory is named here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from gnome_torch.files import write_whole
from workflows.ground.strict import SettingsError

MARK = "campaign.json"  # in a campaign's directory: whose it is


@dataclass(frozen=True)
class RoundPlaces:
    """The files of one round.

    Attributes:
        root: directory of the campaign.
        number: of the round.
    """

    root: Path
    number: int

    @property
    def directory(self) -> Path:
        """All of the round."""
        return self.root / f"round-{self.number}"

    @property
    def candidates(self) -> Path:
        """Shards of the crystals that were generated."""
        return self.directory / "candidates"

    @property
    def proposed(self) -> Path:
        """What a candidate source of another package has proposed."""
        return self.directory / "proposed"

    @property
    def baseline(self) -> Path:
        """How the baseline's energies become formation energies."""
        return self.directory / "baseline.json"

    @property
    def screening(self) -> Path:
        """What the networks think of each crystal."""
        return self.directory / "screening"

    @property
    def compositions(self) -> Path:
        """Shards of the formulas that were generated."""
        return self.directory / "compositions"

    @property
    def composition_screening(self) -> Path:
        """What the networks think of each formula."""
        return self.directory / "composition-screening"

    @property
    def searches(self) -> Path:
        """The crystals of random structure searches, files for each formula."""
        return self.directory / "search"

    def crystals(self, formula: str) -> Path:
        """The crystals that the search of a formula has made."""
        return self.searches / f"{formula}.extxyz"

    def pre_relaxed(self, formula: str) -> Path:
        """What their cheap relaxations came to, a line each."""
        return self.searches / f"{formula}.pre-relaxed.jsonl"


def logs_of(root: Path) -> Path:
    """Logs of the workers on this machine."""
    return root / "logs"


def launches_of(root: Path) -> Path:
    """Directories that the workers on this machine run Fireworks in."""
    return root / "launches"


def seed_rejects_of(root: Path) -> Path:
    """Crystals of `seeds.source` that could not be used."""
    return root / "seeds.rejects.csv"


def steps_file(root: Path, candidate: str, restart: int = 0) -> Path:
    """Where the ionic steps of a candidate's relaxation are kept.

    Args:
        root: directory of the campaign.
        candidate: its key.
        restart: how often the relaxation had been restarted before.
    """
    name = candidate.rpartition("/")[2] + (f"-{restart}" if restart else "")
    return root / "steps" / f"{name}.extxyz"


def check_directory_is_free(root: Path, name: str) -> None:
    """Make a campaign's directory; two campaigns in one would train on each other's data.

    Raises:
        SettingsError: it cannot be made, or is another campaign's.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"directory {root} cannot be made ({error.strerror}): set 'directory'") from None
    if (root / MARK).exists():
        owner = json.loads((root / MARK).read_text()).get("name", "another")
        raise SettingsError(
            f"directory {root} holds the files of campaign '{owner}' of this or another database: "
            f"remove it if they are not needed, or set 'directory', or rename campaign '{name}'"
        )


def mark_directory(root: Path, name: str, uid: str) -> None:
    """Write down whose the directory is."""
    write_whole(root / MARK, json.dumps({"name": name, "uid": uid}) + "\n")
