"""Relaxations: the theories a campaign may use, as atomate2 flows. The only module that knows atomate2."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from fireworks import Workflow
from pymatgen.core import Structure

from gnome_torch.records import Relaxation, content_hash
from gnome_torch.stability.corrections import CorrectionScheme
from workflows.firetasks.relax import with_launchpad_store
from workflows.settings import EmtTheory, ForcefieldTheory, SettingsError, TheorySettings

# model -> package, weights inside it, correction scheme. SevenNet was trained on uncorrected energies of the
# Materials Project, CHGNet on corrected ones (MgO: -5.978 and -6.314 eV/atom).
_POTENTIALS = {
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


@dataclass(frozen=True)
class Theory:
    """A level of theory, ready to make relaxations.

    Attributes:
        id: name and settings; energies with different ids never meet. The last part is a hash of everything that
            changes an energy: the settings and, for a potential, its weights.
        scheme: correction its energies need before a hull.
        settings: what it was made from.
    """

    id: str
    scheme: CorrectionScheme
    settings: TheorySettings

    def job(self, structure: Structure) -> Any:
        """The atomate2 job that relaxes cell and positions of one crystal."""
        return self._maker().make(structure)

    def relax(self, structure: Structure) -> Relaxation:
        """Relax one crystal here and now, the same way.

        Raises:
            Exception: whatever the calculator stumbles over.
        """
        maker = self._maker()
        maker.relax_kwargs["final_atoms_object_file"] = None
        result = maker.run_ase(structure)
        frames = result.trajectory.frame_properties
        steps = len(frames)
        return Relaxation(
            structure=result.final_mol_or_struct,
            energy=float(frames[-1]["energy"]),
            converged=self._converged(frames[-1]["forces"], steps),
            steps=steps,
            initial_energy=float(frames[0]["energy"]),
        )

    def _maker(self) -> Any:
        if isinstance(self.settings, EmtTheory):
            return _emt_maker(self.settings)
        return _forcefield_maker(self.settings)

    def _converged(self, forces: Any, steps: int) -> bool:
        # The relaxer stops by the forces in its own coordinates, which the strain of the cell scales: the true ones may
        # be a little above fmax (0.060 for 0.05 in solid oxygen). It counts the first and the last frame as steps too.
        largest = float(np.linalg.norm(forces, axis=1).max())
        return steps < self.settings.max_steps + 2 and largest <= 2 * self.settings.fmax

    def read(self, output: dict[str, Any]) -> Relaxation:
        """The result in a job's output document."""
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
        )


def theory(settings: TheorySettings) -> Theory:
    """The theory that settings describe.

    Raises:
        SettingsError: its program or weights are not installed.
    """
    if isinstance(settings, EmtTheory):
        key = content_hash(settings.model_dump())[:8]
        return Theory(f"emt-{key}", CorrectionScheme.NONE, settings)
    package, _, scheme = _POTENTIALS[settings.model]
    weights = hashlib.sha256(_weights(settings).read_bytes()).hexdigest()
    key = content_hash({**settings.model_dump(), "weights": weights})[:8]
    return Theory(f"{package}-{settings.model}-{key}", scheme, settings)


def _weights(settings: ForcefieldTheory) -> Path:
    package, file, _ = _POTENTIALS[settings.model]
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


def _emt_maker(settings: EmtTheory) -> Any:
    from atomate2.ase.jobs import EmtRelaxMaker

    return EmtRelaxMaker(steps=settings.max_steps, **_relaxer(settings.fmax))


def _forcefield_maker(settings: ForcefieldTheory) -> Any:
    from atomate2.forcefields.jobs import ForceFieldRelaxMaker

    sevennet = settings.model != "chgnet"
    return ForceFieldRelaxMaker(
        name=f"relax {settings.model}",
        force_field_name={"@module": "workflows.calculators", "@callable": "sevennet" if sevennet else "chgnet"},
        calculator_kwargs={"model": settings.model} if sevennet else {},
        steps=settings.max_steps,
        **_relaxer(settings.fmax),
    )


def _relaxer(fmax: float) -> dict[str, Any]:
    """FIRE, which stays in the basin it starts in; energies of the steps are kept, their frames are not."""
    return {
        "relax_cell": True,
        "relax_kwargs": {"fmax": fmax},
        "optimizer_kwargs": {"optimizer": "FIRE"},
        "ionic_step_data": ("energy",),
    }


def relaxation_workflow(structure: Structure, level: Theory, name: str, spec: dict[str, Any]) -> tuple[Workflow, str]:
    """The Fireworks of one relaxation, and the jobflow uuid of the job that holds the result.

    Every Firework runs even if the one before it failed, and then fails for want of its input: so whatever waits for
    the last one always hears of the end.

    Args:
        structure: crystal to relax.
        level: level of theory.
        name: name of the workflow and its Fireworks.
        spec: put into every Firework (category, priority).
    """
    from jobflow.managers.fireworks import flow_to_workflow

    job = level.job(structure)
    job.name = name
    workflow = flow_to_workflow(job, name=name)
    for firework in workflow.fws:
        firework.spec.update(spec)
        firework.spec["_allow_fizzled_parents"] = True
    with_launchpad_store(workflow)
    return workflow, str(job.uuid)
