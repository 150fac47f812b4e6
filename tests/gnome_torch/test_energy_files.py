"""Energies from files of every kind, and what is broken in them."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
from pathlib import Path

import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import write
from pymatgen.core import Lattice, Structure
from pymatgen.entries.computed_entries import (
    CompositionEnergyAdjustment,
    ComputedStructureEntry,
    ConstantEnergyAdjustment,
)
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.cif import CifWriter

from gnome_torch.data.energies import read_energies
from gnome_torch.data.energy_files import EnergyFile
from gnome_torch.data.kinds import EnergyKind
from gnome_torch.data.outside import OutsideRecord, SourceError
from gnome_torch.data.rejects import Reject

CASES = Path(__file__).parents[1] / "data" / "cases"


def salt(cation: str = "Mg", anion: str = "O") -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


def parted(path: Path, **options: object) -> tuple[list[OutsideRecord], list[Reject]]:
    found = list(EnergyFile(path, **options).records())  # type: ignore[arg-type]
    return [r for r in found if isinstance(r, OutsideRecord)], [r for r in found if isinstance(r, Reject)]


def test_formulas(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("formula,target\nMgO,-3.0\nQq2,1\n\nLi2O,\nLi2O,-2.0\n")
    records, rejects = parted(path)
    assert [(r.key, r.formula, r.energy_per_atom, r.kind, r.structure) for r in records] == [
        ("MgO", "MgO", -3.0, EnergyKind.FORMATION, None),
        ("Li2O", "Li2O", -2.0, EnergyKind.FORMATION, None),
    ]
    assert [(r.place, r.value) for r in rejects] == [("line 3", "Qq2"), ("line 5", "")]


def test_crystals_in_a_table(tmp_path: Path) -> None:
    """Energies per cell are per cell of the file: eight atoms, of which two would do."""
    path = tmp_path / "c.csv"
    partial = Structure(Lattice.cubic(4), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [
                ("material_id", "cif", "heat"),
                ("a", str(CifWriter(salt())), -24.0),
                ("b", "no cif", 1.0),
                ("c", str(CifWriter(partial)), 1.0),
                ("d", str(CifWriter(salt("Ca"))), "inf"),
            ]
        )
    records, rejects = parted(path, energy="heat", per_cell=True)
    assert [(r.key, r.formula, r.energy_per_atom) for r in records] == [("a", "MgO", pytest.approx(-3.0))]
    assert records[0].structure is not None
    assert len(records[0].structure) == 2
    assert len(rejects) == 3
    assert "partly occupied" in rejects[1].reason
    assert rejects[2].value == "inf"
    assert parted(path, energy="heat")[0][0].energy_per_atom == -24.0


@pytest.mark.parametrize("suffix", ["", ".gz", ".bz2"])
@pytest.mark.parametrize("form", ["one", "list", "entries"])
def test_entries(tmp_path: Path, suffix: str, form: str) -> None:
    """Every kind of adjustment is a correction, not part of the energy."""
    adjustments = [
        ConstantEnergyAdjustment(-1.6, name="x"),
        CompositionEnergyAdjustment(-0.687, 4, name="oxide", cls={}),
    ]
    entry = ComputedStructureEntry(salt(), -48.0, energy_adjustments=adjustments, entry_id="mp-1265").as_dict()
    content = {"one": entry, "list": [entry, {"energy": 1}, 7], "entries": {"entries": [entry, {"energy": 1}, 7]}}[form]
    path = tmp_path / f"entries.json{suffix}"
    opened = {"": open, ".gz": gzip.open, ".bz2": bz2.open}[suffix]
    with opened(path, "wt") as file:  # type: ignore[operator]
        json.dump(content, file)
    records, rejects = parted(path)
    (record,) = records
    assert (record.key, record.formula, record.kind) == ("mp-1265", "MgO", EnergyKind.TOTAL)
    assert record.energy_per_atom == pytest.approx(-6.0)
    assert record.correction_per_atom == pytest.approx((-1.6 - 4 * 0.687) / 8)
    assert [reject.place for reject in rejects] == ([] if form == "one" else ["entry 2", "entry 3"])


def test_ase_files(tmp_path: Path) -> None:
    crystals = [AseAtomsAdaptor.get_atoms(salt(cation)) for cation in ("Mg", "Ca")]
    for atoms, energy in zip(crystals, (-40.0, -44.0), strict=True):
        atoms.calc = SinglePointCalculator(atoms, energy=energy)
    bare = AseAtomsAdaptor.get_atoms(salt("Sr"))
    write(tmp_path / "c.extxyz", [*crystals, bare])
    with connect(tmp_path / "c.db") as database:
        for atoms in (*crystals, bare):
            database.write(atoms)
    for name in ("c.extxyz", "c.db"):
        records, rejects = parted(tmp_path / name)
        assert [(r.formula, r.energy_per_atom, r.kind) for r in records] == [
            ("MgO", pytest.approx(-5.0), EnergyKind.TOTAL),
            ("CaO", pytest.approx(-5.5), EnergyKind.TOTAL),
        ]
        assert [(r.place.split(",")[0], r.value) for r in rejects] == [("crystal 3", "O4Sr4")]


def test_a_broken_frame_does_not_take_the_others_with_it(tmp_path: Path) -> None:
    frames = []
    for cation in ("Mg", "Ca", "Sr", "Ba", "Cd", "Be"):
        atoms = AseAtomsAdaptor.get_atoms(salt(cation))
        atoms.calc = SinglePointCalculator(atoms, energy=-40.0)
        write(tmp_path / "one.extxyz", atoms)
        frames.append((tmp_path / "one.extxyz").read_text().splitlines())
    frames[1][4] = "Ca x y z"  # no number
    del frames[2][-2:]  # two atoms too few
    frames[4][0] = "eight"  # no number of atoms
    path = tmp_path / "broken.extxyz"
    path.write_text("\n".join(line for frame in frames for line in frame) + "\n")
    records, rejects = parted(path)
    assert [(r.formula, r.place) for r in records] == [
        ("MgO", "crystal 1, line 1"),
        ("BaO", "crystal 4, line 29"),
        ("BeO", "crystal 6, line 49"),
    ]
    assert [r.place for r in rejects] == ["crystal 2, line 11", "crystal 3, line 21", "crystal 5, line 39"]
    assert "8 atoms announced, 6 there" in rejects[1].reason
    molecule = AseAtomsAdaptor.get_atoms(salt("Mg"))
    molecule.pbc = False
    molecule.calc = SinglePointCalculator(molecule, energy=-40.0)
    write(tmp_path / "molecule.extxyz", molecule)
    _, (refused,) = parted(tmp_path / "molecule.extxyz")
    assert "not periodic" in refused.reason


def test_a_broken_row_does_not_take_the_others_with_it(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b'formula,target\nMgO,-3.0\nCaO,"-3.2\nSr\xe9O,-3.1\nBaO,-2.8\n"BeO",-3.1\n')
    records, rejects = parted(path)
    assert [(r.formula, r.place) for r in records] == [("MgO", "line 2"), ("BaO", "line 5"), ("BeO", "line 6")]
    assert [r.place for r in rejects] == ["line 3", "line 4"]
    table = read_energies(path)
    assert table.formulas == ["MgO", "BaO", "BeO"]
    assert [r.place for r in table.rejects] == ["line 3", "line 4"]


def test_json_objects_one_a_line(tmp_path: Path) -> None:
    entries = [ComputedStructureEntry(salt(cation), -40.0, entry_id=cation).as_dict() for cation in ("Mg", "Ca", "Sr")]
    for name in ("e.jsonl", "e.json"):
        (tmp_path / name).write_text("\n".join(json.dumps(entry) for entry in entries))
        records, rejects = parted(tmp_path / name)
        assert ([r.key for r in records], rejects) == (["Mg", "Ca", "Sr"], [])
    (tmp_path / "e.json").write_text(json.dumps(entries) + " and more")
    with pytest.raises(SourceError, match="neither a list nor an object"):
        parted(tmp_path / "e.json")


def test_the_parameters_of_an_entry_go_with_it(tmp_path: Path) -> None:
    parameters = {"run_type": "PBE+U", "hubbards": {"Fe": 5.3, "O": 0.0}}
    entries = [
        ComputedStructureEntry(salt("Fe"), -40.0, parameters=parameters, entry_id="u").as_dict(),
        ComputedStructureEntry(salt("Fe"), -40.0, entry_id="bare").as_dict(),
    ]
    (tmp_path / "e.json").write_text(json.dumps(entries))
    (with_u, bare), _ = parted(tmp_path / "e.json")
    assert (with_u.parameters, with_u.functional) == (parameters, "GGA")
    assert (bare.parameters, bare.functional) == (None, "")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "the file is empty"),
        ("a.csv", "name,target\nx,1\n", "one must be formula or cif"),
        ("a.csv", "formula,e\nMgO,1\n", "no column 'target'"),
        ("a.json", "{", "cannot be read"),
        ("a.json", "3", "neither a list nor an object"),
        ("a.json.gz", "not gzip", "cannot be read"),
        ("a.txt", "x", "no file of energies"),
    ],
)
def test_files_of_which_nothing_can_be_used(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(SourceError, match=message) as caught:
        list(EnergyFile(tmp_path / name).records())
    assert str(tmp_path / name) in str(caught.value)
    with pytest.raises(SourceError, match="cannot be read"):
        list(EnergyFile(tmp_path / "missing.csv").records())


def test_entries_without_a_crystal() -> None:
    ((record,), rejects) = parted(CASES / "computed_entries_without_crystal.json")
    assert rejects == []
    assert (record.key, record.formula, record.structure, record.kind) == ("ce", "Fe2O3", None, EnergyKind.TOTAL)
    assert record.energy_per_atom == pytest.approx(-33.0 / 5)
    assert (record.functional, (record.parameters or {})["hubbards"]["Fe"]) == ("GGA", 5.3)


def test_an_atom_in_a_box_is_no_reference() -> None:
    _, rejects = parted(CASES / "isolated_atom_frames.extxyz")
    reasons = {reject.value: reject.reason for reject in rejects if reject.value in ("Mo", "S", "Li2")}
    box = "216,000 cubic angstrom per atom: an atom or a molecule in a box is no crystal"
    overlap = "overlapping atoms: Li and Li (Li, Li) are 0.01 angstrom apart, less than 0.5"
    assert reasons == {"Mo": box, "S": box, "Li2": overlap}
