"""What each stage of the loop does, in the order of the loop. The Firetasks call these, and nothing else does the work.

learning.py     what networks learn from, their training, what an ensemble is worth
generate.py     crystals by substitution, formulas by oxidation states
screen.py       networks judge what was generated, and the best go on
searches.py     random crystals of a formula
relaxations.py  crystals are sent to relaxation
relax_many.py   or relaxed here, one after another
outcome.py      what becomes of a relaxation that has ended
close.py        the end of a round: its hull, what is new
results.py      what a round brought
rechecks.py     stable phases at another theory
"""
