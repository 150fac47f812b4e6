"""Substitution in known crystals, full and symmetry-aware partial."""
