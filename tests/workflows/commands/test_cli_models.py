"""`gnome train` and `gnome predict` as a user meets them: formulas, crystals, an ensemble, and every mistake."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.cif import CifWriter

Gnome = Callable[..., tuple[int, str, str]]
METALS = ["Li", "Na", "K", "Mg", "Ca", "Sr", "Al", "Ti", "Fe", "Cu"]
FAST = ["--epochs", "2", "--hidden", "8,8", "--device", "cpu"]


def write_formulas(path: Path) -> None:
    rows = [(f"{m}{x}{n}", -0.1 * n - 0.01 * i) for i, m in enumerate(METALS) for x in "OSF" for n in (1, 2, 3)]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("formula", "target"), *rows])


def write_crystals(path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "cif", "energy"])
        for i, metal in enumerate(METALS):
            for anion in ("O", "F"):
                salt = Structure.from_spacegroup(
                    "Fm-3m", Lattice.cubic(4.5 + 0.1 * i), [metal, anion], [[0, 0, 0], [0.5, 0.5, 0.5]]
                )
                writer.writerow([f"{metal}{anion}", str(CifWriter(salt)), -2.0 - 0.1 * i])


def test_formulas_there_and_back(gnome: Gnome, tmp_path: Path) -> None:
    write_formulas(tmp_path / "f.csv")
    model, out = tmp_path / "model", tmp_path / "out" / "p.csv"
    command = ["train", "composition", "--data", tmp_path / "f.csv", "--target", "target", "--out", model, *FAST]
    status, text, err = gnome(*command, "--members", 2)
    assert status == 0, err
    assert "90 examples" in text
    assert "rank correlation of error and range" in " ".join(text.split())
    calibration = json.loads((model / "calibration.json").read_text())
    assert f"error of the median {calibration['mae']:.4f}" in " ".join(text.split())
    assert sum(part["n"] for part in calibration["bins"]) == calibration["n"]
    before = {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    assert len([path for path in before if path.name == "weights.safetensors"]) == 2
    status, text, _ = gnome(*command, "--members", 2)  # the same again changes nothing
    assert status == 0
    assert "member 1 is there already" in text
    assert {path: path.read_bytes() for path in model.rglob("*") if path.is_file()} == before

    status, text, err = gnome(
        "predict", "--model", model, "--input", tmp_path / "f.csv", "--target", "target", "--out", out
    )
    assert status == 0, err
    assert "mean absolute error" in text
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "formula", "energy_per_atom", "iqr"]
    assert len(rows) == 90
    assert all(float(row["iqr"]) >= 0 for row in rows)
    assert any(float(row["iqr"]) > 0 for row in rows)
    error = sum(abs(float(r["energy_per_atom"]) - t) for r, t in zip(rows, targets(tmp_path / "f.csv"), strict=True))
    assert f"mean absolute error {error / 90:.4f}" in text


def targets(path: Path) -> list[float]:
    with path.open() as file:
        return [float(row["target"]) for row in csv.DictReader(file)]


def test_nothing_is_replaced_unasked(gnome: Gnome, tmp_path: Path) -> None:
    write_formulas(tmp_path / "f.csv")
    write_formulas(tmp_path / "g.csv")
    (tmp_path / "g.csv").write_text((tmp_path / "g.csv").read_text().replace("LiO1", "LiO7"))
    out = tmp_path / "model"

    def train(data: str, *options: object) -> tuple[int, str]:
        command = ["train", "composition", "--data", tmp_path / data, "--target", "target", "--out", out, *FAST]
        status, _, err = gnome(*command, *options)
        return status, err

    assert train("f.csv")[0] == 0
    weights = out / "member-0" / "weights.safetensors"
    before = weights.read_bytes()
    status, err = train("f.csv", "--seed", 5)
    assert (status, "member-0 is of other data or settings: give another --out, or --overwrite" in err) == (1, True)
    status, err = train("g.csv")
    assert (status, "has networks of another file: give another --out, or --overwrite" in err) == (1, True)
    assert weights.read_bytes() == before
    assert train("f.csv")[0] == 0  # as before
    assert weights.read_bytes() == before
    assert train("f.csv", "--members", 3)[0] == 0
    assert train("g.csv", "--overwrite")[0] == 0
    assert weights.read_bytes() != before
    assert sorted(path.name for path in out.iterdir()) == ["data", "member-0"]  # no member of the other file is left
    # nor would one be believed
    shutil.copytree(out / "member-0", out / "member-1")
    metrics = json.loads((out / "member-1" / "metrics.json").read_text())
    (out / "member-1" / "metrics.json").write_text(json.dumps(metrics | {"data_hash": "other"}))
    status, _, err = gnome("predict", "--model", out, "--input", tmp_path / "f.csv", "--out", tmp_path / "p.csv")
    assert (status, "member-1 has learnt from other data" in err) == (1, True)


def test_stopped_and_taken_up_again(gnome: Gnome, tmp_path: Path) -> None:
    """SIGTERM as a queue sends it before the end of the time: a line, its status, a checkpoint; then the same model."""
    write_formulas(tmp_path / "f.csv")

    def command(out: Path) -> list[object]:
        train = ["train", "composition", "--data", tmp_path / "f.csv", "--target", "target", "--out", out]
        return [*train, "--epochs", 150, "--batch-size", 16, "--hidden", "16,16", "--device", "cpu"]

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    gnome_command = [sys.executable, "-m", "workflows.cli"]
    arguments = [*gnome_command, *map(str, command(tmp_path / "stopped"))]
    running = subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    table = tmp_path / "stopped" / "member-0.training" / "epochs.csv"
    deadline = time.monotonic() + 120
    while not table.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGTERM)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 128 + signal.SIGTERM
    assert "stopped by SIGTERM; what is done is in" in err.splitlines()[-1]
    assert (tmp_path / "stopped" / "member-0.training" / "checkpoint.safetensors").exists()
    for out in ("stopped", "whole"):
        ended = subprocess.run(
            [*gnome_command, *map(str, command(tmp_path / out))], env=environment, capture_output=True, text=True
        )
        assert ended.returncode == 0, ended.stderr
    weights = [(tmp_path / out / "member-0" / "weights.safetensors").read_bytes() for out in ("stopped", "whole")]
    assert weights[0] == weights[1]


def test_torchrun_trains_with_several_processes(tmp_path: Path) -> None:
    write_formulas(tmp_path / "f.csv")
    command = ["--data", tmp_path / "f.csv", "--target", "target", "--out", tmp_path / "model", *FAST]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    ended = subprocess.run(
        [*torchrun, "-m", "workflows.cli", "train", "composition", *map(str, command)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("examples: ") == 1  # one of them speaks
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["data", "member-0"]
    assert sorted(path.name for path in (tmp_path / "model" / "member-0").iterdir()) == [
        "config.json",
        "epochs.csv",
        "metrics.json",
        "tensorboard",
        "weights.safetensors",
    ]


def test_crystals_there_and_back(gnome: Gnome, tmp_path: Path) -> None:
    write_crystals(tmp_path / "c.csv")
    model = tmp_path / "model"
    status, _, err = gnome(
        "train", "structure", "--data", tmp_path / "c.csv", "--target", "energy", "--per-cell", "--out", model, *FAST
    )
    assert status == 0, err
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    salt.to(filename=str(tmp_path / "mgo.cif"))
    salt.to(filename=str(tmp_path / "POSCAR"))
    AseAtomsAdaptor.get_atoms(salt).write(tmp_path / "mgo.extxyz")
    entries = [ComputedStructureEntry(salt, -40.0, entry_id="mp-1"), ComputedStructureEntry(salt, -41.0)]
    (tmp_path / "entries.json").write_text(json.dumps([entry.as_dict() for entry in entries]))
    energies = {}
    for source, ids in (
        ("c.csv", [f"{metal}{anion}" for metal in METALS for anion in ("O", "F")]),
        ("mgo.cif", ["mgo"]),
        ("POSCAR", ["POSCAR"]),
        ("mgo.extxyz", ["1"]),
        ("entries.json", ["mp-1", "2"]),
    ):
        status, _, err = gnome("predict", "--model", model, "--input", tmp_path / source, "--out", tmp_path / "p.csv")
        assert status == 0, err
        with (tmp_path / "p.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [row["id"] for row in rows] == ids
        energies[source] = float(rows[0]["energy_per_atom"])
    assert energies["POSCAR"] == energies["mgo.extxyz"] == energies["entries.json"]
    assert energies["mgo.cif"] == pytest.approx(energies["POSCAR"], abs=1e-5)  # the primitive cell of the same crystal
    # -2 eV per cell of eight atoms, although two of them would do
    metrics = json.loads((model / "member-0" / "metrics.json").read_text())
    assert -0.4 < metrics["target_mean"] < -0.25


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_bad_rows_are_set_aside_and_the_others_go_on(gnome: Gnome, tmp_path: Path) -> None:
    """In training and in prediction; the rejects of a table that has been mended vanish."""
    table, model, out = tmp_path / "f.csv", tmp_path / "model", tmp_path / "p.csv"
    write_formulas(table)
    sound = table.read_text()
    table.write_text(f'{sound}NaQq,1\nAmO2,1\nKCl,\n"KBr,1\n\nLi2O,-1e999\nKCl,-3\n')
    places = {"line 92": "'NaQq'", "line 93": "H to Pu", "line 94": "no energy", "line 95": "no row of a CSV file"}
    places["line 97"] = "no energy"
    command = ["train", "composition", "--data", table, "--target", "target", "--out", model, *FAST]
    status, text, err = gnome(*command)
    assert status == 0, err
    assert "91 examples" in text
    assert f"gnome: 5 left out, all in {model / 'rejects.csv'}; 2 more" in err
    assert err.count("gnome: left out: ") == 3
    status, text, err = gnome("predict", "--model", model, "--input", table, "--target", "target", "--out", out)
    assert status == 0, err
    assert "91 predictions" in text
    assert len(rows_of(out)) == 91
    for rejects in (model / "rejects.csv", tmp_path / "p.csv.rejects.csv"):
        found = {row["place"]: row["reason"] for row in rows_of(rejects)}
        assert found.keys() == places.keys()
        assert all(words in found[place] for place, words in places.items()), found
    assert gnome(*command)[0] == 0  # nothing is made anew, and what was left out is still known
    assert (model / "rejects.csv").exists()
    table.write_text(sound)
    assert gnome(*command, "--overwrite")[0] == 0
    assert gnome("predict", "--model", model, "--input", table, "--out", out)[0] == 0
    assert not (model / "rejects.csv").exists()
    assert not (tmp_path / "p.csv.rejects.csv").exists()
    status, _, err = gnome("predict", "--model", model, "--input", table, "--out", table)
    assert (status, "this file is an input" in err, table.read_text()) == (1, True, sound)


def test_bad_crystals_are_set_aside_and_the_others_go_on(gnome: Gnome, tmp_path: Path) -> None:
    """A table whose rows are of several lines, a directory, and a file of several crystals."""
    table, model, out = tmp_path / "c.csv", tmp_path / "model", tmp_path / "p.csv"
    write_crystals(table)
    good = str(CifWriter(Structure(Lattice.cubic(3.0), ["Po"], [[0, 0, 0]])))
    with table.open("a", newline="") as file:
        csv.writer(file).writerows([("torn", good[: len(good) // 2], -1.0), ("none", good, ""), ("Po", good, -2.0)])
    train = ["train", "structure", "--data", table, "--target", "energy", "--out", model, *FAST]
    status, text, err = gnome(*train)
    assert status == 0, err
    assert "21 examples" in text
    assert [row["value"] for row in rows_of(model / "rejects.csv")] == ["torn", ""]
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.cif").write_text(good)
    (folder / "americium.cif").write_text(good.replace("Po", "Am"))
    (folder / "mixed.cif").write_text(f"{good}\n{good.replace('Po', 'Qq')}")
    (folder / "README.md").write_text("# no crystal")
    status, _, err = gnome("predict", "--model", model, "--input", folder, "--out", out)
    assert status == 0, err
    assert [row["id"] for row in rows_of(out)] == ["a", "mixed:Po"]
    places = {row["place"] for row in rows_of(tmp_path / "p.csv.rejects.csv")}
    assert places == {"README.md", "americium", "mixed:Qq"}
    status, _, err = gnome("predict", "--model", model, "--input", folder / "mixed.cif", "--out", out)
    assert status == 0, err
    assert [row["id"] for row in rows_of(out)] == ["Po"]
    for name in ("a.cif", "mixed.cif"):
        (folder / name).unlink()
    before = out.read_bytes()
    status, _, err = gnome("predict", "--model", model, "--input", folder, "--out", out)
    assert (status, err.count("\n")) == (1, 1)
    assert "none of 2 can be used; the first: " in err
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no row in it"),
        ("formula,target\n", "no row in it"),
        ("formula,energy\nNaCl,1\n", "no column 'target'; its columns are formula, energy"),
        ("name,target\nNaCl,1\n", "one must be formula or cif"),
        (
            "formula,target\nKCl,nan\nKBr,\n",
            "none of 2 can be used; the first: {f}, line 2: 'nan': column target: no energy",
        ),
        ("formula,target\nNaQq,1\n", "line 2: 'NaQq': column formula: 'NaQq' is not a chemical formula"),
        ("formula,target\nAmO2,1\n", "the networks know compounds of H to Pu"),
        ("material_id,cif,target\nx,data_,1\n", "line 2: 'x': cannot be read: 0 crystals in it"),
    ],
)
def test_bad_tables_are_one_line_and_write_nothing(gnome: Gnome, tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "f.csv").write_text(content)
    status, _, err = gnome(
        "train", "composition", "--data", tmp_path / "f.csv", "--target", "target", "--out", tmp_path / "model", *FAST
    )
    assert status == 1
    assert len(err.splitlines()) == 1
    assert message.format(f=tmp_path / "f.csv") in err
    assert not (tmp_path / "model").exists()


def test_mistakes_with_models(gnome: Gnome, tmp_path: Path) -> None:
    write_formulas(tmp_path / "f.csv")
    write_crystals(tmp_path / "c.csv")
    out = tmp_path / "p.csv"
    status, _, err = gnome("predict", "--model", tmp_path / "none", "--input", tmp_path / "f.csv", "--out", out)
    assert (status, "so no model" in err) == (1, True)
    assert gnome("train", "structure", "--data", tmp_path / "f.csv", "--target", "target", "--out", out, *FAST)[0] == 1
    model = tmp_path / "model"
    train = ["train", "structure", "--data", tmp_path / "c.csv", "--target", "energy", "--out", model]
    status, _, err = gnome(*train, "--hidden", "8;8")
    assert (status, "--hidden '8;8'" in err) == (1, True)
    status, _, err = gnome(*train, "--epochs", 1, "--hidden", "8,8", "--device", "abacus")
    assert (status, "--device 'abacus' cannot be used" in err) == (1, True)
    assert gnome(*train, *FAST)[0] == 0
    status, _, err = gnome("predict", "--model", model, "--input", tmp_path / "f.csv", "--out", out)
    assert (status, "a network that needs crystals" in err) == (1, True)
    (model / "member-0" / "weights.safetensors").write_bytes(b"torn")
    status, _, err = gnome("predict", "--model", model, "--input", tmp_path / "c.csv", "--out", out)
    assert (status, "broken model" in err) == (1, True)
    assert not out.exists()
