"""Crystals and entries that pymatgen wrote as JSON, built of the keys known here.

pymatgen's own decoder imports whatever module a file names under `@module`. Nothing is looked up by name here: what
else a file holds (properties of sites, objects among the data of an entry) is passed over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pymatgen.core import Element, Lattice, Species, Structure
from pymatgen.entries.computed_entries import ComputedEntry

from gnome_torch.data.isotopes import ISOTOPES
from gnome_torch.data.sound import CrystalError, sound, sound_lattice

ADJUSTMENTS = {
    "ConstantEnergyAdjustment",
    "ManualEnergyAdjustment",
    "CompositionEnergyAdjustment",
    "TemperatureEnergyAdjustment",
}
"""pymatgen's kinds of corrections."""


def structure_of(item: Mapping[str, Any]) -> Structure:
    """A crystal: its lattice, species with their occupancies, and fractional coordinates.

    Raises:
        CrystalError: a part is missing, or is not what it should be.
    """
    if not isinstance(item, Mapping) or not isinstance(item.get("sites"), list):
        raise CrystalError("no crystal of pymatgen: it has no sites")
    lattice = item.get("lattice")
    try:
        matrix = lattice["matrix"]  # type: ignore[index]  # whatever it is, the error is caught
        sites = [({_species(s): float(s["occu"]) for s in site["species"]}, site["abc"]) for site in item["sites"]]
        labels = [str(site["label"]) if site.get("label") else None for site in item["sites"]]
        cell = sound_lattice(Lattice(matrix))
        structure = Structure(cell, [species for species, _ in sites], [place for _, place in sites], labels=labels)
        return sound(structure)
    except CrystalError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = " ".join(str(error).split())
        if isinstance(error, KeyError):
            what = f"no {error}"
        elif isinstance(error, TypeError | AttributeError):  # words of Python about its own objects
            what = "its lattice or a site is not what pymatgen writes"
        raise CrystalError(f"no crystal of pymatgen: {what}") from None


def plain_entry(item: Mapping[str, Any]) -> dict[str, Any]:
    """An entry with nothing in it that pymatgen's `from_dict` would look up by a name of the file's.

    Raises:
        CrystalError: it is no entry, or as `structure_of`, for one with a crystal.
        ValueError: its corrections are not what they should be.
    """
    if not isinstance(item, Mapping):
        raise CrystalError(f"{str(item)[:40]!r} is no entry of pymatgen")
    found = {
        name: item[name]
        for name in ("energy", "correction", "composition", "entry_id")
        if name in item and _is_plain(item[name])
    }
    for part in ("parameters", "data"):
        values = item.get(part)
        values = values if isinstance(values, Mapping) else {}
        found[part] = {name: value for name, value in values.items() if not name.startswith("@") and _is_plain(value)}
    found["energy_adjustments"] = [_adjustment(given) for given in item.get("energy_adjustments") or []]
    if "structure" in item:
        found["structure"] = structure_of(item["structure"]).as_dict()
    return found


def _adjustment(given: Mapping[str, Any]) -> dict[str, Any]:
    """A correction; an unknown uncertainty, null in strict JSON, is pymatgen's nan."""
    if given.get("@class") not in ADJUSTMENTS:
        raise ValueError(f"{given.get('@class')!r} is no kind of correction that pymatgen has")
    plain = {name: value for name, value in given.items() if not name.startswith("@") and _is_plain(value)}
    unknown = {name: math.nan for name, value in plain.items() if value is None and "uncertainty" in name}
    return plain | unknown | {"@module": ComputedEntry.__module__, "@class": given["@class"]}


def _is_plain(value: Any) -> bool:
    """Whether a value is a number, a text, or a dictionary of these that names no class."""
    if isinstance(value, Mapping):
        return all(
            not str(name).startswith("@") and (part is None or isinstance(part, int | float | str))
            for name, part in value.items()
        )
    return value is None or isinstance(value, int | float | str)


def _species(item: Mapping[str, Any]) -> Element | Species:
    name = str(item["element"])
    if name not in ISOTOPES and not Element.is_valid_symbol(name):
        raise CrystalError(f"{name!r} is not an element")
    symbol = ISOTOPES.get(name, name)
    state = item.get("oxidation_state")
    return Element(symbol) if state is None else Species(symbol, float(state))
