"""A real SLURM on this machine, for tests: a controller, the node c1 of cores and the node g1 of GPUs (which are fake).

Nothing of it is outside its directory, and no service manager is asked; it works for root and for an ordinary user.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
START_TIMEOUT_S = 30.0
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"

CONFIGURATION = """\
ClusterName=ci
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
CredType=cred/munge
# a requeued job waits until its credential has expired
AuthInfo=socket={state}/munge/munge.socket.2,cred_expire=5
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ports[0]}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={state}/ctld
SlurmdSpoolDir={state}/spool/%n
SlurmctldPidFile={state}/run/slurmctld.pid
SlurmdPidFile={state}/run/slurmd.%n.pid
SlurmctldLogFile={state}/log/slurmctld.log
SlurmdLogFile={state}/log/slurmd.%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={state}/log/jobcomp.log
MpiDefault=none
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,bf_interval=3
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=3
GresTypes=gpu
NodeName=c1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=8 RealMemory=2000
NodeName=g1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=8 RealMemory=2000 Gres=gpu:fake:2
PartitionName=cpu Nodes=c1 Default=YES MaxTime=60 DefaultTime=5
PartitionName=gpu Nodes=g1 MaxTime=60 DefaultTime=5
"""
GPUS = "AutoDetect=off\nNodeName=g1 Name=gpu Type=fake File=/dev/tty[0-1]\n"


@dataclass(frozen=True)
class Slurm:
    """A cluster that runs.

    Attributes:
        configuration: its slurm.conf, for SLURM_CONF.
    """

    configuration: Path

    def cancel_all(self) -> None:
        """End all jobs, whatever they do about it, and wait until they are gone."""
        end = time.monotonic() + START_TIMEOUT_S
        while self.ask("squeue", "--noheader") and time.monotonic() < end:
            self.ask("scancel", "--me")
            time.sleep(0.2)

    def ask(self, *command: str) -> str:
        """What one of SLURM's commands prints."""
        environment = {**os.environ, "SLURM_CONF": str(self.configuration)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def missing_programs() -> list[str]:
    """What of SLURM is not installed; the daemons are often outside an ordinary user's PATH."""
    return [name for name in PROGRAMS if _find(name) is None]


@contextlib.contextmanager
def running_slurm() -> Iterator[Slurm]:
    """A cluster for as long as the block lasts; its daemons end with it, and the jobs that are left.

    Its directory is not pytest's: munged wants one that others can pass through.
    """
    state = Path(tempfile.mkdtemp(prefix="slurm-"))
    for name in ("etc", "munge", "ctld", "log", "run", "spool"):
        (state / name).mkdir(parents=True)
    for directory in (state, state / "munge"):
        directory.chmod(0o711)  # munged wants to know that others can reach its socket
    key = state / "munge" / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(128))
    host = socket.gethostname().partition(".")[0]
    configuration = state / "etc" / "slurm.conf"
    configuration.write_text(CONFIGURATION.format(host=host, state=state, user=getpass.getuser(), ports=_free_ports(3)))
    (state / "etc" / "gres.conf").write_text(GPUS)
    slurm = Slurm(configuration)
    try:
        _start_daemons(state, slurm)
        yield slurm
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            slurm.cancel_all()
        _stop_daemons(state)
        shutil.rmtree(state)


def _start_daemons(state: Path, slurm: Slurm) -> None:
    munge = {
        "key-file": "munge.key", "socket": "munge.socket.2", "pid-file": "munged.pid", "log-file": "munged.log",
        "seed-file": "munged.seed",
    }  # fmt: skip
    _start("munged", *(f"--{option}={state}/munge/{name}" for option, name in munge.items()))
    _start("slurmctld", "-f", str(slurm.configuration))
    for node in ("c1", "g1"):
        _start("slurmd", "-f", str(slurm.configuration), "-N", node)
    end = time.monotonic() + START_TIMEOUT_S
    states: list[str] = []
    while time.monotonic() < end:
        with contextlib.suppress(subprocess.CalledProcessError):
            states = slurm.ask("sinfo", "--noheader", "--Node", "--format=%T").split()
        if states == ["idle", "idle"]:
            return
        time.sleep(0.1)
    raise RuntimeError(f"SLURM's nodes are {states} after {START_TIMEOUT_S:.0f} s: see {state}/log")


def _stop_daemons(state: Path) -> None:
    files = [*(state / "run").glob("slurmd.*.pid"), state / "run" / "slurmctld.pid", state / "munge" / "munged.pid"]
    for file in files:
        with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
            pid = int(file.read_text())
            os.kill(pid, signal.SIGTERM)
            _wait_for_end(pid)


def _wait_for_end(pid: int) -> None:
    """A daemon has no parent but the first process, which in a container may leave it a zombie."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for _ in range(100):
            if process.status() == psutil.STATUS_ZOMBIE:
                return
            time.sleep(0.1)
        process.kill()


def _start(program: str, *options: str) -> None:
    """A daemon, which puts itself into the background."""
    path = _find(program)
    assert path is not None, program
    done = subprocess.run([path, *options], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{program} did not start: {done.stderr.strip()}")


def _find(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:{SBIN}")


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
