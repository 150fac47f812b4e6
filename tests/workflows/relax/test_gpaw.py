"""Open DFT, for real: silicon's lattice constant, and relaxations of silicon and magnesium oxide."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from ase.eos import EquationOfState
from pymatgen.core import Lattice, Structure

from workflows.campaign.settings import SettingsError, parse_settings
from workflows.relax import gpaw as module
from workflows.relax import theory
from workflows.relax.gpaw import GpawTheory, energy_volume

needs_gpaw = pytest.mark.skipif(find_spec("gpaw") is None, reason="GPAW is not installed (make gpaw)")
SILICON = Structure.from_spacegroup("Fd-3m", Lattice.cubic(5.47), ["Si"], [[0, 0, 0]]).get_primitive_structure()
MGO = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.3), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@needs_gpaw
def test_the_lattice_constant_of_silicon() -> None:
    """5.47 angstrom with PBE (published), within 1 %."""
    points = energy_volume(GpawTheory(cutoff=400, kpoint_density=4.0), SILICON, [0.94, 0.97, 1.0, 1.03, 1.06])
    volume, _, bulk_modulus = EquationOfState(*zip(*points, strict=True)).fit()
    assert (4 * volume) ** (1 / 3) == pytest.approx(5.47, rel=0.01)
    assert bulk_modulus * 160.2177 == pytest.approx(88.5, rel=0.05)  # GPa


@needs_gpaw
@pytest.mark.parametrize(("structure", "edge"), [(SILICON, 5.47), (MGO.get_primitive_structure(), 4.25)])
def test_relaxations(structure: Structure, edge: float) -> None:
    """At the default cutoff the cell neither collapses nor blows up."""
    found = theory(GpawTheory()).relax(structure)
    assert found.converged
    assert (4 * found.structure.volume) ** (1 / 3) == pytest.approx(edge, rel=0.01)  # both are face-centred


def test_without_gpaw_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="the package 'gpaw' is not installed"):
        theory(GpawTheory())
    with pytest.raises(SettingsError, match="theory 'gpaw' has no Tc"):
        parse_settings(
            {"name": "c", "elements": ["Tc", "O"], "theory": {"name": "gpaw"}, "policy": {"radioactive": True}}, "x"
        )
    with pytest.raises(SettingsError, match=r"theory\.cutoff = 100"):
        parse_settings({"name": "c", "elements": ["Si", "O"], "theory": {"name": "gpaw", "cutoff": 100}}, "x")
