"""Stage 5, retrain: data sets, and the training of one network.

dataset.py        crystals or compositions with energies as flat arrays
config.py         how to train
parallel.py       the processes that train one network together
learner.py        a network that learns, one step at a time
state.py          checkpoints
epochs.py         the epochs as a table and for TensorBoard
loop.py           from a data set to a saved model, however often it is stopped in between
calibration.py    what an ensemble's spread is worth
"""
