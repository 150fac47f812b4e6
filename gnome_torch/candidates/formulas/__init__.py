"""Formulas that oxidation states can balance."""
