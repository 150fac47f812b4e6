"""How the viewer draws elements: Jmol's colours, as far as they can be told apart on one page."""

from __future__ import annotations

from collections.abc import Collection
from colorsys import hls_to_rgb
from dataclasses import dataclass

Colour = tuple[int, int, int]
"""Red, green, blue, each from 0 to 255."""

ALIKE = 150.0
"""Colours less different than this are taken for one another; black and white differ by 765."""

SPARE: tuple[Colour, ...] = tuple(
    (round(255 * red), round(255 * green), round(255 * blue))
    for lightness in (0.5, 0.3, 0.75)
    for hue in range(0, 360, 30)
    for red, green, blue in [hls_to_rgb(hue / 360, lightness, 0.85)]
)
"""For elements whose own colour is taken."""


@dataclass(frozen=True)
class Look:
    """An element as it is drawn.

    Attributes:
        colour: of its atoms.
        radius: covalent, angstrom.
    """

    colour: Colour
    radius: float

    @property
    def css(self) -> str:
        """Its colour for a browser."""
        return f"rgb({','.join(map(str, self.colour))})"


def looks(symbols: Collection[str]) -> dict[str, Look]:
    """The look of each element of a page.

    An element has Jmol's colour, unless one before it in the alphabet has nearly the same: then it has the spare one
    that differs most from all others, so that the same elements always look the same.
    """
    from ase.data import atomic_numbers, covalent_radii
    from ase.data.colors import jmol_colors

    colours: dict[str, Colour] = {}
    clashing = []
    for symbol in sorted(symbols):
        red, green, blue = (round(255 * part) for part in jmol_colors[atomic_numbers[symbol]])
        if all(difference((red, green, blue), other) >= ALIKE for other in colours.values()):
            colours[symbol] = (red, green, blue)
        else:
            clashing.append(symbol)
    for symbol in clashing:
        colours[symbol] = _most_different(colours.values())
    radii = {symbol: round(float(covalent_radii[atomic_numbers[symbol]]), 2) for symbol in colours}
    return {symbol: Look(colours[symbol], radii[symbol]) for symbol in sorted(colours)}


def _most_different(taken: Collection[Colour]) -> Colour:
    return max(SPARE, key=lambda spare: min(difference(spare, other) for other in taken))


def difference(one: Colour, other: Colour) -> float:
    """How different two colours look: the "redmean" approximation (compuphase.com/cmetric.htm)."""
    red, green, blue = (a - b for a, b in zip(one, other, strict=True))
    mean_red = (one[0] + other[0]) / 2
    return float(((2 + mean_red / 256) * red**2 + 4 * green**2 + (2 + (255 - mean_red) / 256) * blue**2) ** 0.5)
