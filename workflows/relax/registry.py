"""All theories by name: ours, and those of other packages; their settings as one type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from gnome_torch.plugins import PluginError, plugin, registered
from workflows.ground.strict import SettingsError
from workflows.relax.base import Theory, TheoryBase
from workflows.relax.gpaw import GpawTheory, gpaw
from workflows.relax.lookup import LookupTheory, lookup
from workflows.relax.potentials import AseTheory, EmtTheory, ForcefieldTheory, ase, emt, forcefield
from workflows.relax.vasp import VaspPbeTheory, VaspR2scanTheory, pbe, r2scan

GROUP = "gnome_torch.theories"
"""Entry points of other packages: the theory's name = a pair as in `THEORIES`."""

THEORIES: dict[str, tuple[type[TheoryBase], Callable[[Any], Theory]]] = {
    "forcefield": (ForcefieldTheory, forcefield),
    "emt": (EmtTheory, emt),
    "ase": (AseTheory, ase),
    "vasp-pbe-mp": (VaspPbeTheory, pbe),
    "vasp-r2scan-mp": (VaspR2scanTheory, r2scan),
    "gpaw": (GpawTheory, gpaw),
    "lookup": (LookupTheory, lookup),
}
"""Name -> settings, and what makes a theory of them."""


def theory(settings: TheoryBase) -> Theory:
    """The theory that settings describe.

    Raises:
        SettingsError: its program or weights are not installed, or it is not registered.
    """
    kind, make = _named(settings.name) or (None, None)
    if make is None or type(settings) is not kind:
        raise SettingsError(f"theory {settings.name!r}: no package registers {type(settings).__name__} under this name")
    return make(settings)


def _named(name: str) -> tuple[type[TheoryBase], Callable[[Any], Theory]] | None:
    """Settings and maker of a theory; None if there is none of this name.

    Raises:
        SettingsError: the package that registers it cannot be used.
    """
    try:
        found = plugin(GROUP, name, taken=name in THEORIES)
    except PluginError as error:
        raise SettingsError(str(error)) from error
    if found is None:
        return THEORIES.get(name)
    match found:
        case (type() as kind, make) if issubclass(kind, TheoryBase) and callable(make):
            if kind.model_fields["name"].default == name:
                return kind, make
    raise SettingsError(
        f"{GROUP}: {name!r} is not a pair: settings (a TheoryBase with this name by default), and what makes a Theory"
    )


def _of_its_kind(value: Any) -> Any:
    """Settings of the theory that plain data, or other settings, name."""
    if not isinstance(value, dict | TheoryBase):
        return value  # which pydantic refuses
    data = dict(value)
    if "name" not in data:
        raise _problem("missing", value)
    name = data["name"]
    found = _named(name) if isinstance(name, str) else None
    if found is None:
        names = ", ".join(repr(one) for one in [*THEORIES, *sorted(entry.name for entry in registered(GROUP))])
        message = f"there is no theory of this name: choose one of {names}"
        raise _problem(PydanticCustomError("no_such_theory", "{message}", {"message": message}), name)
    return found[0].model_validate(value)


def _problem(kind: str | PydanticCustomError, value: Any) -> ValidationError:
    return ValidationError.from_exception_data("theory", [InitErrorDetails(type=kind, loc=("name",), input=value)])


TheorySettings = Annotated[SerializeAsAny[TheoryBase], BeforeValidator(_of_its_kind)]
"""Settings of any theory. Which there are is asked when a file is read: other packages import this one."""
