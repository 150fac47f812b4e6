"""Stage 4: energies made comparable, the convex hull, and what is stable on it.

formulas.py        formulas as arrays
programs.py        the linear programs of the hull
hull.py            the convex hull: what is stable, and into what the rest decomposes
corrections.py     corrections of energies, by scheme
bonds.py           how near two atoms can be
plausibility.py    relaxations and entries that must stay out of a hull
changes.py         what a relaxation has made of a crystal
novelty.py         whether a crystal is new, and whether it should be believed
"""
