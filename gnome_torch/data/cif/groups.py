"""Space groups by name or number, in the settings of the International Tables (moyopy knows their 530).

Names are taken with and without spaces, short and full, with the older `a`, `b` and `c` for the glide `e` and `3` for
the `-3` of cubic groups, and with what says the setting: `:1`, `:2`, `:H`, `:R`, ICSD's `S`, `Z`, `H`, `R`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import moyopy
import numpy as np

from gnome_torch.data.cif.blocks import Block, CifError
from gnome_torch.data.cif.operations import Operations

NAMES = (
    "_space_group_name_h-m_alt",
    "_symmetry_space_group_name_h-m",
    "_symmetry_space_group_name_h_m",
    "_space_group_name_h-m",
    "_space_group_name_h-m_full",
    "_symmetry_space_group_name_h-m_full",
    "_space_group_name_h-m_ref",
)
HALL = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
NUMBERS = ("_space_group_it_number", "_symmetry_int_tables_number")
SUFFIXES = {"s": "1", "z": "2", "o1": "1", "o2": "2"}
"""Other ways to write a choice of origin."""

# The glide e of International Tables since 1992 had another letter, one for each setting, in their order.
_OLD_GLIDES = {
    39: ("Abm2", "Bma2", "B2cm", "C2mb", "Cm2a", "Ac2m"),
    41: ("Aba2", "Bba2", "B2cb", "C2cb", "Cc2a", "Ac2a"),
    64: ("Cmca", "Ccmb", "Abma", "Acam", "Bbcm", "Bmab"),
    67: ("Cmma", "Cmmb", "Abmm", "Acmm", "Bmcm", "Bmam"),
    68: ("Ccca", "Ccca", "Cccb", "Cccb", "Abaa", "Abaa", "Acaa", "Acaa", "Bbcb", "Bbcb", "Bbab", "Bbab"),
}


@dataclass(frozen=True)
class Setting:
    """One setting of a space group.

    Attributes:
        hall: its number among the 530, from 1.
        number: of the space group.
        choice: axes or origin, as the International Tables name it: "b1", "2", "R", "cab".
    """

    hall: int
    number: int
    choice: str

    @cached_property
    def operations(self) -> Operations:
        """Of the setting's conventional cell."""
        return _operations(self.hall)

    @property
    def axis(self) -> str:
        """The unique axis of a monoclinic one, "" for the others."""
        return self.choice.lstrip("-")[:1] if 3 <= self.number <= 15 else ""


def declared_settings(block: Block) -> list[Setting]:
    """The settings that a block's name or number of a space group may mean; none where it names none that is known.

    Raises:
        CifError: name and number are of different groups, or the number is none.
    """
    text = block.value(*NUMBERS)
    number = _number(text) if text else 0
    name = block.value(*NAMES)
    named = named_settings(name)
    hall = re.sub(r"[\s_]", "", block.value(*HALL).lower())  # of one setting: it says which of those that the name has
    named = [s for s in named or _settings() if hall and hall == _hall_symbol(s.hall)] or named
    if named and number:
        if number not in {setting.number for setting in named}:
            raise CifError(f"space group {name!r} is number {named[0].number}, the file says {number}")
        return [setting for setting in named if setting.number == number]
    if named or not number or name:
        return named
    return [s for s in _settings() if s.number == number and s.choice in ("", "b", "b1", "1", "2", "H", "R")]


def operations_of_number(number: int) -> Operations:
    """Operations of a space group in the first of its settings."""
    return next(setting.operations for setting in _settings() if setting.number == number)


def fitting(settings: Sequence[Setting], metric: np.ndarray) -> list[Setting]:
    """Those that a cell can have: the others have angles or lengths that it has not.

    A name such as `P 21/c` does not say which axis of a monoclinic cell is the unique one: b, if that fits.

    Args:
        settings: of one name.
        metric: scalar products of the cell's vectors, (3, 3), square angstrom.
    """
    found = [setting for setting in settings if setting.operations.keep(metric)]
    axis = min((setting.axis for setting in found), key="bca".find, default="")
    return [setting for setting in found if setting.axis == axis]


def named_settings(name: str) -> list[Setting]:
    """The settings that a name may mean; none for a name that the International Tables do not have."""
    base, _, suffix = re.sub(r"[\s_()'\"]|origin|choice", "", name.lower()).partition(":")
    if base in _by_name():
        return _chosen(_by_name()[base], suffix)
    for end in ("hr", "o1", "o2", "s", "z", "h", "r", "1", "2"):  # without a colon
        if not suffix and base.endswith(end) and base.removesuffix(end) in _by_name():
            return _chosen(_by_name()[base.removesuffix(end)], end[:1] if end == "hr" else end)
    return []


def _chosen(settings: Sequence[Setting], suffix: str) -> list[Setting]:
    wanted = SUFFIXES.get(suffix, suffix)
    if not wanted:
        return list(settings)
    exact = [setting for setting in settings if setting.choice.lower() == wanted]
    return exact or [s for s in settings if wanted in ("1", "2") and s.choice.startswith(wanted)]


def _number(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 230:
        raise CifError(f"space group number {text!r}: they are 1 to 230")
    return int(text)


@cache
def _settings() -> tuple[Setting, ...]:
    entries = [moyopy.HallSymbolEntry(hall) for hall in range(1, 531)]
    return tuple(Setting(entry.hall_number, entry.number, str(entry.setting)) for entry in entries)


@cache
def _by_name() -> dict[str, list[Setting]]:
    """Settings by each of their names, lower case without spaces."""
    found: dict[str, list[Setting]] = {}
    for setting in _settings():
        entry = moyopy.HallSymbolEntry(setting.hall)
        full = entry.hm_full.replace("_", "")
        names = {full, full.replace(" 1", "")} if setting.axis else {full, entry.hm_short.replace("_", "")}
        if setting.number in _OLD_GLIDES:
            first = next(s.hall for s in _settings() if s.number == setting.number)
            names.add(_OLD_GLIDES[setting.number][setting.hall - first])
        if setting.number >= 195:
            names |= {name.replace("-3", "3") for name in names}
        for name in sorted({name.replace(" ", "").lower() for name in names}):
            found.setdefault(name, []).append(setting)
    return found


@cache
def _hall_symbol(hall: int) -> str:
    return re.sub(r"[\s_]", "", moyopy.HallSymbolEntry(hall).hall_symbol.lower())


@cache
def _operations(hall: int) -> Operations:
    setting = moyopy.HallSymbolEntry(hall)
    found = moyopy.operations_from_number(setting.number, setting=moyopy.Setting.hall_number(hall))
    translations = np.rint(np.array(found.translations) * 24) / 24
    return Operations(np.array(found.rotations), translations % 1.0)
