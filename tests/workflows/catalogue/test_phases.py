"""Phases as rows: every field of them, and what is said of them."""

from __future__ import annotations

from dataclasses import fields

import pytest
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition, Lattice, Structure

from gnome_torch.records import Entry, Lineage
from workflows.catalogue.fields import FIELDS, Kind
from workflows.catalogue.hulls import renew
from workflows.catalogue.phases import PhaseQuery, PhaseRow, phases
from workflows.catalogue.phases.doubts import doubts
from workflows.store import Store


def test_every_field_is_described_once() -> None:
    names = [field.name for field in fields(PhaseRow)]
    assert set(names) <= FIELDS.keys()
    for name in names:
        assert PhaseRow.__doc__ is not None
        assert PhaseRow.__doc__.count(f"    {name}: {FIELDS[name].description}") == 1
    for name, field in FIELDS.items():
        assert not field.description.endswith("."), name
        assert bool(field.between) <= (field.kind is Kind.LIST), name


def test_what_depends_on_the_corrections_is_said(store: Store) -> None:
    """Distances with and without them, of every entry, against pymatgen."""
    store.campaigns.create("c", {"elements": ["Mg", "O"]}, "t", "none", "/d", "uid")
    # eV/atom: as calculated, and the correction
    atoms = {"Mg": (0.0, 0.0), "O": (0.0, 0.0), "MgO": (0.1, -0.7), "Mg2O": (-0.3, 0.0), "MgO2": (0.2, -0.1)}
    structures = {}
    for number, formula in enumerate(atoms):
        species = [e for e, n in Composition(formula).items() for _ in range(int(n))]
        structures[formula] = Structure(Lattice.cubic(4 + number), species, [[k / 3] * 3 for k in range(len(species))])
    for formula, (energy, shift) in atoms.items():
        n = len(structures[formula])
        store.entries.add(
            Entry(formula, structures[formula], energy * n, shift * n, "t", Lineage("prototype", "x")), "c"
        )
    renew(store, "t", ["Mg", "O"])
    diagrams = [
        PhaseDiagram([PDEntry(f, (e + corrected * shift) * len(structures[f]), f) for f, (e, shift) in atoms.items()])
        for corrected in (1, 0)
    ]
    rows = {row.formula: row for row in phases(store, PhaseQuery(max_e_above_hull=9.0))}
    assert set(rows) == {"MgO", "Mg2O", "MgO2"}
    for formula, row in rows.items():
        one, other = (
            diagram.get_e_above_hull(next(e for e in diagram.all_entries if e.name == formula)) for diagram in diagrams
        )
        assert (row.e_above_hull, row.e_above_hull_uncorrected) == (pytest.approx(one), pytest.approx(other))
        assert row.correction_sensitive == ((one < 5e-5) != (other < 5e-5))
        assert any("energy corrections" in doubt for doubt in doubts(row)) == row.correction_sensitive
    assert {formula for formula, row in rows.items() if row.correction_sensitive} == {"MgO", "Mg2O"} & set(rows)
    assert [row.unusual_elements for row in rows.values()] == [()] * 3
