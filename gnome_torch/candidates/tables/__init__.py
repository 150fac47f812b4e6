"""Candidates as arrays and as Parquet.

keys.py      content hashes of candidates; 128-bit keys of compositions and decorated sites
rows.py      candidates as arrays, and the tally of what became of the others
shards.py    a directory of candidates with their parents and a summary, written and read
"""
