"""What a relaxation has made of a crystal: the same kind of structure, another one, or pieces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import covalent_radii
from pymatgen.core import Structure

from gnome_torch.stability.novelty import prototype_of
from gnome_torch.symmetry import symmetry

SYMPREC = 0.1
"""Tolerance of the symmetry search, angstrom."""

BONDED = 1.6
"""Atoms further apart than this, in units of the sum of their covalent radii, hold nothing together."""


MAX_FORCE = 0.1
"""A larger force that is left over is told, eV/angstrom."""

MAX_SWELLING = 0.2
"""So is a larger change of volume, as a fraction: such a crystal is not the one that was proposed."""


@dataclass(frozen=True)
class Change:
    """A crystal before and after its relaxation.

    Attributes:
        spacegroup_before: number.
        spacegroup_after: number.
        prototype_before: label; None where the symmetry search fails.
        transformed: whether it is of another prototype now.
        volume: after, as a fraction of that before.
        fell_apart: whether an atom has lost all its neighbours.
    """

    spacegroup_before: int
    spacegroup_after: int
    prototype_before: str | None
    transformed: bool
    volume: float
    fell_apart: bool


def changed(before: Structure, after: Structure) -> Change:
    """Compare a crystal with what its relaxation has made of it.

    Args:
        before: the input.
        after: the same atoms, relaxed.
    """
    label = prototype_of(before)
    return Change(
        spacegroup_before=symmetry(before, SYMPREC).number,
        spacegroup_after=symmetry(after, SYMPREC).number,
        prototype_before=label,
        transformed=label != prototype_of(after),
        volume=float((after.volume / len(after)) / (before.volume / len(before))),
        fell_apart=_is_in_pieces(after),
    )


def _is_in_pieces(structure: Structure) -> bool:
    """Whether an atom has no neighbour within reach of a bond."""
    radii = covalent_radii[np.array(structure.atomic_numbers)]
    centres, neighbours, _, distances = structure.get_neighbor_list(2 * BONDED * float(radii.max()))
    bonded = distances <= BONDED * (radii[centres] + radii[neighbours])
    return len(np.unique(centres[bonded])) < len(structure)


def warnings(change: Mapping[str, Any] | None, max_force: float | None) -> tuple[str, ...]:
    """What a relaxation did that casts doubt on its result, in words.

    Args:
        change: the fields of a `Change`; None where they are not known.
        max_force: largest force at the end, eV/angstrom; None where it is not known.
    """
    found = []
    if max_force is not None and max_force > MAX_FORCE:
        found.append(f"forces up to {max_force:.2f} eV/angstrom left")
    if change is not None:
        if change["fell_apart"]:
            found.append("fell apart")
        if change["transformed"]:
            before, after = change["spacegroup_before"], change["spacegroup_after"]
            groups = f", space group {before} to {after}" if before != after else ""
            found.append(f"relaxed into another prototype{groups}")
        if abs(change["volume"] - 1.0) > MAX_SWELLING:
            found.append(f"volume {change['volume'] - 1.0:+.0%}")
    return tuple(found)
