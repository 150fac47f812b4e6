"""Formulas that oxidation states can balance.

compositions.py    every formula within limits, once
shards.py          formulas as Parquet, in the layout of crystals' shards
"""
