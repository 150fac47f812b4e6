"""SLURM: queue adapters and worker files of FireWorks from the site file, and the jobs that they make.

files.py     the site's settings as FireWorks' files
job.sh       the batch script that FireWorks fills in
ownership.py what may be written over
check.py     would SLURM take it? (sbatch --test-only)
submit.py    Fireworks that are ready become jobs, in reservation mode
pack.py      in a job: several workers
begin.py     in a job, first of all: is its Firework still its own? what did an earlier attempt leave?
cli.py       the gnome command, with `gnome launchers`

Nothing imports this package.
"""
