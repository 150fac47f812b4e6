"""What everything stands on: the site, its queues, SLURM, strict settings, failures, long tasks that go on."""
