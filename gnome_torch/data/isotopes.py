"""Isotopes with symbols of their own: hydrogen everywhere, since a chemical bond does not know the difference."""

ISOTOPES = {"D": "H", "T": "H"}
"""Element by the symbol of the isotope."""
