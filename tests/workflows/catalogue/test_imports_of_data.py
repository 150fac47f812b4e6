"""`gnome data import` and what follows from it: nothing twice, nothing lost, theories apart."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from fireworks import LaunchPad
from pymatgen.core import Lattice, Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry

from gnome_torch.data.energy_files import EnergyFile
from gnome_torch.data.gnome_release import GnomeRelease
from gnome_torch.data.kinds import Corrections, EnergyKind
from gnome_torch.data.materials_project import MaterialsProject
from gnome_torch.data.outside import Batch, OutsideRecord, SourceError
from gnome_torch.data.rejects import Reject
from gnome_torch.records import Entry, EntryEnergy, Lineage
from workflows.catalogue.hulls import renew
from workflows.catalogue.imports import import_source
from workflows.catalogue.novelty import judge
from workflows.catalogue.recorrections import recorrect
from workflows.store import OutsideEntry, Store, StoreError


def salt(cation: str = "Mg", edge: float = 4.2) -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(edge), [cation, "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def record(key: str, structure: Structure, energy: float) -> OutsideRecord:
    return OutsideRecord(key, structure.reduced_formula, structure, energy, EnergyKind.TOTAL)


@dataclass
class Listed:
    """A source that is a list, two records a batch, which may break off."""

    items: list[OutsideRecord | Reject]
    breaks_after: int | None = None
    name: str = "listed"
    unique_keys: bool = True
    corrected: bool = False
    potentials: str = ""
    unchanging: bool = False
    version: str = "1"

    @property
    def identity(self) -> dict[str, Any]:
        return {"listed": True}

    def batches(self, position: Any = None) -> Iterator[Batch]:
        for at in range(position or 0, len(self.items), 2):
            if self.breaks_after is not None and at >= self.breaks_after:
                raise SourceError("listed: the line went dead")
            some = self.items[at : at + 2]
            yield Batch(some, at + len(some), (at + len(some)) / len(self.items))


@pytest.fixture
def store(launchpad: LaunchPad) -> Store:
    store = Store(launchpad.db)
    store.prepare()
    return store


def rejects_in(path: Path) -> list[str]:
    with path.open(newline="") as file:
        return [row["place"] for row in csv.DictReader(file)]


def test_stopped_and_resumed_and_repeated(store: Store, tmp_path: Path) -> None:
    items: list[OutsideRecord | Reject] = [
        record("a", salt("Mg"), -5.0),
        Reject("listed", "b", "", "broken"),
        record("c", salt("Ca"), -5.5),
        Reject("listed", "d", "", "broken"),
        record("e", salt("Sr"), -5.6),
    ]
    rejects = tmp_path / "r.csv"
    seen: list[tuple[int, float | None]] = []
    with pytest.raises(SourceError, match="went dead"):
        import_source(store, Listed(items, breaks_after=2), "t", rejects)
    assert [d["outside"]["key"] for d in store.database["entries"].find({})] == ["a"]
    with rejects.open("a") as file:
        file.write("listed,written behind the last batch by a run that was killed,,\n")
    done = import_source(store, Listed(items), "t", rejects, report=lambda i, d: seen.append((i.read, d)))
    assert (done.read, done.new, done.rejected) == (5, 3, 2)
    assert seen == [(4, 0.8), (5, 1.0)]  # the first batch was not read again
    assert rejects_in(rejects) == ["b", "d"]
    again = import_source(store, Listed(items), "t", rejects)
    assert (again.read, again.new, again.rejected) == (5, 3, 2)
    assert store.database["entries"].count_documents({}) == 3
    assert rejects_in(rejects) == ["b", "d"]


def test_a_later_version_replaces_a_record_and_may_bring_it_back(store: Store, tmp_path: Path) -> None:
    first, second = [record("a", salt(), -5.0)], [record("a", salt(), -5.2)]
    for items in (first, second):
        import_source(store, Listed(list(items)), "t", tmp_path / "r.csv")
    assert [e.energy_per_atom for e in store.entries.energies("t")] == [-5.2]
    assert store.database["entries"].count_documents({}) == 2  # nothing is lost
    import_source(store, Listed(list(first)), "t", tmp_path / "r.csv")
    assert [e.energy_per_atom for e in store.entries.energies("t")] == [-5.0]


def test_a_file_is_read_once_and_a_changed_file_again(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("formula,target\nMgO,-3.0\nCaO,-3.2\n")
    first = import_source(store, EnergyFile(path), "mp", tmp_path / "r.csv")
    assert (first.theories, first.new, first.repeated) == (["mp:formation"], 2, False)
    assert import_source(store, EnergyFile(path), "mp", tmp_path / "r.csv").repeated
    path.write_text("formula,target\nMgO,-3.0\nCaO,-3.2\nSrO,-3.3\n")
    assert import_source(store, EnergyFile(path), "mp", tmp_path / "r.csv").new == 1
    assert {e.reduced_formula: e.energy_per_atom for e in store.entries.energies("mp:formation")} == {
        "MgO": -3.0, "CaO": -3.2, "SrO": -3.3
    }  # fmt: skip
    points = renew(store, "mp:formation").points  # elements are at 0
    assert all(point.e_above_hull == 0 for point in points.values())
    assert {round(point.formation_energy, 6) for point in points.values()} == {-3.0, -3.2, -3.3}


def test_nothing_to_import(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("formula,target\nQq,1\n")
    with pytest.raises(SourceError, match="all 1 records are refused"):
        import_source(store, EnergyFile(path), "mp", tmp_path / "r.csv")
    path.write_text("formula,target\n")
    with pytest.raises(SourceError, match="no record in it"):
        import_source(store, EnergyFile(path), "mp", tmp_path / "r.csv")
    path.write_text("formula,target\nMgO,1\n")
    with pytest.raises(StoreError, match="letters, digits"):
        import_source(store, EnergyFile(path), "mp:formation", tmp_path / "r.csv")


def test_a_campaigns_theory_is_not_mixed_unasked(store: Store, tmp_path: Path) -> None:
    store.campaigns.create("c", {"elements": ["Mg", "O"]}, "theory-1", "none", "/d", "uid")
    with pytest.raises(StoreError, match=r"'theory-1' is that of campaign 'c'.*--compatible"):
        import_source(store, Listed([record("a", salt(), -5.0)]), "theory-1", tmp_path / "r.csv")
    import_source(store, Listed([record("a", salt(), -5.0)]), "theory-1", tmp_path / "r.csv", compatible=True)
    assert len(store.entries.energies("theory-1", ["Mg", "O"])) == 1


def test_potentials_of_another_release_are_not_mixed_unasked(store: Store, tmp_path: Path) -> None:
    settings = {"elements": ["Mg", "O"], "theory": {"name": "vasp-pbe-mp", "potcars": "PBE_54"}}
    store.campaigns.create("c", settings, "vasp-1", "MP2020", "/d", "uid")
    source = Listed([record("a", salt(), -5.0)], potentials="PBE")
    with pytest.raises(StoreError, match=r"VASP's potentials PBE_54, listed with PBE: .*--other-potentials"):
        import_source(store, source, "vasp-1", tmp_path / "r.csv", compatible=True)
    import_source(store, source, "vasp-1", tmp_path / "r.csv", compatible=True, other_potentials=True)
    assert len(store.entries.energies("vasp-1")) == 1
    assert [MaterialsProject((), kind).potentials for kind in ("GGA_GGA+U", "R2SCAN")] == ["PBE", "PBE_54"]


def test_corrections_of_total_energies(store: Store, tmp_path: Path) -> None:
    """-0.687 eV per oxygen; a formation energy has none."""
    import_source(store, Listed([record("a", salt(), -5.0)]), "t", tmp_path / "r.csv", Corrections.MP2020)
    (entry,) = store.entries.energies("t")
    assert entry.correction == pytest.approx(-0.687 / 2)
    assert entry.uncorrected == pytest.approx(-5.0)
    for theory, corrections, sign in (("u", Corrections.TO_GNOME, 1), ("w", Corrections.FROM_GNOME, -1)):
        some = [replace(record("a", salt(), -5.0), correction_per_atom=-0.3), record("b", salt("Ca"), -5.0)]
        import_source(store, Listed(list(some)), theory, tmp_path / "r.csv", corrections)
        shifted = {entry.reduced_formula: entry.correction for entry in store.entries.energies(theory)}
        assert shifted == {"MgO": pytest.approx(-0.3 + sign * 0.0924014 / 2), "CaO": 0.0}
    path = tmp_path / "f.csv"
    path.write_text("formula,target\nMgO,-3\n")
    with pytest.raises(SourceError, match="all 1 records are refused"):
        import_source(store, EnergyFile(path), "v", tmp_path / "r.csv", Corrections.MP2020)
    assert "need a total energy, and this is one of formation" in (tmp_path / "r.csv").read_text()


def test_novelty_beside_what_was_imported(store: Store, tmp_path: Path) -> None:
    """A found rock salt is no new prototype once one is known; the same crystal is found again; older ones lead."""
    store.campaigns.create("c", {"elements": ["Mg", "O"]}, "t", "none", "/d", "uid")
    items = [record("mp-1", salt("Ca"), -5.0), record("mp-2", salt("Ba"), -5.0)]
    import_source(store, Listed(list(items)), "other", tmp_path / "r.csv")
    for key, crystal in (("found", salt("Mg")), ("again", salt("Mg", 4.25)), ("known", salt("Ca", 4.3))):
        store.entries.add(Entry(key, crystal, -40.0, 0.0, "t", Lineage("saps", "x", "y", 1)), "c")
    judge(store, ["found", "again", "known"])
    documents = {key: (store.entries.get(key) or {})["novelty"] for key in ("found", "again", "known")}
    calcium = next(d["_id"] for d in store.database["entries"].find({"outside.key": "mp-1"}))
    assert [documents[key]["new_prototype"] for key in documents] == [False, False, False]
    assert documents["found"]["analogue"] == calcium  # nearer to magnesium than barium is
    assert documents["found"]["duplicate_of"] is None
    assert documents["again"]["duplicate_of"] == "found"
    assert documents["known"]["duplicate_of"] == calcium
    assert store.entries.known_outside({"CaO", "MgO"}) == {"CaO"}
    # of a prototype that nobody has, the library's crystal is the analogue
    perovskite = Structure(
        Lattice.cubic(4), ["K", "Mg", "F", "F", "F"],
        [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
    )  # fmt: skip
    store.entries.add(Entry("perovskite", perovskite, -20.0, 0.0, "t", Lineage("saps", "x", "y", 1)), "c")
    judge(store, ["perovskite"])
    novelty = (store.entries.get("perovskite") or {})["novelty"]
    assert novelty["new_prototype"] is False
    assert novelty["analogue"].startswith("aflow:")


# ---- the command


def test_killed_in_the_middle(here: Path, store: Store) -> None:
    """kill -9, twice; then everything is there once, and so are the rejects."""
    rows = [f"Mg{n}O{1 + n % 7},-{1 + n / 1000}" if n % 10 else f"Xx{n},1" for n in range(1, 3001)]
    (here / "f.csv").write_text("formula,target\n" + "\n".join(rows) + "\n")
    command = [sys.executable, "-m", "workflows.cli", "data", "import", "file", "f.csv", "--theory", "t"]
    for least in (1, 1200):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while store.database["entries"].count_documents({}) < least:
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()
        process.wait()
    there = store.database["entries"].count_documents({})
    assert there < 2700
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "2,700 of 3,000 records used" in done.stdout
    assert store.database["entries"].count_documents({}) == len(store.entries.energies("t:formation")) == 2700
    (file,) = here.glob("f.csv.*.rejects.csv")
    assert rejects_in(file) == [f"line {n + 1}" for n in range(10, 3001, 10)]


@pytest.fixture
def here(launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory and the database that commands run in."""
    monkeypatch.setenv("GNOME_MONGODB_URI", f"mongodb://{launchpad.host}:{launchpad.port}")
    monkeypatch.setenv("GNOME_MONGODB_NAME", launchpad.name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


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
    assert gnome("data", "list")[1] == "pbe  file:entries.json  4 entries\n"

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

    assert "give either --entries FILE or --theory NAME" in gnome("hull", "--out", "x.csv")[2]
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


def computed(key: str, structure: Structure, run_type: str, **hubbards: float) -> OutsideRecord:
    parameters = {"run_type": run_type, "hubbards": hubbards}
    return OutsideRecord(
        key, structure.reduced_formula, structure, -5.0, EnergyKind.TOTAL, 0.0, parameters, "e.json", f"entry {key}"
    )


def test_functionals_do_not_meet_in_a_theory(store: Store, tmp_path: Path) -> None:
    items: list[OutsideRecord | Reject] = [
        computed("a", salt("Mg"), "GGA"),
        computed("b", salt("Fe"), "PBE+U", Fe=5.3),
        computed("c", salt("Ca"), "R2SCAN"),
    ]
    rejects = tmp_path / "r.csv"
    done = import_source(store, Listed(items), "t", rejects)
    assert (done.new, done.rejected) == (2, 1)
    (row,) = csv.DictReader(rejects.open(newline=""))
    assert (row["file"], row["place"]) == ("e.json", "entry c")
    assert "computed with R2SCAN, but theory 't' holds GGA" in row["reason"]
    later = import_source(store, Listed(items[2:], name="other"), "r2scan", tmp_path / "s.csv")
    assert later.new == 1
    with pytest.raises(SourceError, match="all 1 records are refused"):
        import_source(store, Listed(items[2:], name="third", version="2"), "t", tmp_path / "u.csv")


def test_corrections_of_calculations_without_u(store: Store, tmp_path: Path) -> None:
    items: list[OutsideRecord | Reject] = [
        computed("a", salt("Fe"), "GGA+U", Fe=5.3),
        computed("b", salt("Fe", 4.3), "GGA"),
    ]
    # nor does a record that is refused say what the theory holds
    items.insert(0, computed("c", salt("Fe", 4.4), "R2SCAN"))
    done = import_source(store, Listed(items), "t", tmp_path / "r.csv", Corrections.MP2020)
    assert (done.new, done.rejected) == (1, 2)
    assert store.imports.functional_of("t") == "GGA"
    assert store.entries.energies("t")[0].correction == pytest.approx((-0.687 - 2.256) / 2, abs=0.01)


def test_a_file_that_is_no_file_of_rejects_stays(here: Path, gnome: Any) -> None:
    (here / "f.csv").write_text("formula,target\nMgO,-3.0\nQq,1\n")
    for name in ("f.csv", "notes.txt"):
        (here / "notes.txt").write_text("do not lose me\n")
        before = (here / name).read_text()
        status, _, err = gnome("data", "import", "file", "f.csv", "--theory", "mp", "--rejects", name)
        assert (status, (here / name).read_text()) == (1, before)
        assert "is no file of rejects" in err
    # files of the same name elsewhere have rejects of their own
    (here / "sub").mkdir()
    (here / "sub" / "f.csv").write_text("formula,target\nCaO,-3.0\nQq,1\n")
    for path in ("f.csv", "sub/f.csv"):
        assert gnome("data", "import", "file", path, "--theory", "mp")[0] == 0
    assert len(list(here.glob("f.csv.*.rejects.csv"))) == 2


def test_formulas_with_fractions_are_known_compositions(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("formula,target\nRb0.5RhO2,-1.0\nLi0.5CoO2,-1.5\nLiCo2O4,-1.4\n")
    import_source(store, EnergyFile(path), "mp", tmp_path / "r.csv")
    assert store.entries.known_outside({"RbRh2O4", "Rb(RhO2)2", "LiCo2O4", "Li(CoO2)2"}) == {"Rb(RhO2)2", "Li(CoO2)2"}


def test_energies_of_cells_taken_for_energies_of_atoms_are_kept_out(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("formula,target\nMgO,-30.0\nCaO,-3.2\n")
    import_source(store, EnergyFile(path), "mp", tmp_path / "r.csv")
    renewed = renew(store, "mp:formation")
    assert list(renewed.doubtful.values()) == ["formation energy -30.0 eV/atom"]


def test_elements_do_not_move_the_zero_of_formation_energies(store: Store, tmp_path: Path) -> None:
    """Diamond lies above its reference; below it no element can, whether it comes now or was imported long ago."""
    path = tmp_path / "f.csv"
    path.write_text("formula,target\nC,0.136\nMg2C3,0.05\nMg,0.0\nSi,-0.4\nSiC,0.03\n")
    done = import_source(store, EnergyFile(path), "mp", tmp_path / "r.csv")
    assert (done.new, rejects_in(tmp_path / "r.csv")) == (4, ["line 5"])
    old = EntryEnergy("old", "Si", -0.4, 0.0, "mp:formation")
    store.entries.add_outside([OutsideEntry("old", None, old)], "earlier", "1", True)
    renewed = renew(store, "mp:formation")
    formulas = {entry.id: entry.reduced_formula for entry in store.entries.energies("mp:formation")}
    places = {formulas[key]: (point.formation_energy, point.e_above_hull) for key, point in renewed.points.items()}
    assert places == {
        formula: (pytest.approx(energy), pytest.approx(energy))
        for formula, energy in (("C", 0.136), ("Mg2C3", 0.05), ("Mg", 0.0), ("SiC", 0.03))
    }
    assert "none of an element is below 0" in renewed.doubtful["old"]


def test_nothing_is_corrected_twice(store: Store, tmp_path: Path) -> None:
    own = replace(record("a", salt(), -5.0), correction_per_atom=-0.3435)
    done = import_source(
        store, Listed([own, record("b", salt("Ca"), -5.0)]), "t", tmp_path / "r.csv", Corrections.MP2020
    )
    assert (done.new, rejects_in(tmp_path / "r.csv")) == (1, ["a"])
    assert "it comes with a correction of -0.3435 eV/atom" in (tmp_path / "r.csv").read_text()
    with pytest.raises(SourceError, match=r"listed: --corrections mp2020: .* have the corrections of MP2020 already"):
        import_source(store, Listed([own], corrected=True), "t", tmp_path / "r.csv", Corrections.MP2020)
    assert GnomeRelease(Path("s.csv")).corrected
    assert MaterialsProject().corrected


def test_corrections_of_another_pymatgen_are_made_anew(store: Store, tmp_path: Path) -> None:
    """From the stored crystal, energy and parameters; a hull never has two versions."""
    items = [computed("a", salt("Fe"), "GGA+U", Fe=5.3), record("mg", salt("Mg"), -5.0)]
    import_source(store, Listed(list(items)), "t", tmp_path / "r.csv", Corrections.MP2020)
    documents = store.database["entries"]
    mark = {"name": "MP2020", "pymatgen": version("pymatgen")}
    right = {d["formula"]: d["correction"] for d in documents.find({"correction_scheme": mark})}
    assert set(right) == {"FeO", "MgO"}
    old = {"name": "MP2020", "pymatgen": "2020.1.1"}
    documents.update_one({"formula": "FeO"}, {"$set": {"correction": 0.0, "correction_scheme": old}})
    assert recorrect(store, "t").renewed == 1
    assert {d["formula"]: d["correction"] for d in documents.find({"correction_scheme": mark})} == right
    (iron,) = [entry for entry in store.entries.energies("t") if entry.reduced_formula == "FeO"]
    assert documents.find_one({"formula": "FeO"})["energy_per_atom"] == pytest.approx(iron.energy_per_atom)
    assert recorrect(store, "t").renewed == 0
    # of a campaign, before corrections were marked; of a source's own nothing is known
    store.campaigns.create("c", {"elements": ["Ca", "O"]}, "t", "MP2020", "/d", "uid")
    store.entries.add(Entry("bare", salt("Ca"), -40.0, 0.0, "t", Lineage("saps", "x", "y", 1)), "c")
    import_source(
        store, Listed([record("z", salt("Sr"), -5.0)], name="z", version="3"), "t", tmp_path / "r.csv", compatible=True
    )
    assert recorrect(store, "t").renewed == 1
    assert (store.entries.get("bare") or {})["correction"] == pytest.approx(-0.687 * 4)
    documents.update_one({"formula": "FeO"}, {"$set": {"correction_scheme": old, "outside.parameters.hubbards": {}}})
    assert "MP2020 has no correction for FeO" in next(iter(recorrect(store, "t").refused.values()))
