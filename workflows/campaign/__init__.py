"""A campaign: what it is told, what it plans, what its stages do, and how its rounds follow one another.

begin.py        its name and directory are reserved, its first crystals sent to relaxation
rounds.py       `advance`: what follows what, and how it ends
stages/         what each stage does, a file each; the Firetasks call these
plan.py         every Workflow and Firework of the loop, as data
pipelines.py    the two ways to candidates, and what their networks learn from
holding.py      its Fireworks follow its state: added, held, released, dropped
campaign.py     the value that all of these take: database, name, settings, theories
places.py       where its files are
settings.py     the campaign file, of sections.py
"""
