"""What every theory owes: two crystals relaxed, energies and forces that belong together, a key, failures told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from campaigns import run_ready
from fireworks import LaunchPad
from pymatgen.core import Lattice, Structure

from workflows.campaign.plan import relaxation_workflow
from workflows.campaign.settings import SettingsError, parse_settings
from workflows.ground.failures import failure_of_parent
from workflows.relax import theory
from workflows.relax.potentials import AseTheory, EmtTheory, ForcefieldTheory
from workflows.store import Store

LENNARD_JONES = {
    "calculator": "ase.calculators.lj.LennardJones",
    "arguments": {"sigma": 2.3, "epsilon": 0.4, "rc": 8.0, "smooth": True},
    "version": "1",
    "corrections": "none",
    "elements": ("Cu", "Au"),
}
THEORIES = [
    EmtTheory(),
    ForcefieldTheory(),
    ForcefieldTheory(model="chgnet"),
    ForcefieldTheory(model="CHGNet", corrections="none", version="0.3.0"),  # by atomate2's name
    AseTheory(**LENNARD_JONES),
]
CRYSTALS = {
    "stretched": Structure(Lattice.cubic(3.75), ["Cu"] * 4, [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]),
    "alloy": Structure(Lattice.tetragonal(2.85, 3.6), ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.45]]),
}


@pytest.mark.parametrize("settings", THEORIES, ids=lambda s: f"{s.name}-{getattr(s, 'model', '')}".strip("-"))
def test_contract(settings: Any, launchpad: LaunchPad, tmp_path: Path) -> None:
    level = theory(settings)
    # a deterministic key, and another one for other settings
    assert level.id == theory(type(settings)(**settings.model_dump())).id
    assert level.id != theory(settings.model_copy(update={"fmax": 0.011})).id
    workflows = [relaxation_workflow(structure, level, name) for name, structure in CRYSTALS.items()]
    for workflow, _ in workflows:
        launchpad.add_wf(workflow)
    run_ready(launchpad, tmp_path)
    for (_, uuid), structure in zip(workflows, CRYSTALS.values(), strict=True):
        output = Store(launchpad.db).jobs.output(uuid)
        assert output is not None
        found = level.read(output)
        assert found.converged
        assert found.structure.composition == structure.composition
        assert found.details["max_force"] <= 2 * settings.fmax
        assert found.initial_energy is not None
        assert found.energy <= found.initial_energy + 1e-6
        # here and now it is the same
        again = level.relax(structure)
        assert again.energy == pytest.approx(found.energy, abs=2e-3)
        # from where it came to rest it goes nowhere
        rest = level.relax(found.structure)
        assert rest.energy == pytest.approx(found.energy, abs=2e-3 * len(structure))
    assert level.refusal(CRYSTALS["alloy"]) is None
    near = Structure(Lattice.cubic(4.0), ["Cu", "Cu"], [[0, 0, 0], [0.1, 0, 0]])
    assert level.refusal(near) == "two atoms 0.40 angstrom apart"
    assert np.isfinite([found.energy, again.energy]).all()


def test_a_failure_is_told_of_its_first_cause(launchpad: LaunchPad, tmp_path: Path) -> None:
    """After a rough relaxation that fails, what comes after it fails for want of its input; that is not the reason."""
    broken = AseTheory(**{**LENNARD_JONES, "calculator": "workflows.calculators.sevennet", "arguments": {"model": "?"}})
    workflow, uuid = relaxation_workflow(CRYSTALS["alloy"], theory(EmtTheory()), "x", theory(broken))
    launchpad.add_wf(workflow)
    run_ready(launchpad, tmp_path)
    assert Store(launchpad.db).jobs.output(uuid) is None
    stored = launchpad.get_wf_by_fw_id(launchpad.get_fw_ids({})[0])
    assert [firework.state for firework in stored.fws] == ["FIZZLED", "FIZZLED"]
    (leaf,), (root,) = stored.leaf_fw_ids, stored.root_fw_ids
    reason, directory = failure_of_parent(launchpad, leaf)
    assert directory == launchpad.get_fw_by_id(root).launches[0].launch_dir
    assert "7net-0" in reason  # the names that there are


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": "forcefield", "model": "MACE_MP_0"}, "say its version, and which corrections"),
        (
            {"name": "forcefield", "model": "7net-0", "version": "3"},
            "has corrections, arguments and a version of its own",
        ),
        ({"name": "ase", "calculator": "x.y"}, "'theory.version' is missing"),
        ({"name": "vasp-pbe-mp", "potcars": "PBE_99"}, "theory.potcars = 'PBE_99'"),
    ],
)
def test_settings_that_say_too_little_or_too_much(data: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_settings({"name": "c", "elements": ["Cu", "Au"], "theory": data}, "x.yaml")


def test_programs_that_are_not_there() -> None:
    with pytest.raises(SettingsError, match="there is no such force field; ours are 7net-0"):
        theory(ForcefieldTheory(model="Nothing", corrections="none", version="1"))
    with pytest.raises(SettingsError, match=r"'ase\.calculators\.lj\.Nothing': cannot be imported"):
        theory(AseTheory(**{**LENNARD_JONES, "calculator": "ase.calculators.lj.Nothing"}))
