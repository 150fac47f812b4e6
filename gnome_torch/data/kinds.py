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
    MP2020: of the Materials Project's scheme, for energies that have none yet.
    MP2020_TO_GNOME: the same, and then TO_GNOME.
    TO_GNOME: those of the source, and the shifts that put the Materials Project's energies beside GNoME's.
    FROM_GNOME: those of the source, and the shifts that put GNoME's energies beside the Materials Project's.
    """

    AS_GIVEN = "as-given"
    MP2020 = "mp2020"
    MP2020_TO_GNOME = "mp2020-to-gnome"
    TO_GNOME = "to-gnome"
    FROM_GNOME = "from-gnome"
