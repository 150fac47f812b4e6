"""Stage 1, generate: first crystals of a campaign, candidates by substitution, formulas, random crystals.

    chemistry/       elements, their policy, charge balance, volumes
    prototypes.py    the crystals of the AFLOW library under stable keys
    parents.py       known crystals to substitute in: checked, and measured once
    tables/          candidates as Parquet: rows, keys, shards
    decoration.py    the first crystals of a campaign: elements, prototypes with its elements, crystals from files
    structural/      substitution in known crystals, full and symmetry-aware partial; pools of such candidates
    formulas/        formulas that oxidation states can balance
    random_search/   random crystals of a composition

Each stands on those above it. docs/candidates.md has the dataflow of the structural pipeline.
"""
