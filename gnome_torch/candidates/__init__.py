"""Stage 1, generate: first crystals, substitutions, element policy, shards.

Dataflow of the structural pipeline:

    prototypes, elements -> decoration (first crystals)
    parents -> ions -> substitution -> structural (full and partial replacement, filters) -> shards (Parquet)
"""
