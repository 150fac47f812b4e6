"""What everything stands on.

strict.py       settings that forbid unknown keys, and the errors of those that cannot be used
home.py         where gnome keeps its own data
site.py         what a site sets; queues.py: its queues; slurm.py: what SLURM says of its jobs
failures.py     which failures say something about a crystal, and which pass
continuation.py long tasks that stop before their walltime and go on
server.py       the process of the embedded database
"""
