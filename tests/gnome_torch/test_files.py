"""Reading crystals from files of every kind."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.cif import CifWriter

from gnome_torch.data.files import StructureFileError, read_crystals, read_formulas, read_structures
from gnome_torch.data.rejects import Reject

SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def write(path: Path) -> int:
    """Write the salt in the format of the name; return how many crystals the file holds."""
    if path.name.endswith(".json"):
        path.write_text(json.dumps([SALT.as_dict(), {"structure": SALT.as_dict(), "energy": -1.0}]))
        return 2
    if path.name.endswith(".json.gz"):
        path.write_bytes(gzip.compress(json.dumps(SALT.as_dict()).encode()))
        return 1
    if path.suffix in (".extxyz", ".traj"):
        from ase.io import write as ase_write

        ase_write(path, [AseAtomsAdaptor.get_atoms(SALT)] * 3)
        return 3
    SALT.to(filename=str(path))
    return 1


@pytest.mark.parametrize("name", ["s.cif", "POSCAR", "s.json", "s.json.gz", "s.extxyz", "s.traj"])
def test_formats(tmp_path: Path, name: str) -> None:
    count = write(tmp_path / name)
    found = read_structures(tmp_path / name)
    assert len(found) == count
    assert all(StructureMatcher(scale=False).fit(structure, SALT) for structure in found)


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(StructureFileError, match=r"none\.cif"):
        read_structures(tmp_path / "none.cif")
    (tmp_path / "bad.json").write_text("{not json")
    with pytest.raises(StructureFileError, match=r"bad\.json: not a file of crystals"):
        read_structures(tmp_path / "bad.json")
    (tmp_path / "empty.json").write_text("[]")
    with pytest.raises(StructureFileError, match="no crystal"):
        read_structures(tmp_path / "empty.json")
    disordered = Structure(Lattice.cubic(3), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    (tmp_path / "alloy.json").write_text(json.dumps(disordered.as_dict()))
    with pytest.raises(StructureFileError, match=r"alloy:1: 'Cu0.5Au0.5': has partly occupied sites"):
        read_structures(tmp_path / "alloy.json")


def test_every_block_of_a_cif_is_a_crystal_of_its_own(tmp_path: Path) -> None:
    good = str(CifWriter(SALT))
    broken = good.replace("data_NaCl", "data_broken").replace("_cell_length_a", "_cell_length_q")
    (tmp_path / "several.cif").write_text(good + good.replace("data_NaCl", "data_second") + broken)
    found = list(read_crystals(tmp_path / "several.cif"))
    assert [crystal.name for crystal in found] == ["several:NaCl", "several:second", "several:broken"]
    assert [crystal.structure is None for crystal in found] == [False, False, True]
    assert found[2].problem.startswith("cannot be read: ")
    rejects: list[Reject] = []
    assert len(read_structures(tmp_path / "several.cif", rejects.append)) == 2
    assert [(reject.place, reject.reason[:16]) for reject in rejects] == [("several:broken", "cannot be read: ")]
    (tmp_path / "several.cif").write_text(broken)
    with pytest.raises(StructureFileError, match=r"no crystal .* can be used; the first: .*, several: cannot be read"):
        read_structures(tmp_path / "several.cif")


def test_csv_and_directories(tmp_path: Path) -> None:
    with (tmp_path / "b.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "CIF"], ["x", str(CifWriter(SALT))], ["x", str(CifWriter(SALT))], ["y", ""]])
    SALT.to(filename=str(tmp_path / "a.cif"))
    found = list(read_crystals(tmp_path))
    assert [crystal.name for crystal in found] == ["a", "b:x", "b:x#2", "b:y"]
    assert [crystal.structure is None for crystal in found] == [False, False, False, True]
    (tmp_path / "c.csv").write_text("formula,energy\nNaCl,1\n")
    with pytest.raises(StructureFileError, match="its columns are formula, energy; one must be cif"):
        list(read_crystals(tmp_path / "c.csv"))
    (tmp_path / "nothing").mkdir()
    with pytest.raises(StructureFileError, match="no file in it"):
        list(read_crystals(tmp_path / "nothing"))


def test_oxidation_states_of_a_file_are_kept_for_parents_and_dropped_for_structures(tmp_path: Path) -> None:
    charged = SALT.copy().add_oxidation_state_by_element({"Na": 1, "Cl": -1})
    (tmp_path / "s.json").write_text(json.dumps(charged.as_dict()))
    (crystal,) = read_crystals(tmp_path / "s.json")
    assert crystal.structure is not None
    assert crystal.structure[0].specie.oxi_state == 1
    assert read_structures(tmp_path / "s.json")[0] == SALT


@pytest.mark.parametrize(
    "text", ["formula,target\nNa2Cl2,1\nCaTiO3,2\n", "id,Formula\n1,NaCl\n\n2,O3CaTi\n", "NaCl\nCaTiO3\n"]
)
def test_formulas(tmp_path: Path, text: str) -> None:
    (tmp_path / "known.csv").write_text(text)
    assert read_formulas(tmp_path / "known.csv") == ["NaCl", "CaTiO3"]


def test_bad_formulas_are_named_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "known.csv"
    path.write_text("formula\nNaCl\nNaCk\nKCl\n")
    rejects: list[Reject] = []
    assert read_formulas(path, rejects.append) == ["NaCl", "KCl"]
    (reject,) = rejects
    assert str(reject).startswith(f"{path}, line 3: 'NaCk': not a chemical formula (")
    assert str(reject).endswith("; the column is formula")
    path.write_text("formula\nNaCk\n")
    with pytest.raises(StructureFileError, match=r"no formula in it; the first: .*known\.csv, line 2: 'NaCk': not a"):
        read_formulas(path)
    path.write_text("formula\n")
    with pytest.raises(StructureFileError, match="no formula in it"):
        read_formulas(path)
    with pytest.raises(StructureFileError, match=r"none\.csv: cannot be read"):
        read_formulas(tmp_path / "none.csv")


def test_a_small_distortion_is_kept(tmp_path: Path) -> None:
    """Titanium 0.08 angstrom off its place in every second cell: ten atoms, not five."""
    cell = Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(3.9), ["Sr", "Ti", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    )
    doubled = cell.make_supercell([1, 1, 2], in_place=False)
    (moved,) = [i for i, site in enumerate(doubled) if site.specie.symbol == "Ti" and site.frac_coords[2] > 0.5]
    doubled.translate_sites([moved], [0, 0, 0.08], frac_coords=False)
    for structure, n_sites in ((doubled, 10), (cell.make_supercell([1, 1, 2], in_place=False), 5)):
        structure.to(filename=str(tmp_path / "c.cif"))
        assert [len(s) for s in read_structures(tmp_path / "c.cif")] == [n_sites]
