"""The stand-in for `buildcell`, and what every crystal of a search keeps."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pymatgen.core import Structure

from gnome_torch.candidates.random_search.buildcell import Buildcell
from gnome_torch.candidates.random_search.options import SearchOptions, composition_of
from gnome_torch.candidates.random_search.separations import estimated_volume, minimum_separations

STAND_IN = Path(__file__).with_name("buildcell_stand_in.py")


@pytest.fixture
def buildcell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Buildcell]:
    """The stand-in as the `buildcell` on the PATH, in one of its moods."""
    program = tmp_path / "bin" / "buildcell"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -E "{STAND_IN}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")

    def found(how: str = "", time_limit: float = 10.0) -> Buildcell:
        monkeypatch.setenv("STAND_IN", how)
        monkeypatch.setenv("STAND_IN_CALLS", str(tmp_path / "calls"))
        return Buildcell.found(time_limit)

    return found


@pytest.fixture(scope="session")
def check() -> Callable[[Structure, str, SearchOptions], None]:
    """What every crystal of a search keeps, each pair of sites looked at one by one."""

    def keeps(structure: Structure, formula: str, options: SearchOptions) -> None:
        composition = composition_of(formula)
        assert structure.composition.reduced_composition == composition
        units = round(len(structure) / composition.num_atoms)
        assert options.formula_units[0] <= units <= options.formula_units[1]
        assert len(structure) <= options.max_sites
        volume = structure.volume / (units * estimated_volume(composition))
        assert options.volumes[0] * 0.999 <= volume <= options.volumes[1] * 1.001  # a .cell has five decimals
        separations = minimum_separations(composition, options.separations)
        for site in structure:
            for other in structure.get_neighbors(site, 6.0):
                a, b = sorted((site.specie.symbol, other.specie.symbol))
                assert other.nn_distance >= separations[a, b] - 1e-6

    return keeps
