"""`gnome generate structural` as a user meets it: good files, bad crystals in them, mistakes, stopping and going on."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

from gnome_torch.candidates.tables.shards import read_parents, read_shards
from workflows import cli

Gnome = Callable[..., tuple[int, str, str]]

PEROVSKITE = Structure.from_spacegroup(
    "Pm-3m", Lattice.cubic(3.9), ["Ca", "Ti", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
)
SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
BAD = {
    "disordered": Structure(Lattice.cubic(3), [{"Cu": 0.5, "Au": 0.5}, "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "partial": Structure(Lattice.cubic(3), [{"Cu": 0.5}, "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "one": Structure(Lattice.cubic(3), ["Cu"], [[0, 0, 0]]),
    "overlapping": Structure(Lattice.cubic(3), ["Cu", "Au"], [[0, 0, 0], [0.05, 0.0, 0.0]]),
}


@pytest.fixture
def gnome(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Gnome:
    """Run `gnome generate structural`: (exit status, standard output, standard error)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gnome", "generate", "structural", "--workers", "1", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, output.err

    return run


def write_csv(path: Path) -> None:
    """Good crystals and bad ones of every kind, and one that is no CIF at all."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "cif"])
        for name, structure in {"perovskite": PEROVSKITE, **BAD, "salt": SALT}.items():
            writer.writerow([name, str(CifWriter(structure))])
        writer.writerow(["unknown", str(CifWriter(SALT)).replace("Na", "Qq")])
        writer.writerow(["torn", "data_x\n_cell_length_a 3"])


def test_bad_crystals_are_named_counted_and_do_not_stop_the_rest(gnome: Gnome, tmp_path: Path) -> None:
    write_csv(tmp_path / "mine.csv")
    status, out, err = gnome(
        "--parents", tmp_path / "mine.csv", "--elements", "Ca,Sr,Ti,Zr,O,Na,K,Cl", "--out", tmp_path / "out"
    )  # fmt: skip
    assert status == 0, err
    lines = {line.split(":")[1].split(":")[0]: line for line in err.splitlines() if line.startswith("skipped mine:")}
    for name, reason in {
        "disordered": "partly occupied sites",
        "partial": "partly occupied sites",
        "one": "one atom in the cell",
        "overlapping": "overlapping atoms",
        "unknown": "",
        "torn": "cannot be read",
    }.items():
        assert any(f"skipped mine:{name}: " in line and reason in line for line in lines.values()), name
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["parents"] == 2
    assert sorted(item["id"] for item in summary["parents_refused"]) == [
        "mine:disordered", "mine:one", "mine:overlapping", "mine:partial", "mine:torn", "mine:unknown"
    ]  # fmt: skip
    assert "skipped" in out
    candidates = list(read_shards(tmp_path / "out"))
    assert {c.parent_id for c in candidates} == {"mine:perovskite", "mine:salt"}
    parents = read_parents(tmp_path / "out")
    assert all(c.structure(parents[c.parent_id]).is_valid(0.5) for c in candidates)
    # the parents' own compositions are known
    assert {"CaTiO3", "NaCl"}.isdisjoint(c.reduced_formula for c in candidates)


def test_known_compositions_limits_and_systems(gnome: Gnome, tmp_path: Path) -> None:
    SALT.to(filename=str(tmp_path / "salt.cif"))
    (tmp_path / "known.csv").write_text("name,formula\nsylvite,KCl\nother,K4Br4\n")
    arguments = ["--parents", tmp_path / "salt.cif", "--elements", "Na,K,Rb,Cl,Br", "--threshold", 1e-4]
    assert gnome(*arguments, "--out", tmp_path / "all")[0] == 0
    everything = {c.id: c for c in read_shards(tmp_path / "all")}
    assert {"KCl", "KBr", "RbBr"} <= {c.reduced_formula for c in everything.values()}
    assert gnome(*arguments, "--known", tmp_path / "known.csv", "--out", tmp_path / "new")[0] == 0
    new = {c.id: c for c in read_shards(tmp_path / "new")}
    assert {"KCl", "KBr"}.isdisjoint(c.reduced_formula for c in new.values())
    assert set(new) == {key for key, c in everything.items() if c.reduced_formula not in ("KCl", "KBr")}
    status, out, _ = gnome(*arguments, "--limit", 2, "--order", "random", "--seed", 3, "--out", tmp_path / "two")
    assert status == 0
    assert "kept by --limit (random)" in out
    assert len(list(read_shards(tmp_path / "two"))) == 2
    assert gnome(*arguments, "--systems", "K-Br,Rb-Cl", "--out", tmp_path / "systems")[0] == 0
    assert {c.reduced_formula for c in read_shards(tmp_path / "systems")} <= {"KBr", "RbCl"}


def test_the_same_again_changes_nothing_and_other_options_are_refused(gnome: Gnome, tmp_path: Path) -> None:
    SALT.to(filename=str(tmp_path / "salt.cif"))
    arguments = ["--parents", tmp_path / "salt.cif", "--out", tmp_path / "out", "--elements"]
    assert gnome(*arguments, "K,Cl")[0] == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert gnome(*arguments, "Cl,K")[0] == 0
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    status, _, err = gnome(*arguments, "K,Br")
    assert status == 1
    assert "made from other parents or with other options" in err.splitlines()[-1]
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--parents", "{tmp}/none.cif", "--elements", "Li,O"], "none.cif: no such file"),
        (["--parents", "{tmp}/empty.cif", "--elements", "Li,O"], "empty.cif: no crystal in it"),
        (["--parents", "{tmp}/empty.csv", "--elements", "Li,O"], "empty.csv: not a file of crystals"),
        (["--parents", "{tmp}/bad.csv", "--elements", "Li,O"], "can be a parent: all were skipped"),
        (["--parents", "{tmp}/salt.cif", "--elements", "Li,Xy"], "--elements: 'Xy' is not an element"),
        (["--parents", "{tmp}/salt.cif", "--elements", ","], "--elements: name at least one element"),
        (["--parents", "{tmp}/salt.cif", "--elements", "Li,Pm"], "--elements: Pm refused by the policy"),
        (["--parents", "{tmp}/salt.cif", "--elements", "Li,O", "--systems", "Li-Fe"], "--systems: Fe not among"),
        (
            ["--parents", "{tmp}/salt.cif", "--elements", "Li,O", "--known", "{tmp}/known.csv"],
            "known.csv, line 2: 'Xyz'",
        ),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(
    gnome: Gnome, tmp_path: Path, arguments: list[str], message: str
) -> None:
    SALT.to(filename=str(tmp_path / "salt.cif"))
    (tmp_path / "empty.cif").write_text("")
    (tmp_path / "empty.csv").write_text("")
    with (tmp_path / "bad.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "cif"], ["a", str(CifWriter(BAD["one"]))]])
    (tmp_path / "known.csv").write_text("formula\nXyz\n")
    status, _, err = gnome(*(a.format(tmp=tmp_path) for a in arguments), "--out", tmp_path / "out")
    assert status == 1
    lines = [line for line in err.splitlines() if line.startswith("gnome: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "out").exists()


def test_ctrl_c_and_the_same_command_again(tmp_path: Path) -> None:
    """Interrupted as a terminal does it, the command ends with status 130 and no traceback; then it goes on."""
    out = tmp_path / "out"
    command = [
        str(Path(sys.executable).with_name("gnome")), "generate", "structural", "--parents", "prototypes",
        "--elements", "Li,Mg,Al,Ti,O,F", "--threshold", "1e-5", "--workers", "2", "--out", str(out),
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 180
    while len(list(out.glob("parts/*.parquet"))) < 5 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "the same command goes on from here" in err
    parts = {path: path.stat().st_mtime_ns for path in out.glob("parts/*.parquet")}
    assert len(parts) >= 5
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads((out / "summary.json").read_text())["written"] == len(list(read_shards(out)))
