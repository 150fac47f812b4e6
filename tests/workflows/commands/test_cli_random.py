"""`gnome generate random` as a user meets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import ase.io
import pytest
from pymatgen.core import Composition, Structure

Gnome = Callable[..., tuple[int, str, str]]
FEW = ("-n", 4, "--generator", "pyxtal")


def test_crystals_of_compositions(gnome: Gnome, tmp_path: Path) -> None:
    out = tmp_path / "crystals"
    (tmp_path / "f.csv").write_text("formula\nMgO\nO3Mg3\nLi3N\n")
    command = ("generate", "random", "--compositions", tmp_path / "f.csv", "--composition", "Li6N2", *FEW, "--out", out)
    status, text, err = gnome(*command)
    assert (status, err) == (0, "")
    assert sorted(path.name for path in out.iterdir()) == ["Li3N.extxyz", "Li3N.json", "MgO.extxyz", "MgO.json"]
    assert f"{out}/Li3N.extxyz: 4 crystals by pyxtal" in text.replace("\n", "")
    frames = ase.io.read(out / "Li3N.extxyz", index=":")
    assert len(frames) == 4
    assert all(Composition(frame.get_chemical_formula()).reduced_formula == "Li3N" for frame in frames)
    assert {"attempt", "units", "volume", "spacegroup", "generator"} <= frames[0].info.keys()
    # repeated: nothing is done again
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    status, text, _ = gnome(*command)
    assert (status, text.count("there already")) == (0, 2)
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before
    # other options: made anew
    assert gnome(*command, "--seed", 1)[0] == 0
    assert json.loads((out / "MgO.json").read_text())["plan"]["options"]["seed"] == 1


def test_one_of_them_made_again_as_cif(gnome: Gnome, tmp_path: Path) -> None:
    command = ("generate", "random", "--composition", "TiO2", *FEW, "--format", "cif")
    assert gnome(*command, "--out", tmp_path / "all")[0] == 0
    path = sorted((tmp_path / "all").glob("TiO2-*.cif"))[2]
    attempt = int(path.stem.split("-")[1])
    assert gnome(*command, "--out", tmp_path / "one", "--attempt", attempt)[0] == 0
    (again,) = (tmp_path / "one").glob("*.cif")
    assert again.read_text() == path.read_text()
    # beside the others, which stay
    before = sorted(path.name for path in (tmp_path / "all").iterdir())
    assert gnome(*command, "--out", tmp_path / "all", "--attempt", attempt)[0] == 0
    assert set(before) <= {path.name for path in (tmp_path / "all").iterdir()}
    assert Structure.from_file(again).composition.reduced_formula == "TiO2"


def test_formulas_of_a_file_that_are_none_are_set_aside(gnome: Gnome, tmp_path: Path) -> None:
    out = tmp_path / "crystals"
    (tmp_path / "f.csv").write_text("formula\nQq\nMgO\nFe0.95O\n")
    command = ("generate", "random", "--compositions", tmp_path / "f.csv", *FEW, "--out", out)
    status, _, err = gnome(*command)
    assert (status, err.count("left out: ")) == (0, 2)
    assert sorted(path.name for path in out.iterdir()) == ["MgO.extxyz", "MgO.json", "rejects.csv"]
    rejects = (out / "rejects.csv").read_text()
    assert "line 2,Qq," in rejects
    assert "whole numbers of atoms" in rejects
    (tmp_path / "f.csv").write_text("formula\nFe0.95O\n")
    status, _, err = gnome(*command)
    assert (status, err.count("\n"), "whole numbers of atoms" in err) == (1, 1, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--composition", "Xx2"), "'Xx2' is not a chemical formula"),
        ((), "no composition: give --composition Li3N"),
        (("--composition", "MgO", "--volumes", "a-b"), "--volumes a-b: write two numbers"),
        (("--composition", "MgO", "--units", "1.5"), "--units 1.5: whole numbers"),
        (("--composition", "MgO", "--separation", "Mg-O"), "--separation Mg-O: write a pair and a distance"),
        (("--composition", "MgO", "--separation", "Mg=1"), "separation 'Mg': write two elements"),
        (("--composition", "MgO", "--operations", "5"), "operations = 5 to 5: point groups have"),
        (("--composition", "MgO", "--volumes", "0.1"), "MgO: no crystal in 80 attempts (atoms stay too near"),
        (("--compositions", "none.csv"), "none.csv: cannot be read"),
        (("--composition", "MgO", "--units", "nan"), "--units nan: write two numbers"),
        (("--composition", "MgO", "--separation", "F-F=2"), "--separation F-F: no composition has both elements"),
    ],
)
def test_one_clear_line(gnome: Gnome, tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    status, _, err = gnome("generate", "random", *FEW, *options, "--out", tmp_path / "out")
    assert status == 1
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_an_impossible_one_does_not_keep_back_the_others(gnome: Gnome, tmp_path: Path) -> None:
    status, text, err = gnome(
        *("generate", "random", "--composition", "Au2Cu", "--composition", "MgO", "--separation", "Au-Cu=9", "-n", 1),
        *("--generator", "pyxtal", "--out", tmp_path),
    )
    assert status == 0
    assert "Cu(Au)2" in err or "CuAu2: no crystal in 20 attempts" in err
    assert "MgO.extxyz" in text
    assert not list(tmp_path.glob("CuAu2*"))


def test_a_program_that_fails_is_told_once(gnome: Gnome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would fail for the other compositions too, and is not called their failure."""
    program = tmp_path / "bin" / "buildcell"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'STOP init_pseudorandom : error reading seed' >&2\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    both = ("--composition", "MgO", "--composition", "CaF2")
    status, _, err = gnome("generate", "random", *both, "--generator", "airss", "--out", tmp_path / "out")
    assert status == 1
    assert len(err.splitlines()) == 1
    assert f"airss {program} fails" in err
    assert "10 times in a row, init_pseudorandom : error reading seed" in err
    assert not (tmp_path / "out").exists()
