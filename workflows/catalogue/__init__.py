"""What the database knows, and how it is passed on.

hulls.py        hulls of a theory, and where its entries stand on them
novelty.py      what is new about entries that campaigns found
hits.py         new stable compounds of a round, and what it rediscovered
sun.py          crystals of a campaign that are stable, unique and novel
phases/         the phases that campaigns found, as rows
fields.py       each field of a phase, once: name, unit, meaning; known.py: what they are read from
progress.py     how a campaign stands, round by round
imports/        outside data into the database
export.py       what a campaign found, as files for others
report/         as a page
serving/        to every OPTIMADE client
licences.py     of the data that others have published
words.py        singular and plural
"""
