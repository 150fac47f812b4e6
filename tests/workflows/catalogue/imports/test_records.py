"""Records as entries of a theory: their corrections, their functionals."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import pytest
from outside import Listed, computed, record, rejects_in, salt

from gnome_torch.data.energy_files import EnergyFile
from gnome_torch.data.gnome_release import GnomeRelease
from gnome_torch.data.kinds import Corrections
from gnome_torch.data.materials_project import MaterialsProject
from gnome_torch.data.optimade import OptimadeSource
from gnome_torch.data.outside import OutsideRecord, SourceError
from gnome_torch.data.rejects import Reject
from gnome_torch.records import Entry, EntryEnergy, Lineage
from gnome_torch.stability.hull import Hull, MixedTheoryError
from workflows.campaign.begin import register
from workflows.campaign.settings import SettingsError, parse_settings
from workflows.catalogue.hulls import renew
from workflows.catalogue.imports import import_source
from workflows.relax import theory
from workflows.relax.vasp import VaspPbeTheory
from workflows.store import OutsideEntry, Store, StoreError


def test_corrections_of_total_energies(store: Store, tmp_path: Path) -> None:
    """-0.687 eV per oxygen; a formation energy has none."""
    import_source(store, Listed([record("a", salt(), -5.0)]), "t", tmp_path / "r.csv", Corrections.MP2020)
    (entry,) = store.entries.energies("t")
    assert entry.correction == pytest.approx(-0.687 / 2)
    assert entry.uncorrected == pytest.approx(-5.0)
    for name, corrections, sign in (("u", Corrections.TO_GNOME, 1), ("w", Corrections.FROM_GNOME, -1)):
        some = [replace(record("a", salt(), -5.0), correction_per_atom=-0.3), record("b", salt("Ca"), -5.0)]
        import_source(store, Listed(list(some)), name, tmp_path / "r.csv", corrections)
        shifted = {entry.reduced_formula: entry.correction for entry in store.entries.energies(name)}
        assert shifted == {"MgO": pytest.approx(-0.3 + sign * 0.0924014 / 2), "CaO": 0.0}
    path = tmp_path / "f.csv"
    path.write_text("formula,target\nMgO,-3\n")
    with pytest.raises(SourceError, match="all 1 records are refused"):
        import_source(store, EnergyFile(path), "v", tmp_path / "r.csv", Corrections.MP2020)
    assert "need a total energy, and this is one of formation" in (tmp_path / "r.csv").read_text()


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


def test_potentials_of_another_release_are_not_mixed_unasked(store: Store, tmp_path: Path) -> None:
    settings = {"elements": ["Mg", "O"], "theory": {"name": "vasp-pbe-mp", "potcars": "PBE_54"}}
    store.campaigns.create("c", settings, "vasp-1", "MP2020", "/d", "uid")
    source = Listed([record("a", salt(), -5.0)], potentials="PBE")
    with pytest.raises(StoreError, match=r"VASP's potentials PBE_54, listed with PBE: .*--other-potentials"):
        import_source(store, source, "vasp-1", tmp_path / "r.csv", compatible=True)
    import_source(store, source, "vasp-1", tmp_path / "r.csv", compatible=True, other_potentials=True)
    assert len(store.entries.energies("vasp-1")) == 1
    assert [MaterialsProject((), kind).potentials for kind in ("GGA_GGA+U", "R2SCAN")] == ["PBE", "PBE_54"]


def test_nor_with_what_phases_are_rechecked_at(store: Store, tmp_path: Path) -> None:
    entry = Entry("again", salt(), -40.0, 0.0, "vasp-r2", Lineage("saps", "x", "y", 1))
    store.entries.add(entry, "c", recheck_of="first", calculation={"potcar_functional": "PBE_64"})
    source = Listed([record("a", salt("Ca"), -5.0)], potentials="PBE_54")
    with pytest.raises(StoreError, match=r"theory 'vasp-r2' is that of campaign 'c'.*--compatible"):
        import_source(store, source, "vasp-r2", tmp_path / "r.csv")
    with pytest.raises(StoreError, match=r"VASP's potentials PBE_64, listed with PBE_54"):
        import_source(store, source, "vasp-r2", tmp_path / "r.csv", compatible=True)
    assert [entry.id for entry in store.entries.energies("vasp-r2")] == ["again"]


PROJECT = "materials-project:GGA_GGA+U"


@pytest.mark.parametrize("written", [True, False])
def test_nor_where_they_were_imported_before_the_campaign(store: Store, tmp_path: Path, written: bool) -> None:
    """Also by a version that did not write down the release."""
    level = VaspPbeTheory()
    settings = parse_settings(
        {"name": "c", "elements": ["Mg", "O"], "theory": {"name": "vasp-pbe-mp"}, "directory": str(tmp_path / "c")}, "c"
    )
    source = Listed([record("a", salt(), -5.0)], name=PROJECT, potentials="PBE")
    import_source(store, source, theory(level).id, tmp_path / "r.csv")
    if not written:
        store.database["imports"].update_many({}, {"$unset": {"potentials": ""}})
    with pytest.raises(
        SettingsError, match=rf"potentials PBE_54, and {re.escape(PROJECT)} .* of PBE: .*--other-potentials"
    ):
        register(store, settings)
    assert not store.campaigns.exists("c")
    same = settings.model_copy(update={"theory": VaspPbeTheory(potcars="PBE")})
    assert theory(same.theory).id != theory(level).id
    import_source(store, source, theory(level).id, tmp_path / "r.csv", compatible=True, other_potentials=True)
    register(store, settings)
    assert store.campaigns.exists("c")


def test_energies_of_the_project_and_of_a_campaign_stand_on_hulls_of_their_own(store: Store, tmp_path: Path) -> None:
    """A deeper MgO of the Project does not push the campaign's off its hull."""
    own = theory(VaspPbeTheory()).id
    for symbol in ("Mg", "O"):
        for key, where in (("own", own), ("mp", "mp-pbe")):
            element = EntryEnergy(f"{key}{symbol}", symbol, -1.0, 0.0, where)
            store.entries.add_outside([OutsideEntry(element.id, None, element)], "elements", "1", True)
    store.entries.add(Entry("found", salt(), -8 * 2.0, 0.0, own, Lineage("saps", "x", "y", 1)), "c")
    source = Listed([record("a", salt(edge=4.3), -9.0)], name=PROJECT, potentials="PBE")
    import_source(store, source, "mp-pbe", tmp_path / "r.csv")
    places = {where: renew(store, where).points for where in (own, "mp-pbe")}
    assert places[own]["found"].e_above_hull == 0.0
    assert not places[own].keys() & places["mp-pbe"].keys()
    with pytest.raises(MixedTheoryError):
        Hull([*store.entries.energies(own), *store.entries.energies("mp-pbe")])


def test_the_project_is_known_by_its_address(tmp_path: Path) -> None:
    def potentials(address: str, energy: str = "_mp_stability.gga_gga+u.energy_per_atom") -> str:
        return OptimadeSource(address, energy).potentials

    assert potentials("https://optimade.materialsproject.org") == "PBE"
    assert potentials("https://optimade.materialsproject.org/", "_mp_stability.r2scan.energy_per_atom") == "PBE_54"
    assert potentials("https://oqmd.org/optimade", "_oqmd_delta_e") == ""


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
