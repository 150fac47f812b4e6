"""Substitution in known crystals, full and symmetry-aware partial.

structure_types.py    parents with the same arrangement of sites
substitution.py       which ions may take the place of which
partial.py            which sites of an ion to replace
proposals.py          substituted crystals as arrays, a unit of parents at a time
selection.py          what is asked for, and which candidates to keep
generation.py         from parents to a directory of candidates, in any number of processes
pool.py               candidates from a directory that is there already
"""
