"""What energies from outside may be, and what is done to them. Imports nothing: `gnome --help` answers at once."""

from enum import StrEnum


class EnergyKind(StrEnum):
    """What an energy is measured from.

    TOTAL: the calculator's zero; corrections may have to be added, and elements have energies of their own.
    FORMATION: the elements.
    """

    TOTAL = "total"
    FORMATION = "formation"


class Corrections(StrEnum):
    """Which corrections total energies from outside get.

    AS_GIVEN: those that the source gives with them, none if it gives none.
    The others: of that scheme (`CorrectionScheme`), in the place of what the source gives.
    """

    AS_GIVEN = "as-given"
    MP2020 = "mp2020"
    MP2020_GNOME = "mp2020-gnome"
    GNOME = "gnome"
