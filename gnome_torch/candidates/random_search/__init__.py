"""Random structure search: random sensible crystals of a composition.

After Pickard and Needs, J. Phys.: Condens. Matter 23, 053201 (2011).

    options.py        what is asked for: formula units, volumes, symmetry, separations
    separations.py    how near atoms may be, how much room they take
    cells.py          a random cell, by PyXtal
    buildcell.py      a random cell, by AIRSS's own program where it is installed
    cell_files.py     what that program reads and prints
    soft_spheres.py   atoms that are too near pushed apart
    search.py         attempts -> crystals, each once
    files.py          crystals to files and back
    pre_relaxed.py    what a cheap relaxation made of them, and which become candidates
"""
