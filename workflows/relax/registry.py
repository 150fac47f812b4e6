"""All theories: their settings as one type, and what makes a theory of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from workflows.relax.base import Theory
from workflows.relax.gpaw import GpawTheory, gpaw
from workflows.relax.lookup import LookupTheory, lookup
from workflows.relax.potentials import AseTheory, EmtTheory, ForcefieldTheory, ase, emt, forcefield
from workflows.relax.vasp import VaspPbeTheory, VaspR2scanTheory, pbe, r2scan

TheorySettings = Annotated[
    ForcefieldTheory | EmtTheory | AseTheory | VaspPbeTheory | VaspR2scanTheory | GpawTheory | LookupTheory,
    Field(discriminator="name"),
]

THEORIES: dict[type, Callable[[Any], Theory]] = {
    ForcefieldTheory: forcefield,
    EmtTheory: emt,
    AseTheory: ase,
    VaspPbeTheory: pbe,
    VaspR2scanTheory: r2scan,
    GpawTheory: gpaw,
    LookupTheory: lookup,
}


def theory(settings: Any) -> Theory:
    """The theory that settings describe.

    Raises:
        SettingsError: its program or weights are not installed.
    """
    return THEORIES[type(settings)](settings)
