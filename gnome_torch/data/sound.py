"""What every crystal from outside must be: a finite cell, atoms that can be there, elements."""

from __future__ import annotations

from typing import Any

import numpy as np
from pymatgen.core import Element, Lattice, Species, Structure

from gnome_torch.data.isotopes import ISOTOPES

NEAREST = 0.5
"""No two atoms are nearer, angstrom: the shortest bond there is, of H2, is 0.74."""
LONGEST = 1000.0
"""No vector of a cell is longer, angstrom."""
THINNEST = 0.5
"""No cell is thinner, angstrom: its atoms would meet themselves."""
FARTHEST = 1000.0
"""No coordinate is larger, in units of the cell's vectors: atoms of molecular dynamics drift some tens of cells."""
NEARBY = 3.0
"""Atoms that are farther away are put back into the cell, in units of its vectors."""
DENSEST, EMPTIEST = 1.0, 1000.0
"""Volume of an atom, cubic angstrom: hydrogen at the centre of Jupiter has more than the one, no solid the other."""
ROOMY = 40.0
"""Volume of an atom above which a cell is searched for empty space, cubic angstrom."""
GAP = 6.0
"""Atoms farther apart are not in touch, angstrom: in caesium, the widest solid of atoms, it is 5.3."""
_SHAPES = {0: "molecules or atoms", 1: "chains", 2: "a slab"}


class CrystalError(ValueError):
    """What cannot be a crystal; one line that says why."""


def sound_lattice(lattice: Lattice) -> Lattice:
    """A lattice whose cell can hold atoms.

    Raises:
        CrystalError: it is not finite, flat, or absurdly large.
    """
    matrix = lattice.matrix
    if not np.isfinite(matrix).all():
        raise CrystalError(f"its cell is not finite: {matrix.tolist()}")
    if (longest := np.abs(matrix).max()) > LONGEST:
        raise CrystalError(f"its cell has a vector of {longest:.4g} angstrom, more than {LONGEST:g}")
    volume = abs(float(np.linalg.det(matrix)))
    areas = np.linalg.norm(np.cross(matrix[[1, 2, 0]], matrix[[2, 0, 1]]), axis=1)
    if volume < THINNEST * areas.max() or not areas.all():
        raise CrystalError(f"its cell is flat: {volume:.3g} cubic angstrom")
    return lattice


def sound(structure: Structure) -> Structure:
    """A crystal that can be one, with isotopes as their elements; a disordered one, too, whose sites may be near.

    Raises:
        CrystalError: it has no atoms, no finite cell or coordinates, an absurd volume, atoms on one another, or
            something that is not an element.
    """
    if not len(structure):
        raise CrystalError("it has no atoms")
    sound_lattice(structure.lattice)
    if not np.isfinite(structure.frac_coords).all():
        raise CrystalError("a coordinate is not finite")
    farthest = np.abs(structure.frac_coords).max()
    if farthest > FARTHEST:
        raise CrystalError(f"a coordinate of {farthest:.4g} in units of the cell, more than {FARTHEST:g}")
    if farthest > NEARBY:  # a search for neighbours would fill all the space to them, and the memory
        structure = structure.copy().translate_sites(range(len(structure)), [0, 0, 0], to_unit_cell=True)
    structure = _of_elements(structure)
    volume = structure.volume / len(structure)
    if not volume < EMPTIEST:
        raise CrystalError(f"{volume:,.0f} cubic angstrom per atom: an atom or a molecule in a box is no crystal")
    if not structure.is_ordered:
        return structure
    if not volume > DENSEST:
        raise CrystalError(f"{volume:.4g} cubic angstrom an atom: no crystal has less than {DENSEST:g}")
    first, second, _, distances = structure.get_neighbor_list(NEAREST)
    if len(distances):
        nearest = int(distances.argmin())
        one, other = (structure[i] for i in sorted((int(first[nearest]), int(second[nearest]))))
        what = "overlapping atoms" if one.specie == other.specie else "two elements on one site, or overlapping atoms"
        raise CrystalError(
            f"{what}: {one.species_string} and {other.species_string} ({one.label}, {other.label}) are "
            f"{distances[nearest]:.2f} angstrom apart, less than {NEAREST:g}"
        )
    return structure


def check_is_bulk(structure: Structure) -> None:
    """Make sure that a crystal fills its cell.

    Raises:
        CrystalError: a molecule, chain or slab with empty space around it.
    """
    if structure.volume / len(structure) < ROOMY:
        return
    dimensions = _dimensions(structure)
    if dimensions < 3:
        raise CrystalError(f"{_SHAPES[dimensions]} in a box, {GAP:g} angstrom and more from the next: no crystal")


def _of_elements(structure: Structure) -> Structure:
    """With isotopes as their elements."""
    found = {species for site in structure for species in site.species}
    strange = sorted(str(species) for species in found if not isinstance(species, Element | Species))
    if strange:
        raise CrystalError(f"{strange[0]} is not an element")
    isotopes = {s for s in found if s.Z == 1 and (s.value if isinstance(s, Element) else str(s))[0] in ISOTOPES}
    if not isotopes:
        return structure
    elements: dict[Any, Any] = {
        s: Element("H") if isinstance(s, Element) else Species("H", s.oxi_state) for s in isotopes
    }
    return structure.copy().replace_species(elements)


def _dimensions(structure: Structure) -> int:
    """In how many directions atoms in touch go on without end."""
    first, second, cells, _ = structure.get_neighbor_list(GAP)
    neighbours: dict[int, list[tuple[int, np.ndarray]]] = {}
    for one, other, cell in zip(first.tolist(), second.tolist(), np.rint(cells).astype(int), strict=True):
        neighbours.setdefault(one, []).append((other, cell))
    reached: dict[int, np.ndarray] = {}
    most = 0
    for start in range(len(structure)):
        if start in reached:
            continue
        reached[start] = np.zeros(3, dtype=int)
        waiting, loops = [start], {(0, 0, 0)}
        while waiting:
            here = waiting.pop()
            for other, cell in neighbours.get(here, ()):
                place = reached[here] + cell
                if other not in reached:
                    reached[other] = place
                    waiting.append(other)
                else:
                    loops.add(tuple((place - reached[other]).tolist()))
        most = max(most, int(np.linalg.matrix_rank(np.array(list(loops)))))
    return most
