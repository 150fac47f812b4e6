#!/bin/bash -l
# $${job_name}
#SBATCH --job-name=$${name}
#SBATCH --account=$${account}
#SBATCH --partition=$${queue}
#SBATCH --qos=$${qos}
#SBATCH --constraint=$${constraint}
#SBATCH --time=$${walltime}
#SBATCH --nodes=$${nodes}
#SBATCH --ntasks=$${ntasks}
#SBATCH --cpus-per-task=$${cpus_per_task}
#SBATCH --mem=$${memory}
#SBATCH --gpus=$${gpus}
#SBATCH --gres=$${gres}
#SBATCH --signal=$${signal}
#SBATCH --output=job-%j.out
#SBATCH --open-mode=append
#SBATCH --requeue
$${extra}

$${pre_rocket}

cd $${launch_dir} || exit
set -- $${rocket_launch}
# is the Firework still this job's? Where SLURM has put the job back into its queue, what it was doing is run again
$${begin} --fw_id "${@: -1}" || exit
# a task that knows how to stop watches for USR1 itself; all others are to go on, not to be ended by the warning
trap '' USR1
# exec: signals reach the worker, not a shell that would leave it behind
exec "$@"
