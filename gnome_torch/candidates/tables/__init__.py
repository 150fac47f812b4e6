"""Candidates as Parquet: rows, keys, shards."""
