"""Open DFT for groups without a VASP licence: GPAW with plane waves, through atomate2's maker for ASE calculators.

pip install 'gnome-torch[gpaw]'      # wants libxc and BLAS: see docs/relaxation.md
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

from pydantic import Field
from pymatgen.core import Structure

from gnome_torch.stability.corrections import CorrectionScheme
from workflows.ground.strict import SettingsError
from workflows.relax.base import Theory, TheoryBase
from workflows.relax.potentials import AseRelaxation

NO_SETUPS = frozenset({"Tc"})
"""Elements up to bismuth that gpaw-data has no setup for."""


class GpawTheory(TheoryBase):
    """PBE in plane waves. No U: energies of oxides of Co, Cr, Fe, Mn, Mo, Ni, V, W are not comparable with others'."""

    name: Literal["gpaw"] = "gpaw"
    cutoff: float = Field(800.0, ge=300, description="eV; at 400 the stress of MgO was wrong by 60 GPa")
    kpoint_density: float = Field(3.0, gt=0, description="points per 1/angstrom, gamma-centred")
    smearing: float = Field(0.05, gt=0, description="Fermi-Dirac width, eV")
    fmax: float = Field(0.05, gt=0, le=0.5, description="largest force left, eV/angstrom")
    max_steps: int = Field(100, ge=2, description="ionic steps at most")
    release: str = Field("gpaw-26 pbe-24", description="of program and setups: another one is another theory")
    corrections: Literal["none", "MP2020"] = Field("none", description="those its energies still need before a hull")

    @property
    def supported(self) -> frozenset[str]:
        """Elements up to bismuth that gpaw-data has a setup for."""
        from pymatgen.core import Element

        return frozenset(e.symbol for e in Element if e.Z <= 83) - NO_SETUPS


def gpaw(settings: GpawTheory) -> Theory:
    """GPAW.

    Raises:
        SettingsError: it is not installed.
    """
    if find_spec("gpaw") is None:
        raise SettingsError("theory 'gpaw': the package 'gpaw' is not installed: pip install 'gnome-torch[gpaw]'")
    maker = {
        "name": "relax gpaw",
        "force_field_name": {"@module": "workflows.calculators", "@callable": "gpaw"},
        "calculator_kwargs": {
            "cutoff": settings.cutoff,
            "kpoint_density": settings.kpoint_density,
            "smearing": settings.smearing,
        },
    }
    scheme = CorrectionScheme(settings.corrections)
    return AseRelaxation(settings, f"gpaw-{settings.key()}", scheme, maker)


def energy_volume(settings: GpawTheory, structure: Structure, scales: list[float]) -> list[tuple[float, float]]:
    """Volume and energy of a crystal at some volumes, cubic angstrom and eV, each converged by itself.

    Args:
        settings: of the calculations.
        structure: the crystal.
        scales: factors of its volume.
    """
    from pymatgen.io.ase import AseAtomsAdaptor

    from workflows.relax.calculators import gpaw as calculator

    points = []
    for scale in scales:
        scaled = structure.copy()
        scaled.scale_lattice(structure.volume * scale)
        atoms = AseAtomsAdaptor.get_atoms(scaled, msonable=False)
        atoms.calc = calculator(settings.cutoff, settings.kpoint_density, settings.smearing)
        points.append((float(scaled.volume), float(atoms.get_potential_energy())))
    return points
