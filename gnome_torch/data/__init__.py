"""Data from outside.

kinds.py                what energies from outside may be
rejects.py              records that could not be used
csv_rows.py             rows of a CSV file, the broken ones by themselves
extxyz_frames.py        frames of an extended XYZ file, likewise
json_stream.py          items of a large JSON file, one at a time
files.py                crystals and formulas from files
tables.py               tables of examples to learn from or to predict
energies.py             tables of formulas with formation energies
origins.py              who has published them, under which licence
outside.py              what every source of energies gives, in records and batches
energy_files.py         energies from files
gnome_release.py        what GNoME published
materials_project.py    the Materials Project, through its client
optimade/               any OPTIMADE provider
"""
