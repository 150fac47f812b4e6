"""How near atoms come in crystals, in units of their radii: python benchmarks/bonds.py [FILE OR DIRECTORY ...].

For each set of crystals the shortest distance of each, over the sum of the two radii of gnome_torch/stability/bonds.py:
percentiles, the lowest, the lowest by blocks of the periodic table (but for what is refused), and how many are refused
as collapsed. The sets: ABX3 relaxed by DFT in cubic cells (Castelli et al., of --data), the prototypes that pymatgen
ships, some of whose cells are broken, the alloys of benchmarks/worlds, and what is named.
"""

from __future__ import annotations

import argparse
import csv
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY
from pymatgen.core import Element, Structure

from gnome_torch.data.files import read_structures
from gnome_torch.stability.bonds import SHORTEST_RADII, shortest_distance

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "shared" / "data"
REACH = 1.6
"""Longest distance looked at, in the same units."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--data", type=Path, default=DATA, help="where the perovskites are")
    parser.add_argument("--lowest", type=int, default=5, help="crystals of each set that are listed")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if (options.data / "perovskites_abx3_dft.csv").is_file():
        show("perovskites", perovskites(options.data / "perovskites_abx3_dft.csv"), options.lowest)
    show("prototypes", prototypes(), options.lowest)
    show("alloys", alloys(), options.lowest)
    for path in options.files:
        named = ((crystal.reduced_formula, crystal) for crystal in read_structures(path, lambda skipped: None))
        show(str(path), named, options.lowest)


def perovskites(path: Path) -> Iterator[tuple[str, Structure]]:
    with path.open(newline="") as file:
        for line in csv.DictReader(file):
            crystal = Structure.from_str(line["cif"], fmt="cif")
            yield crystal.reduced_formula, crystal


def prototypes() -> Iterator[tuple[str, Structure]]:
    for prototype in AFLOW_PROTOTYPE_LIBRARY:
        yield prototype["tags"]["aflow"], prototype["snl"].structure


def alloys() -> Iterator[tuple[str, Structure]]:
    for row in pq.read_table(HERE / "worlds" / "alloys" / "results.parquet").to_pylist():
        if row["structure"]:
            yield row["formula"], Structure.from_dict(json.loads(row["structure"]))


@dataclass(frozen=True, order=True)
class Contact:
    """The shortest distance of a crystal between atoms of two blocks of the periodic table.

    Attributes:
        ratio: over the sum of the two radii.
        blocks: such as "ps".
        what: the atoms, their distance, the crystal.
        refused: nearer than `shortest_distance`.
    """

    ratio: float
    blocks: str
    what: str
    refused: bool


def show(name: str, crystals: Iterator[tuple[str, Structure]], lowest: int) -> None:
    """Print what a set of crystals has."""
    found = [contacts(key, crystal) for key, crystal in crystals if crystal.is_ordered]
    nearest = sorted(min(some) for some in found if some)
    few = ", ".join(f"{value:.2f}" for value in np.percentile([one.ratio for one in nearest], [0, 0.1, 1, 5, 50]))
    refused = sum(any(one.refused for one in some) for some in found)
    print(f"{name}: {len(found)} crystals; lowest, 0.1 %, 1 %, 5 %, half: {few}; refused: {refused}")
    for one in nearest[:lowest]:
        print(f"    {one.ratio:.3f}  {one.what}{'  refused' if one.refused else ''}")
    of_blocks: dict[str, Contact] = {}
    for one in (one for some in found for one in some if not one.refused):
        of_blocks[one.blocks] = min(one, of_blocks.get(one.blocks, one))
    for blocks, one in sorted(of_blocks.items()):
        print(f"    {blocks}: {one.ratio:.3f}  {one.what}")


def contacts(name: str, crystal: Structure) -> list[Contact]:
    """The shortest distances of a crystal, one for each two blocks that come near each other."""
    numbers = np.array([site.specie.Z for site in crystal])
    centres, neighbours, _, distances = crystal.get_neighbor_list(2 * REACH * float(SHORTEST_RADII[numbers].max()))
    one, other = numbers[centres], numbers[neighbours]
    ratios = distances / (SHORTEST_RADII[one] + SHORTEST_RADII[other])
    refused = distances < shortest_distance(one, other)
    found: dict[str, Contact] = {}
    for at in np.argsort(ratios).tolist():
        atoms = [Element.from_Z(int(z)) for z in (one[at], other[at])]
        blocks = "".join(sorted("p" if atom.Z < 3 else atom.block for atom in atoms))
        what = f"{atoms[0].symbol}-{atoms[1].symbol} {distances[at]:.2f} angstrom in {name}"
        found.setdefault(blocks, Contact(float(ratios[at]), blocks, what, bool(refused[at])))
    return list(found.values())


if __name__ == "__main__":
    main()
