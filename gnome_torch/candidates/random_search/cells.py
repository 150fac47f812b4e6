"""Random cells with symmetry, by PyXtal (Fredericks et al., Comput. Phys. Commun. 261, 107810, 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import version

import numpy as np
from pymatgen.core import Structure

from gnome_torch.candidates.random_search.options import ORDERS, Attempt
from gnome_torch.symmetry import primitive

GROUPS_TRIED = 40
"""Space groups drawn for one attempt until one has places for the atoms."""


class NoCellError(Exception):
    """An attempt without a cell; the message is the reason, in a few words that attempts share."""


class OutOfTimeError(NoCellError):
    """An attempt that has run into its time limit."""


class ProgramFailedError(NoCellError):
    """An attempt at which the program failed; at all of them, that says nothing about the composition."""


class PyxtalCells:
    """A space group, Wyckoff positions for the atoms and a lattice, all from PyXtal's tables.

    PyXtal's own `from_random` draws again until no atoms are near one another. Here atoms fall where they fall, and
    soft spheres push them apart, which is many times faster (`benchmarks/rediscovery.py` prints both rates).
    """

    @property
    def name(self) -> str:
        """Program and version."""
        return f"pyxtal {version('pyxtal')}"

    def input_of(self, attempt: Attempt) -> str:
        """Nothing: it reads no file."""
        return ""

    def cell(self, attempt: Attempt, rng: np.random.Generator) -> Structure:
        """One random primitive cell; atoms may still be too near one another.

        Raises:
            NoCellError: the attempt failed.
        """
        groups = space_groups(*attempt.options.operations)
        symbols, amounts = list(attempt.atoms), list(attempt.atoms.values())
        for number in rng.choice(groups, size=GROUPS_TRIED):
            group = _group(int(number))
            sites = _occupied(group, amounts, rng)
            matrix = _lattice(group, attempt.volume, rng) if sites is not None else None
            if sites is None or matrix is None:
                continue
            species = [symbol for symbol, some in zip(symbols, sites, strict=True) for _ in some]
            cell = primitive(Structure(matrix, species, np.concatenate(sites)))
            if cell is None or len(cell) != sum(amounts):
                continue  # of fewer atoms: another number of formula units
            cell.scale_lattice(attempt.volume)
            return cell
        raise NoCellError("no space group had places for the atoms")


@dataclass(frozen=True, eq=False)
class _Group:
    """Tables of a space group.

    Attributes:
        lattice: PyXtal's name of its kind of lattice.
        points: lattice points in the conventional cell.
        positions: of each Wyckoff position, the general one first: rotations, (m, 3, 3), and translations, (m, 3).
        fixed: whether a position has no free coordinate, so that it can be occupied once only.
    """

    lattice: str
    points: int
    positions: tuple[tuple[np.ndarray, np.ndarray], ...]
    fixed: tuple[bool, ...]


@cache
def space_groups(fewest: int, most: int) -> np.ndarray:
    """Numbers of the space groups whose point group has so many operations, (n,)."""
    return np.array([number for number in range(1, 231) if fewest <= operations_of(number) <= most])


def operations_of(spacegroup: int) -> int:
    """Operations of the point group of a space group, by its number."""
    return next(order for last, order in ORDERS if spacegroup <= last)


_LATTICE_POINTS = {"P": 1, "A": 2, "B": 2, "C": 2, "I": 2, "R": 3, "F": 4}


@cache
def _group(number: int) -> _Group:
    from pyxtal.symmetry import Group

    group = Group(number)
    matrices = [np.array([operation.affine_matrix for operation in position.ops]) for position in group]
    return _Group(
        lattice=group.lattice_type,
        points=_LATTICE_POINTS[group.symbol[0]],
        positions=tuple((some[:, :3, :3], some[:, :3, 3]) for some in matrices),
        fixed=tuple(not some[:, :3, :3].any() for some in matrices),
    )


def _occupied(group: _Group, amounts: list[int], rng: np.random.Generator) -> list[np.ndarray] | None:
    """Fractional coordinates of each element's atoms, (n, 3), in the conventional cell; None where they do not fit.

    Half of the time the position of most atoms that fits, else any that fits, as PyXtal chooses.
    """
    sizes = [len(rotations) for rotations, _ in group.positions]
    taken: set[int] = set()
    sites = []
    for amount in amounts:
        missing, some = amount * group.points, []
        while missing:
            fitting = [i for i, size in enumerate(sizes) if size <= missing and i not in taken]
            if not fitting:
                return None
            if rng.random() < 0.5:
                largest = max(sizes[i] for i in fitting)
                fitting = [i for i in fitting if sizes[i] == largest]
            which = int(rng.choice(fitting))
            if group.fixed[which]:
                taken.add(which)
            rotations, translations = group.positions[which]
            some.append(rotations @ rng.random(3) + translations)
            missing -= sizes[which]
        sites.append(np.concatenate(some) % 1.0)
    return sites


def _lattice(group: _Group, volume: float, rng: np.random.Generator) -> np.ndarray | None:
    """Lattice vectors of the conventional cell as rows, angstrom, (3, 3); None where PyXtal finds none."""
    from pyxtal.lattice import Lattice
    from pyxtal.msg import VolumeError

    try:
        return np.array(Lattice(group.lattice, volume * group.points, random_state=rng).matrix)
    except VolumeError:
        return None
