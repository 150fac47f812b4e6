"""Finished calculations of VASP as energies: what each says of itself, and what is refused."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import Poscar

from gnome_torch.data.energy_files import EnergyFile
from gnome_torch.data.outside import OutsideRecord, SourceError
from gnome_torch.data.rejects import Reject
from gnome_torch.stability.corrections import CorrectionScheme, UncorrectableError, correction

STAND_IN = Path(__file__).parents[1] / "support" / "vasp_stand_in.py"
U = "LDAU = .TRUE.\nLDAUU = 5.3 0\nLDAUJ = 0 0\nLDAUL = 2 0\n"


def run(directory: Path, incar: str = "", titles: str = "Fe_pv O") -> Path:
    """Files of a static run of FeO, as VASP leaves them."""
    directory.mkdir(parents=True)
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.3), ["Fe", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    Poscar(salt).write_file(directory / "POSCAR")
    (directory / "INCAR").write_text(f"NSW = 0\nGGA = PE\n{incar}")
    (directory / "POTCAR.spec").write_text(titles.replace(" ", "\n"))
    subprocess.run([sys.executable, STAND_IN], cwd=directory, check=True, capture_output=True)
    return directory / "vasprun.xml"


def parted(path: Path) -> tuple[list[OutsideRecord], list[Reject]]:
    found = list(EnergyFile(path).records())
    return [x for x in found if isinstance(x, OutsideRecord)], [x for x in found if isinstance(x, Reject)]


def test_a_calculation_says_what_it_was_computed_with(tmp_path: Path) -> None:
    path = run(tmp_path / "u", U)
    ((record,), rejects) = parted(path)
    assert (record.formula, record.functional, rejects) == ("FeO", "GGA", [])
    assert record.structure is not None
    assert record.parameters == {
        "run_type": "PBE+U",
        "hubbards": {"Fe": 5.3, "O": 0.0},
        "potentials": ["PAW_PBE Fe_pv 01Jan2000", "PAW_PBE O 01Jan2000"],
    }
    cell = record.structure
    assert correction(cell, -50.0, CorrectionScheme.MP2020, record.parameters) / len(cell) == pytest.approx(
        (-0.687 - 2.256) / 2, abs=0.01
    )
    packed = tmp_path / "vasprun.xml.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert parted(packed)[0][0].energy_per_atom == record.energy_per_atom


def test_directories(tmp_path: Path) -> None:
    """One record a directory, of its last calculation; what is broken does not take the others with it."""
    run(tmp_path / "calculations" / "a")
    good = run(tmp_path / "calculations" / "deep" / "b", U)
    for name in ("vasprun.relax1.xml.gz", "vasprun.xml.relax2.gz"):
        good.with_name(name).write_bytes(b"older")
    half = run(tmp_path / "calculations" / "half")
    half.write_text(half.read_text()[:3000])
    (tmp_path / "calculations" / "deep" / "README.md").write_text("notes")
    records, rejects = parted(tmp_path / "calculations")
    assert [(r.key, r.place) for r in records] == [("a", "calculation 1"), ("deep/b", "calculation 2")]
    assert [(Path(r.file).parent.name, r.value) for r in rejects] == [("half", "half")]
    # FeO without U is on no hull of MP2020
    without = records[0].structure
    assert without is not None
    with pytest.raises(UncorrectableError, match="computed with GGA"):
        correction(without, -50.0, CorrectionScheme.MP2020, records[0].parameters)
    before = EnergyFile(tmp_path / "calculations").identity
    run(tmp_path / "calculations" / "c")
    assert EnergyFile(tmp_path / "calculations").identity != before
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"no vasprun\.xml in this directory or below"):
        parted(tmp_path / "empty")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("NSW = 0", "NSW = 0\nIBRION = 0", "molecular dynamics"),
        ("GGA = PE", "GGA = PS", "PBESOL"),
        ("GGA = PE", "METAGGA = R2SCAN", "R2SCAN"),
        ("GGA = PE", "", "LDA"),
        ("GGA = PE", "LHFCALC = .TRUE.\nHFSCREEN = 0.2", "HSE06"),
    ],
)
def test_other_calculations(tmp_path: Path, old: str, new: str, expected: str) -> None:
    path = run(tmp_path / "a")
    (tmp_path / "a" / "INCAR").write_text((tmp_path / "a" / "INCAR").read_text().replace(old, new))
    subprocess.run([sys.executable, STAND_IN], cwd=tmp_path / "a", check=True, capture_output=True)
    if expected == "LDA":
        path.write_text(path.read_text().replace("PAW_PBE", "PAW"))
    records, rejects = parted(path)
    assert [r.functional for r in records] + [r.reason.split(":")[0] for r in rejects] == [expected]


def task(**changes: Any) -> dict[str, Any]:
    """What is read of a document of atomate2."""
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.3), ["Fe", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    return {
        "state": "successful",
        "input": {"hubbards": {"Fe": 5.3, "O": 0.0}, "potcar_spec": [{"titel": "PAW_PBE Fe_pv 02Aug2007"}]},
        "output": {"structure": salt.as_dict(), "energy": -52.0},
        "calcs_reversed": [{"run_type": "PBE+U"}],
    } | changes


def test_documents_of_atomate2(tmp_path: Path) -> None:
    """As they are, and as jobflow keeps them; a list of them, and one in which the calculation failed."""
    enumeration = {"@module": "emmet.core.vasp.calculation", "@class": "RunType", "value": "GGA+U"}
    documents = [
        {"uuid": "u-1", "index": 1, "output": task()},
        task(calcs_reversed=[{"run_type": enumeration}]),
        task(state="failed"),
        {"uuid": "u-2", "index": 1, "output": {"nothing": 1}},
    ]
    (tmp_path / "outputs.json").write_text(json.dumps(documents))
    records, rejects = parted(tmp_path / "outputs.json")
    assert [(r.key, r.energy_per_atom, r.functional) for r in records] == [
        ("u-1", -6.5, "GGA"),
        ("entry 2", -6.5, "GGA"),
    ]
    assert records[0].parameters is not None
    assert records[0].parameters["hubbards"] == {"Fe": 5.3, "O": 0.0}
    assert [(r.place, "state is failed" in r.reason) for r in rejects] == [("entry 3", True), ("entry 4", False)]


def test_the_document_that_emmet_makes(tmp_path: Path) -> None:
    tasks = pytest.importorskip("emmet.core.tasks")
    run(tmp_path / "u", U)
    document = tasks.TaskDoc.from_directory(tmp_path / "u").model_dump(mode="json")
    (tmp_path / "one.json").write_text(json.dumps({"uuid": "u", "index": 1, "output": document}))
    ((made,), rejects) = parted(tmp_path / "one.json")
    ((read,), _) = parted(tmp_path / "u" / "vasprun.xml")
    assert (made.formula, made.functional, rejects) == ("FeO", "GGA", [])
    assert made.energy_per_atom == pytest.approx(read.energy_per_atom)
    assert (made.parameters or {})["hubbards"] == {"Fe": 5.3, "O": 0.0}
