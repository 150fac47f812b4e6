"""The phases that campaigns found, as plain rows, pandas frames and pymatgen entries: what `gnome stable` prints.

from workflows.store.connection import connect
from workflows.catalogue.phases import PhaseQuery, computed_entries, frame, phases
from workflows.store import Store

store = Store(connect().db)
rows = phases(store, PhaseQuery(campaign="quickstart", elements=("Li", "O"), max_e_above_hull=0.02))
frame(rows)                       # a pandas frame, a phase a row
computed_entries(store, rows)     # pymatgen's ComputedStructureEntry, corrected
"""

from workflows.catalogue.phases.crystals import computed_entries, write_crystals
from workflows.catalogue.phases.query import New, PhaseQuery, phase_rows, phases
from workflows.catalogue.phases.rows import PhaseRow, csv_of, frame

__all__ = [
    "New",
    "PhaseQuery",
    "PhaseRow",
    "computed_entries",
    "csv_of",
    "frame",
    "phase_rows",
    "phases",
    "write_crystals",
]
