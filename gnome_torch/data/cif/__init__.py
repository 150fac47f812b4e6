"""Crystals from CIF: what the file says, or a refusal with the reason.

| module | subject |
|---|---|
| blocks.py | the text: blocks, values, loops, each with its line |
| operations.py | symmetry operations written as `x, y, z` |
| groups.py | space groups by name or number, in the settings of the International Tables |
| sites.py | the sites of a block: element, place, rounding |
| orbits.py | all atoms of a cell from its sites and operations |
| declared.py | what the file says of its own content, against what was read |
| crystals.py | the crystal of a block |
"""

from gnome_torch.data.cif.blocks import Block, CifError, blocks_of
from gnome_torch.data.cif.crystals import crystal_of_block, crystal_of_cif

__all__ = ["Block", "CifError", "blocks_of", "crystal_of_block", "crystal_of_cif"]
