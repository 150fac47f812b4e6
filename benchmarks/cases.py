"""Inputs that were read wrongly, and how they are read now: `python benchmarks/cases.py [--cases ../shared/cases]`.

One line a case: what was read before (as the README of the cases says), what is read now, what is right.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
warnings.simplefilter("ignore")

from gnome_torch.data.energy_files import EnergyFile  # noqa: E402
from gnome_torch.data.files import StructureFileError, read_crystals  # noqa: E402
from gnome_torch.data.outside import OutsideRecord, SourceError  # noqa: E402
from gnome_torch.data.rejects import Reject  # noqa: E402
from workflows.campaign.settings import read_campaign_file  # noqa: E402
from workflows.ground.strict import SettingsError  # noqa: E402

CASES = Path(__file__).parents[2] / "shared" / "cases"


def readme_rows(text: str) -> dict[str, list[str]]:
    """The cells behind the name of each file in the tables of the README; `a, b (c)` names a and b."""
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) > 1 and cells[0] not in ("file", "") and not cells[0].startswith("---"):
            for name in re.sub(r"\(.*?\)", "", cells[0]).split(","):
                found[name.strip()] = cells[1:]
    return found


def crystals_now(path: Path) -> str:
    """Formula, atoms and space group of each crystal of a file, or why it is refused."""
    try:
        crystals = list(read_crystals(path))
    except StructureFileError as error:
        return str(error).removeprefix(f"{path}: ")
    texts = []
    for crystal in crystals:
        if crystal.structure is None:
            texts.append(f"refused: {crystal.problem.removeprefix('cannot be read: ')}")
        else:
            group = crystal.structure.get_space_group_info(0.01)[0]
            texts.append(f"{crystal.structure.reduced_formula}, {crystal.cell_sites} atoms, {group}")
    return "; ".join(texts)


def records_now(path: Path) -> str:
    """Records of energies, or why they are refused."""
    column = "e_form" if "e_form" in path.read_text(errors="replace").splitlines()[0] else "target"
    try:
        items = list(EnergyFile(path, energy=column).records())
    except SourceError as error:
        return str(error).removeprefix(f"{path}: ")
    return "; ".join(_record(item) for item in items)


def _record(item: OutsideRecord | Reject) -> str:
    if isinstance(item, Reject):
        return f"{item.place} rejected: {item.reason}"
    return f"{item.formula} {item.energy_per_atom:.3f}"


def settings_now(path: Path) -> str:
    """What a campaign file is taken for."""
    try:
        return f"campaign {read_campaign_file(path).name}"
    except SettingsError as error:
        return str(error).removeprefix(f"{path}: ")


def lines(cases: Path) -> Iterator[tuple[str, str, str, str]]:
    """Name, before, now and right of each case."""
    told = readme_rows((cases / "README.md").read_text())
    for path in sorted((cases / "cif").glob("*.cif")):
        cells = told.get(path.stem, ["", "?", "?"])
        yield path.stem, cells[-2], crystals_now(path), cells[-1]
    for path in sorted([*(cases / "files").iterdir(), *(cases / "tables").iterdir()]):
        now = settings_now if path.suffix == ".yaml" else crystals_now
        if path.suffix == ".csv" or path.name.startswith("computed_entries"):
            now = records_now
        yield path.name, "", now(path), told.get(path.name, ["?"])[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=Path, default=CASES, help="directory of the cases, with their README.md")
    cases = parser.parse_args().cases
    if not (cases / "README.md").is_file():
        sys.exit(f"skipped: {cases} has no README.md; the cases are not part of the repository: name them with --cases")
    for name, before, now, right in lines(cases):
        print(f"{name}\n    before  {before}\n    now     {now}\n    right   {right}")


if __name__ == "__main__":
    main()
