"""Site files: queue adapters, worker files, start scripts for SLURM. Nothing imports this package.

Empty so far: `my_launchpad.yaml`, `my_fworker.yaml` and `FW_config.yaml` at the top level serve one machine.
"""
