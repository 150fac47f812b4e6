"""Hulls of what was imported, and what is known by it."""

from __future__ import annotations

from pathlib import Path

from pymatgen.core import Lattice, Structure

from gnome_torch.data.energy_files import EnergyFile
from gnome_torch.records import Entry, Lineage
from workflows.catalogue.hulls import renew
from workflows.catalogue.imports import import_source
from workflows.store import Store


def test_formulas_with_fractions_are_known_compositions(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("formula,target\nRb0.5RhO2,-1.0\nLi0.5CoO2,-1.5\nLiCo2O4,-1.4\n")
    import_source(store, EnergyFile(path), "mp", tmp_path / "r.csv")
    places = [[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    for alkali, metal in (("Rb", "Rh"), ("Li", "Co"), ("Na", "Rh")):
        crystal = Structure(Lattice.cubic(5), [alkali, metal, metal, "O", "O", "O", "O"], places)
        store.entries.add(Entry(alkali, crystal, -40.0, 0.0, "t", Lineage("saps", "x", "y", 1)), "c")
    new = {key: (store.entries.get(key) or {})["novelty"]["new_composition"] for key in ("Rb", "Li", "Na")}
    assert new == {"Rb": False, "Li": False, "Na": True}


def test_energies_of_cells_taken_for_energies_of_atoms_are_kept_out(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("formula,target\nMgO,-30.0\nCaO,-3.2\n")
    import_source(store, EnergyFile(path), "mp", tmp_path / "r.csv")
    renewed = renew(store, "mp:formation")
    assert list(renewed.doubtful.values()) == ["formation energy -30.0 eV/atom"]
