"""Stage 2, predict: the networks and their ensembles.

layers.py         what the networks are made of
network.py        what every network is: a shape, a mean and a scale of its answers
structure.py      energy of a crystal
composition.py    energy of a formula
checkpoint.py     a saved network: configuration, weights, metrics
ensemble.py       several networks of one shape, evaluated together
"""
