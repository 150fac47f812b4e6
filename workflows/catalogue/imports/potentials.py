"""Releases of VASP's potentials: energies of two of them share a hull only where somebody has said that they may.

Between the releases that the Materials Project and `vasp-pbe-mp` use, elements change by up to 0.1 eV/atom.
"""

from __future__ import annotations

from gnome_torch.data.materials_project import MaterialsProject, ThermoType
from workflows.store import PastImport, Store


def mixed_release(store: Store, theory: str, release: str) -> str | None:
    """What was imported into a theory with potentials of another release, and unasked, in words; None if nothing was.

    Args:
        store: the database.
        theory: key of the theory.
        release: of the potentials that a campaign computes it with.
    """
    for past in store.imports.into(theory):
        other = _release_of(past)
        if other and other != release and not past.other_potentials:
            return (
                f"theory {theory!r} is computed with VASP's potentials {release}, and {past.source} was imported into "
                f"it, of {other}: import that again with --compatible --other-potentials if they may share a hull, or "
                "change theory.potcars"
            )
    return None


def _release_of(past: PastImport) -> str:
    """Release that a source was computed with; of records that do not say it, the Materials Project's by its name."""
    names: tuple[ThermoType, ...] = ("GGA_GGA+U", "R2SCAN")
    projects = {project.name: project.potentials for project in (MaterialsProject((), name) for name in names)}
    return past.potentials or projects.get(past.source, "")
