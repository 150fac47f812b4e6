"""The crystal of a block: what the file says, checked against what the file says of it."""

from __future__ import annotations

from collections.abc import Sequence

from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from gnome_torch.data.cif.blocks import Block, CifError, blocks_of
from gnome_torch.data.cif.declared import Declared, declared_of
from gnome_torch.data.cif.groups import NAMES, NUMBERS, Setting, declared_settings, fitting, operations_of_number
from gnome_torch.data.cif.operations import IDENTITY, Operations, operations_of
from gnome_torch.data.cif.orbits import all_atoms
from gnome_torch.data.cif.sites import Site, number_of, sites_of
from gnome_torch.data.sound import CrystalError, sound, sound_lattice
from gnome_torch.symmetry import symmetry

SAME_SITE = 0.01
"""How far sites of a cell may be off the translation that makes it smaller, angstrom: the rounding of a file."""
OPERATIONS = (
    "_space_group_symop_operation_xyz",
    "_symmetry_equiv_pos_as_xyz",
    "_space_group_symop_magn_operation_xyz",
    "_space_group_symop_magn_operation_mxmymz",
)
CENTRINGS = "_space_group_symop_magn_centering_xyz"
TOLERANCES = (0.01, 0.1)
"""Within which a crystal may have the declared symmetry, angstrom."""


def crystal_of_cif(text: str) -> tuple[Structure, int]:
    """The crystal of a text with one block of a crystal: its primitive cell, and the atoms in the cell of the file.

    Raises:
        CifError: the text has no such block or several, or as `crystal_of_block`.
        CrystalError: as `crystal_of_block`.
    """
    blocks = [block for block in blocks_of(text) if block.has_crystal]
    if len(blocks) != 1:
        raise CifError(f"{len(blocks)} crystals in it: one is expected")
    return crystal_of_block(blocks[0])


def crystal_of_block(block: Block) -> tuple[Structure, int]:
    """The crystal of a block: its primitive cell, and the atoms in the cell of the file.

    Raises:
        CifError: the block is not complete, contradicts itself, or leaves the crystal open.
        CrystalError: what it describes cannot be a crystal.
    """
    if block.problem:
        raise CifError(block.problem)
    lattice = _lattice(block)
    declared = declared_of(block)
    sites = sites_of(block, declared.formula)
    settings = declared_settings(block)
    operations = _listed(block)
    if operations is not None:
        if not operations.keep(lattice.metric_tensor):
            raise CifError("the cell has not the symmetry of the operations: mend one of them")
        structure = _checked(lattice, sites, operations, declared)
        _check_group(block, settings, operations, structure)
    elif settings:
        structure = _of_a_name(block, lattice, sites, declared, settings)
    elif name := block.value(*NAMES):
        raise CifError(f"space group {name!r} is not in the International Tables: list its symmetry operations")
    else:
        structure = _checked(lattice, sites, IDENTITY, declared)
        if not declared.counts_atoms:  # the sites of an asymmetric unit would pass for a whole cell
            raise CifError(
                "it says nothing of symmetry, nor how many atoms the cell has (_cell_formula_units_Z, a density): if "
                "its sites are all of them, add _space_group_symop_operation_xyz 'x, y, z'"
            )
    return sound(structure.get_primitive_structure(tolerance=SAME_SITE)), len(structure)


def _lattice(block: Block) -> Lattice:
    items = [
        f"_cell_{what}" for what in ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    ]
    if lacking := [item for item in items if not block.value(item)]:
        raise CifError(f"no {lacking[0]}: a cell has three lengths and three angles")
    values = [number_of(block.value(item), item) for item in items]
    if not all(length > 0 for length in values[:3]) or not all(0 < angle < 180 for angle in values[3:]):
        raise CifError(f"no cell: lengths {values[:3]}, angles {values[3:]}")
    return sound_lattice(Lattice.from_parameters(*values))


def _listed(block: Block) -> Operations | None:
    """The operations that a block lists."""
    if block.value("_cell_modulation_dimension") not in ("", "0") or block.column("_space_group_ssg_name"):
        raise CifError("a modulated structure: no one cell describes it")
    for item in OPERATIONS:
        texts = [text for text in block.column(item) if text]
        if texts:
            return operations_of(tuple(texts), tuple(block.column(CENTRINGS)) or ("x,y,z",))
    if any(key.startswith("_space_group_magn_") for key in (*block.values, *block.columns)):
        raise CifError("a magnetic space group by its name alone: list its operations")
    return None


def _checked(lattice: Lattice, sites: Sequence[Site], operations: Operations, declared: Declared) -> Structure:
    structure = sound(all_atoms(lattice, sites, operations))
    declared.check(structure)
    return structure


def _check_group(block: Block, settings: Sequence[Setting], operations: Operations, structure: Structure) -> None:
    """Refuse operations that are not those of the declared space group, unless the crystal has it all the same."""
    text = block.value(*NUMBERS)
    numbers = {setting.number for setting in settings} or ({int(text)} if text.isdecimal() else set())
    known = [setting.operations for setting in settings] + [operations_of_number(number) for number in numbers]
    if not known or any(_as_many(operations, some) for some in known):
        return
    found = [symmetry(structure.copy().remove_oxidation_states(), symprec).number for symprec in TOLERANCES]
    if not numbers & set(found):
        raise CifError(
            f"space group {block.value(*NAMES) or text!r} is declared, and its {len(operations)} operations give one "
            f"of number {found[0]}: mend one of them"
        )


def _as_many(listed: Operations, known: Operations) -> bool:
    """Whether operations can be those of a group: as many, or in a cell with more centrings, such as `I 1`."""
    rotations, others = (len({rotation.tobytes() for rotation in some.rotations}) for some in (listed, known))
    return len(listed) == len(known) or (rotations == others and len(listed) > len(known))


def _of_a_name(
    block: Block, lattice: Lattice, sites: Sequence[Site], declared: Declared, settings: Sequence[Setting]
) -> Structure:
    """The crystal of the only setting that the cell, the atoms and what is declared agree with."""
    name = block.value(*NAMES) or f"number {settings[0].number}"
    possible = fitting(settings, lattice.metric_tensor)
    if not possible:
        raise CifError(f"the cell has not the symmetry of space group {name}: mend one of them, or list the operations")
    found, problems = [], []
    for setting in possible:
        try:
            found.append(_checked(lattice, sites, setting.operations, declared))
        except (CifError, CrystalError) as error:
            problems.append(error)
    if not found:
        raise problems[0]
    if not all(_same(found[0], other) for other in found[1:]):
        choices = " and ".join(f":{setting.choice}" for setting in possible)
        raise CifError(f"space group {name} leaves the origin open: {choices} give different crystals; say which one")
    return found[0]


def _same(one: Structure, other: Structure) -> bool:
    return bool(StructureMatcher(scale=False, ltol=0.01, stol=0.01, angle_tol=0.5).fit(one, other))
