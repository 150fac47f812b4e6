"""Firetasks: each reads its spec, calls the science, writes through the store, and returns.

Their module paths are stored in the database with every Firework: never rename one.

    start   -> relaxations of the first crystals (relax, record)
    record  -> counts; the last of a round adds: close -> train (one per member), generate -> screen
    screen  -> relaxations of the chosen candidates (relax, record)
"""
