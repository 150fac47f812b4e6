"""Broken, strange and hostile files: one line each, within bounds, and the others go on."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from pymatgen.core import Composition, Lattice, Structure
from pymatgen.io.cif import CifWriter

from gnome_torch.candidates.random_search.options import composition_of
from gnome_torch.data import json_stream, texts
from gnome_torch.data.ase_crystals import crystal_of_atoms
from gnome_torch.data.energy_files import EnergyFile
from gnome_torch.data.files import StructureFileError, read_crystals, read_formulas, read_structures
from gnome_torch.data.outside import OutsideRecord
from gnome_torch.data.rejects import Reject
from gnome_torch.data.sound import CrystalError, sound
from gnome_torch.stability.formulas import reduced_formula

CASES = Path(__file__).parents[2] / "data" / "cases"
SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def fill(folder: Path) -> dict[str, str]:
    """Write a directory of good, broken and strange files; return why each crystal is refused, "" for good ones."""
    for case in (CASES / "files").iterdir():
        (folder / case.name).write_bytes(case.read_bytes())
    SALT.to(filename=str(folder / "good.cif"))
    (folder / "CONTCAR").write_text("")
    (folder / "README.md").write_text("# Not a crystal\n")
    (folder / "nested.json").write_text("[" * 100_000)
    latin = str(CifWriter(SALT)).replace("data_NaCl", "data_=NaCl\n_publ_author_name 'Müller'")
    (folder / "=latin.cif").write_bytes(latin.encode("latin-1"))
    (folder / "POSCAR.unnamed").write_text("what\n1.0\n3 0 0\n0 3 0\n0 0 3\n1 1\ndirect\n0 0 0\n0.5 0.5 0.5\n")
    return {
        "=latin": "",
        "CONTCAR": "no POSCAR",
        "POSCAR.badly_broken": "Cannot parse coordinates on this line: 0.5",
        "POSCAR.huge_count": "100000000000000000000 atoms announced, 10 lines there",
        "POSCAR.unnamed": "Elements in POSCAR cannot be determined",
        "README.md": "its name ends in .md",
        "broken_header": "line 20: a loop of 2 items has 1 values",
        "good": "",
        "huge_cell:1": "its cell has a vector of 1e+308 angstrom",
        "huge_cell:2": "",
        "imports_a_module:a": "",
        "nested.json": "nested too deeply",
        "yaml-aliases.yaml": "its name ends in .yaml",
        "yaml-deep.yaml": "its name ends in .yaml",
    }


def test_a_directory_of_parents(tmp_path: Path) -> None:
    right = fill(tmp_path)
    found = {crystal.name: crystal for crystal in read_crystals(tmp_path)}
    assert found.keys() == right.keys()
    for name, reason in right.items():
        assert (found[name].structure is None) == bool(reason), name
        assert reason in found[name].problem
        assert "\n" not in found[name].problem
        assert len(found[name].problem) < 400


def test_a_directory_of_seeds(tmp_path: Path) -> None:
    right = fill(tmp_path)
    skipped: list[Reject] = []
    assert len(read_structures(tmp_path, skipped.append)) == 4
    assert {reject.place for reject in skipped} == {name for name, reason in right.items() if reason}
    for path in ("good.cif", "=latin.cif", "huge_cell.extxyz", "imports_a_module.json"):
        (tmp_path / path).unlink()
    with pytest.raises(StructureFileError, match="no crystal in it that can be used"):
        read_structures(tmp_path, skipped.append)


def test_names_are_distinct_in_a_directory(tmp_path: Path) -> None:
    SALT.to(filename=str(tmp_path / "s.cif"))
    SALT.to(filename=str(tmp_path / "s.vasp"), fmt="poscar")
    assert [crystal.name for crystal in read_crystals(tmp_path)] == ["s", "s#2"]


@pytest.mark.parametrize("name", ["blanks.json", "blanks.json.gz"])
def test_blanks_without_end(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "MOST_BLANKS", 3 << 20)
    blanks = b" " * (4 << 20) + b"[]"
    (tmp_path / name).write_bytes(gzip.compress(blanks, 1) if name.endswith(".gz") else blanks)
    with pytest.raises(StructureFileError, match=r"blanks\.json.*: more than 3 MB of white space in one piece"):
        list(read_crystals(tmp_path / name))


def test_an_item_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "MOST_ITEM", 2 << 20)
    (tmp_path / "long.json").write_text('["' + "x" * (8 << 20))
    with pytest.raises(StructureFileError, match="more than 2 MB in one item"):
        list(read_crystals(tmp_path / "long.json"))


def test_a_packed_text_without_end(tmp_path: Path) -> None:
    (tmp_path / "long.cif.gz").write_bytes(gzip.compress(b"\n" * 2000))
    assert len(texts.read_text(tmp_path / "long.cif.gz", most=2000)) == 2000
    with pytest.raises(texts.TooLongError, match="more than 0 MB of text"):
        texts.read_text(tmp_path / "long.cif.gz", most=1999)


def test_no_module_is_imported_because_a_file_names_it(tmp_path: Path) -> None:
    """In a process of its own, where nothing else has imported `this`."""
    text = (CASES / "files" / "imports_a_module.json").read_text()
    (entry,) = json.loads(text)
    trap = {"@module": "this", "@class": "Zen"}
    for part in ("parameters", "data"):
        entry[part] = {"x": trap, "y": [trap]}
    entry["composition"] = trap | {"Cu": 1}
    entry["structure"]["properties"] = trap
    entry["structure"]["sites"][0]["properties"] = {"x": trap}
    entry["structure"]["lattice"] |= trap
    (tmp_path / "deep.json").write_text(json.dumps([entry]))
    code = (
        "import sys; from pathlib import Path; from gnome_torch.data.energy_files import EnergyFile\n"
        "from gnome_torch.data.files import read_crystals\n"
        "for path in map(Path, sys.argv[1:]):\n"
        "    print(len(list(EnergyFile(path).records())), [c.problem for c in read_crystals(path)])\n"
        "print('this' in sys.modules)"
    )
    paths = [str(CASES / "files" / "imports_a_module.json"), str(tmp_path / "deep.json")]
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["1 ['']", "1 ['']", "False"]


def test_a_correction_that_pymatgen_does_not_have_is_rejected(tmp_path: Path) -> None:
    (entry,) = json.loads((CASES / "files" / "imports_a_module.json").read_text())
    entry["energy_adjustments"] = [{"@module": "this", "@class": "Zen", "value": 1.0}]
    (tmp_path / "e.json").write_text(json.dumps([entry]))
    (item,) = EnergyFile(tmp_path / "e.json").records()
    assert isinstance(item, Reject)
    assert "'Zen' is no kind of correction" in item.reason


@pytest.mark.parametrize("broken", ['[1, null, "x", [], {}]', '[{"sites": []}]', '[{"sites": [{"species": 1}]}]'])
def test_json_that_is_no_crystal(tmp_path: Path, broken: str) -> None:
    (tmp_path / "b.json").write_text(broken)
    found = list(read_crystals(tmp_path / "b.json"))
    assert found
    assert all(crystal.structure is None and "no crystal of pymatgen" in crystal.problem for crystal in found)


# ---- frames


def frame(comment: str, atoms: str) -> str:
    return f"{len(atoms.splitlines())}\n{comment} Properties=species:S:1:pos:R:3\n{atoms}\n"


@pytest.mark.parametrize(
    ("comment", "atoms", "reason"),
    [
        ("", "Li 0 0 0", "it has no cell"),
        ('Lattice="3 0 0 0 3 0 0 0 9" pbc="T T F"', "Mo 0 0 0", "not periodic in three dimensions (pbc T T F)"),
        ('Lattice="3 0 0 0 3 0 0 0 20" pbc="T T T"', "Mo 0 0 0\nS 1.5 1.5 1.5", "a slab in a box"),
        ('Lattice="9 0 0 0 9 0 0 0 9"', "O 0 0 0\nH 0.76 0.59 0\nH -0.76 0.59 0", "molecules or atoms in a box"),
        ('Lattice="12 0 0 0 12 0 0 0 3"', "Se 0 0 0\nSe 1 1 1.5", "chains in a box"),
        ('Lattice="60 0 0 0 60 0 0 0 60"', "Mo 0 0 0", "216,000 cubic angstrom per atom"),
        ('Lattice="5 0 0 0 5 0 0 0 5"', "Li 0 0 nan", "a coordinate is not finite"),
        ('Lattice="5 0 0 0 5 0 0 0 5"', "X 0 0 0", "X is not an element"),
        ('Lattice="5 0 0 5 0.01 0 0 0 5"', "Li 0 0 0", "its cell is flat"),
        ('Lattice="5 0 0 0 5 0 0 0 5"', "Li 0 0 0\nLi 0 0 4.8", "overlapping atoms"),
    ],
)  # fmt: skip
def test_frames_that_are_no_crystals(tmp_path: Path, comment: str, atoms: str, reason: str) -> None:
    good = frame('Lattice="5 0 0 0 5 0 0 0 5"', "Cs 0 0 0\nCl 2.5 2.5 2.5")
    (tmp_path / "f.extxyz").write_text(frame(comment, atoms) + good)
    bad, right = read_crystals(tmp_path / "f.extxyz")
    assert reason in bad.problem
    assert right.structure is not None


def test_heavy_hydrogen_is_hydrogen_in_every_format(tmp_path: Path) -> None:
    cell = Structure(Lattice.cubic(4.068), ["Li", "D"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    charged = Structure(cell.lattice, ["Li+", "D-"], cell.frac_coords)
    (tmp_path / "a.extxyz").write_text(frame('Lattice="4 0 0 0 4 0 0 0 4"', "Li 0 0 0\nD 2 2 2"))
    (tmp_path / "b.json").write_text(json.dumps(cell.as_dict()).replace('"H"', '"D"'))
    (tmp_path / "c.json").write_text(json.dumps(charged.as_dict()))
    (tmp_path / "POSCAR").write_text("x\n1.0\n4 0 0\n0 4 0\n0 0 4\nLi D\n1 1\ndirect\n0 0 0\n0.5 0.5 0.5\n")
    (tmp_path / "d.cif").write_text((CASES / "cif" / "deut.cif").read_text())
    found = read_structures(tmp_path)
    assert len(found) == 5
    hydrogen = Structure(cell.lattice, ["Li", "H"], cell.frac_coords).composition
    assert all(crystal.composition.reduced_composition == hydrogen for crystal in found)


def test_sound_crystals_stay_as_they_are() -> None:
    assert sound(SALT) is SALT
    ethene = Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.74]], cell=[3, 3, 3], pbc=True)
    assert len(crystal_of_atoms(ethene)) == 2  # the shortest bond there is
    caesium = Atoms("Cs2", scaled_positions=[[0, 0, 0], [0.5] * 3], cell=[6.14] * 3, pbc=True)
    assert len(crystal_of_atoms(caesium)) == 2  # the roomiest element
    with pytest.raises(CrystalError, match="cubic angstrom an atom"):
        sound(Structure(Lattice.cubic(0.9), ["H"], [[0, 0, 0]]))
    with pytest.raises(CrystalError, match="not finite"):
        sound(Structure(Lattice(np.full((3, 3), np.nan)), ["H"], [[0, 0, 0]]))


def test_overlapping_rows_of_a_table(tmp_path: Path) -> None:
    near = SALT.copy()
    near.append("Na", [0.002, 0, 0])
    table = tmp_path / "t.csv"
    rows = "".join(f'{name},"{text}",-1\n' for name, text in (("a", CifWriter(near)), ("b", CifWriter(SALT))))
    table.write_text("id,cif,target\n" + rows)
    reject, record = EnergyFile(table).records()
    assert isinstance(reject, Reject)
    assert "overlapping atoms: Na and Na (Na0, Na8) are 0.01 angstrom apart" in reject.reason
    assert isinstance(record, OutsideRecord)


def test_heavy_hydrogen_is_hydrogen_in_every_formula(tmp_path: Path) -> None:
    right = {"LiD": "LiH", "HDO": "H2O", "T2O": "H2O", "DyTi": "DyTi", "CaSO4.2D2O": "CaH4SO6"}
    (tmp_path / "f.csv").write_text("formula\n" + "\n".join(right) + "\n")
    assert read_formulas(tmp_path / "f.csv") == [Composition(formula).reduced_formula for formula in right.values()]
    for text, formula in right.items():
        assert composition_of(text) == Composition(formula)
        assert reduced_formula(text) == Composition(formula).reduced_formula
