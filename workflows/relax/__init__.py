"""Relaxations: theories as atomate2 flows. The only package that knows atomate2.

base.py         what a theory is
potentials.py   emt, forcefield, ase: calculators of ASE
calculators.py  those that are loaded once per process
vasp.py         vasp-pbe-mp, vasp-r2scan-mp
gpaw.py         gpaw
lookup.py       lookup: a table of known results
registry.py     all of them
checks.py       whether a machine has it, and what the inputs look like
"""

from workflows.relax.base import Theory
from workflows.relax.registry import TheorySettings, theory

__all__ = ["Theory", "TheorySettings", "theory"]
