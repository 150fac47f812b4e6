"""Stage 1, generate: first crystals, structural candidates, element policy, shards.

Dataflow of the structural pipeline (docs/candidates.md):

    parents -> structure_types -> structural (substitution, partial, policy, volumes) -> generation -> shards
    elements, keys, chemistry, symmetry: what they stand on
    prototypes, decoration: the first crystals of a campaign
"""
