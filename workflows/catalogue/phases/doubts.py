"""What to know before believing in a phase, in words: for the terminal and for the page."""

from __future__ import annotations

from workflows.catalogue.phases.rows import PhaseRow


def doubts(row: PhaseRow) -> list[str]:
    """What casts doubt on a phase."""
    notes = list(row.warnings)
    if row.duplicate_of:
        notes.append(f"same crystal as {row.duplicate_of}")
    if row.likely_disorder:
        notes.append(f"probably disordered: {', '.join(row.likely_disorder)}")
    if row.unusual_elements:
        notes.append(f"holds {', '.join(row.unusual_elements)}")
    if row.correction_sensitive:
        without = f"{row.e_above_hull_uncorrected:.3f} eV/atom above the hull without them"
        notes.append(f"depends on the energy corrections: {without}")
    if row.unconfirmed:
        notes.append(f"unconfirmed: {row.crystals_tried} of its crystals tried, the ground state may be another")
    if row.displaced:
        notes.append(f"was on the hull until {row.displaced}, falls apart into {' + '.join(row.decomposition)}")
    return notes


def recheck_note(row: PhaseRow) -> str:
    """What another theory says of a phase; empty where it was not asked."""
    if row.recheck_e_above_hull is None:
        return row.recheck
    lacking = f", which lacks {', '.join(row.recheck_missing)}" if row.recheck_missing else ""
    return f"{row.recheck_e_above_hull:.3f} eV/atom above the hull of {row.recheck}{lacking}"
