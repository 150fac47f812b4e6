"""Theories: keys, missing weights, and real relaxations through FireWorks."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaigns import run_ready
from fireworks import LaunchPad
from pymatgen.core import Lattice, Structure

from gnome_torch.records import Relaxation
from gnome_torch.stability.corrections import correction
from workflows.campaign.plan import relaxation_workflow
from workflows.campaign.settings import SettingsError
from workflows.relax import TheorySettings, potentials, theory
from workflows.relax.potentials import EmtTheory, ForcefieldTheory
from workflows.store import Store

MGO = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.4), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def run(launchpad: LaunchPad, structure: Structure, settings: TheorySettings, directory: Path) -> Relaxation | None:
    """Relax a crystal as a campaign does: atomate2 job, jobflow, a Rocket of FireWorks; read it from the database."""
    level = theory(settings)
    workflow, uuid = relaxation_workflow(structure, level, "test")
    launchpad.add_wf(workflow)
    run_ready(launchpad, directory)
    output = Store(launchpad.db).jobs.output(uuid)
    return level.read(output) if output else None


@pytest.mark.parametrize(
    "settings", [EmtTheory(), ForcefieldTheory(), ForcefieldTheory(model="7net-l3i5"), ForcefieldTheory(model="chgnet")]
)
def test_keys_name_everything_that_changes_an_energy(settings: TheorySettings) -> None:
    assert theory(settings).id == theory(settings).id
    assert theory(settings).id != theory(settings.model_copy(update={"fmax": 0.01})).id
    assert theory(settings).id.startswith(("emt-", "sevenn-7net-", "chgnet-"))


def test_other_weights_are_another_theory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "weights"
    weights.write_bytes(b"other")
    before = theory(ForcefieldTheory()).id
    monkeypatch.setattr(potentials, "_weights", lambda settings: weights)
    assert theory(ForcefieldTheory()).id != before


def test_missing_weights_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    package, _, scheme = potentials.POTENTIALS["chgnet"]
    monkeypatch.setitem(potentials.POTENTIALS, "chgnet", ("no_such_package", "x", scheme))
    with pytest.raises(SettingsError, match="package 'no_such_package' is not installed: pip install no_such_package"):
        theory(ForcefieldTheory(model="chgnet"))
    monkeypatch.setitem(potentials.POTENTIALS, "chgnet", (package, "gone.pth", scheme))
    with pytest.raises(SettingsError, match=r"weights not found at .*gone\.pth"):
        theory(ForcefieldTheory(model="chgnet"))


def test_two_potentials_agree_after_the_right_corrections(launchpad: LaunchPad, tmp_path: Path) -> None:
    """SevenNet's energies are uncorrected and CHGNet's are corrected: -5.978 and -6.314 eV/atom for MgO.

    Corrected each by its own scheme they agree; corrected both or neither they would be 0.34 eV/atom apart.
    """
    corrected = {}
    for model, expected in (("7net-0", -5.978), ("chgnet", -6.314)):
        settings = ForcefieldTheory(model=model)
        result = run(launchpad, MGO, settings, tmp_path)
        assert result is not None
        assert result.converged
        assert result.energy / 8 == pytest.approx(expected, abs=0.01)
        assert result.initial_energy is not None
        assert result.initial_energy > result.energy  # it began stretched
        assert result.structure.volume == pytest.approx(4.24**3, rel=0.03)
        shift = correction(result.structure, result.energy, theory(settings).scheme)
        corrected[model] = (result.energy + shift) / 8
    assert corrected["7net-0"] == pytest.approx(corrected["chgnet"], abs=0.03)


def test_a_relaxation_that_does_not_finish_says_so(launchpad: LaunchPad, tmp_path: Path) -> None:
    alloy = Structure(Lattice.orthorhombic(3.2, 4.1, 3.5), ["Cu", "Au"], [[0, 0, 0], [0.45, 0.5, 0.5]])
    finished = run(launchpad, alloy, EmtTheory(), tmp_path)
    assert finished is not None
    assert finished.converged
    short = run(launchpad, alloy, EmtTheory(max_steps=3), tmp_path)
    assert short is not None
    assert not short.converged
    assert short.steps == 5


def test_no_credentials_are_written_into_the_firework(launchpad: LaunchPad) -> None:
    """The job store is the LaunchPad's own database, found when the job runs, and not part of the stored job."""
    workflow, _ = relaxation_workflow(MGO, theory(EmtTheory()), "test")
    launchpad.add_wf(workflow)
    (document,) = launchpad.fireworks.find({})
    assert document["spec"]["_tasks"][0]["_fw_name"] == "{{workflows.firetasks.relax.RunJob}}"
    assert "JobStore" not in str(document)
    assert "mongo" not in str(document).lower()
