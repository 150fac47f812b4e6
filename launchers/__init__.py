"""SLURM: queue adapters and worker files of FireWorks from the site file, and the jobs that they make.

files.py     the site's settings as FireWorks' files
job.sh       the batch script that FireWorks fills in
ownership.py what may be written over
check.py     would SLURM take it? (sbatch --test-only)
submit.py    Fireworks that are ready become jobs, in reservation mode
pack.py      in a job: several workers
restart.py   in a job that SLURM has put back into its queue: what the first attempt left
cli.py       the gnome command, with `gnome launchers`

Nothing imports this package.
"""
