"""Firetasks: each reads its spec, calls one function of `workflows.campaign.stages`, and returns.

Their module paths are stored in the database with every Firework: never rename one. The plan of the loop, which names
them, is `workflows.campaign.plan`; nothing imports this package.
"""
