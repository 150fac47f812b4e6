"""`gnome data import` and what follows from it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from outside import rejects_in, salt
from pymatgen.core import Lattice, Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry


def entries_file(path: Path) -> Path:
    """Elements and two oxides; without its correction CaO2 is not on the hull."""
    oxygen = Structure(Lattice.cubic(4), ["O", "O"], [[0, 0, 0], [0, 0, 0.3]])
    metal = Structure(Lattice.cubic(4), ["Ca"], [[0, 0, 0]])
    entries = [
        ComputedStructureEntry(metal, 0.0, entry_id="Ca"),
        ComputedStructureEntry(oxygen, 0.0, entry_id="O"),
        ComputedStructureEntry(salt("Ca"), -24.0, entry_id="CaO"),
        ComputedStructureEntry(
            Structure(Lattice.cubic(5), ["Ca", "O", "O"], [[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0]]),
            -5.0,
            -2.0,
            entry_id="CaO2",
        ),
    ]  # fmt: skip
    path.write_text(json.dumps([entry.as_dict() for entry in entries]))
    return path


def test_import_list_hull_and_flips(here: Path, gnome: Any) -> None:
    entries_file(here / "entries.json")
    status, out, err = gnome("data", "import", "file", "entries.json", "--theory", "pbe")
    assert (status, err) == (0, "")
    assert "4 of 4 records used, 4 of them new" in out
    assert "theory pbe: 4 entries placed, 4 of them on the hull" in out
    status, out, _ = gnome("data", "import", "file", "entries.json", "--theory", "pbe")
    assert status == 0
    assert "nothing to do" in out
    assert gnome("data", "list")[1] == "pbe  file:entries.json  4 entries  licence: not stated\n"

    (here / "q.csv").write_text("formula,target\nCa2O3,\nCaO,-3.0\n")
    status, out, err = gnome("hull", "--theory", "pbe", "--query", "q.csv", "--out", "h.csv")
    assert status == 0, err
    with (here / "h.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["e_above_hull"] for row in rows] == ["", "0.000000"]
    assert rows[0]["decomposition"] == "CaO2 (0.6000) + CaO (0.4000)"
    # without itself CaO is three quarters CaO2 and a quarter Ca
    assert float(rows[1]["phase_separation_energy"]) == pytest.approx(-3.0 + 0.75 * 7.0 / 3)

    status, out, err = gnome("flips", "--theory", "pbe", "--out", "flips.csv")
    assert status == 0, err
    assert "stable with corrections only: 1; without them only: 0" in out
    with (here / "flips.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["formula"] == "CaO2"
    assert float(row["e_above_hull_uncorrected"]) == pytest.approx(2.0 - 5.0 / 3)

    assert "either --entries FILE or --theory NAME" in gnome("hull", "--out", "x.csv")[2]
    assert "theory 'nix' has no entries" in gnome("flips", "--theory", "nix")[2]
    assert "formation energies, which have no corrections" in gnome("flips", "--theory", "x:formation")[2]
    assert "no stable compound yet" in gnome("stable")[1]  # what others computed is not what a campaign found


def test_import_messages(here: Path, gnome: Any) -> None:
    """A broken row, an unknown element, an empty file; compounds without their elements."""
    (here / "f.csv").write_text("formula,target\nMgO,-3.0\nCaO,oops\nXxO,-1.0\n")
    status, out, err = gnome("data", "import", "file", "f.csv", "--theory", "mp")
    assert status == 0
    assert "1 of 3 records used" in out
    (file,) = here.glob("f.csv.*.rejects.csv")
    assert f"2 records left out: all of them are in {file.name}" in err
    assert rejects_in(file) == ["line 3", "line 4"]
    (here / "empty.csv").write_text("")
    status, _, err = gnome("data", "import", "file", "empty.csv", "--theory", "mp")
    assert (status, err) == (1, "gnome: empty.csv: the file is empty\n")
    status, _, err = gnome("data", "import", "file", "none.csv", "--theory", "mp")
    assert (status, err) == (1, "gnome: none.csv: cannot be read: No such file or directory\n")
    entry = ComputedStructureEntry(salt("Ca"), -24.0, entry_id="CaO")
    (here / "e.json").write_text(json.dumps([entry.as_dict()]))
    status, out, err = gnome("data", "import", "file", "e.json", "--theory", "pbe")
    assert status == 0
    assert "compounds of Ca, O are not placed" in err
    status, _, err = gnome("data", "import", "mp", "--elements", "Li,Xx")
    assert status == 1
    assert "'Xx' is not an element" in err


def test_a_file_that_is_not_of_rejects_stays(here: Path, gnome: Any) -> None:
    (here / "f.csv").write_text("formula,target\nMgO,-3.0\nQq,1\n")
    for name in ("f.csv", "notes.txt"):
        (here / "notes.txt").write_text("do not lose me\n")
        before = (here / name).read_text()
        status, _, err = gnome("data", "import", "file", "f.csv", "--theory", "mp", "--rejects", name)
        assert (status, (here / name).read_text()) == (1, before)
        assert "is not a file of rejects" in err
    # files of the same name elsewhere have rejects of their own
    (here / "sub").mkdir()
    (here / "sub" / "f.csv").write_text("formula,target\nCaO,-3.0\nQq,1\n")
    for path in ("f.csv", "sub/f.csv"):
        assert gnome("data", "import", "file", path, "--theory", "mp")[0] == 0
    assert len(list(here.glob("f.csv.*.rejects.csv"))) == 2
