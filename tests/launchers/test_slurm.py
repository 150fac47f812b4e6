"""On a real SLURM: the database's states are asserted, and what the tasks saw; never a job's exit status."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from slurm import Slurm
from submitted import SITE, Jobs
from tasks import SecondTime, UntilSignal, Where

from workflows.ground.slurm import SlurmError, is_gone, slurm_jobs

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm"), pytest.mark.timeout(180)]


def test_slurm_takes_the_jobs_or_says_why_not(jobs: Jobs) -> None:
    status, out, _ = jobs.write()
    assert status == 0
    assert out.count("SLURM accepts it") == 5
    status, out, _ = jobs.write(SITE.replace("partition: gpu", "partition: gpus"))
    assert status == 1
    assert "REFUSED   train: sbatch: " in out
    assert "nvalid partition" in out
    assert out.count("SLURM accepts it") == 4
    assert slurm_jobs() == {}


def test_each_category_runs_on_its_own_nodes(jobs: Jobs) -> None:
    relax = jobs.add(Where(), "relax", "relax K2MgF4; $(touch owned) `id` \"'")
    train = jobs.add(Where(), "train")
    generate = jobs.add(Where(), "generate")
    status, lines, err = jobs.launch("--category", "relax", "--category", "train")
    assert (status, len(lines), err) == (0, 2, "")
    assert jobs.stored(relax)["SLURMD_NODENAME"] == "c1"
    seen = jobs.stored(train)
    assert (seen["SLURMD_NODENAME"], seen["OMP_NUM_THREADS"]) == ("g1", "2")
    assert seen["CUDA_VISIBLE_DEVICES"] in ("0", "1")
    assert jobs.launchpad.get_fw_by_id(generate).state == "READY"
    assert not list(jobs.directory.rglob("owned"))
    launch = jobs.launchpad.get_fw_by_id(relax).launches[-1]
    assert lines[0].startswith(f"relax: job {job_of(jobs, relax)} for Firework {relax}, relax K2MgF4;")
    assert launch.fworker.name == "slurm-relax"


def job_of(jobs: Jobs, fw_id: int) -> str:
    return str(jobs.stored(fw_id)["SLURM_JOB_ID"])


def test_one_firework_is_one_job(jobs: Jobs) -> None:
    fw_id = jobs.add(Where(seconds=3), "relax")
    for _ in range(3):
        assert jobs.launch()[0] == 0
    assert jobs.stored(fw_id)
    assert jobs.launch() == (0, [], "")
    assert len(jobs.submitted()) == 1


def test_fireworks_own_qlaunch_reads_the_same_files(jobs: Jobs) -> None:
    fw_id = jobs.add(Where(), "relax")
    files = ["-w", "relax/my_fworker.yaml", "-q", "relax/my_qadapter.yaml", "--launch_dir", "relax"]
    qlaunch = Path(sys.executable).parent / "qlaunch"
    command = [str(qlaunch), "-r", *files, "rapidfire", "-m", "4", "--timeout", "20"]
    subprocess.run(command, cwd=jobs.directory / "jobs", check=True, capture_output=True)
    assert jobs.stored(fw_id)["SLURMD_NODENAME"] == "c1"
    assert len(jobs.submitted()) == 1


def test_no_more_jobs_than_the_site_allows(jobs: Jobs) -> None:
    ids = [jobs.add(Where(seconds=4), "relax") for _ in range(6)]
    assert len(jobs.launch()[1]) == 4
    assert jobs.launch() == (0, [], "")
    for fw_id in ids[:4]:
        jobs.stored(fw_id)
    jobs.wait(lambda: not slurm_jobs("gnome-relax"))
    assert len(jobs.launch()[1]) == 2
    for fw_id in ids[4:]:
        jobs.stored(fw_id)


def test_packed_workers_share_a_job(jobs: Jobs) -> None:
    ids = [jobs.add(Where(seconds=1), "control") for _ in range(8)]
    assert len(jobs.launch()[1]) == 2  # the site's limit; eight for three workers each would be three
    assert len({job_of(jobs, fw_id) for fw_id in ids}) == 2
    assert len(jobs.submitted()) == 2
    jobs.wait(lambda: not slurm_jobs("gnome-control"))


def test_work_that_waiting_jobs_will_share_gets_no_jobs(jobs: Jobs) -> None:
    jobs.slurm.ask("scontrol", "update", "PartitionName=cpu", "State=DOWN")
    try:
        ids = [jobs.add(Where(), "control") for _ in range(3)]
        assert [len(jobs.launch()[1]) for _ in range(3)] == [1, 0, 0]
        fourth = jobs.add(Where(), "control")
        assert len(jobs.launch()[1]) == 1
    finally:
        jobs.slurm.ask("scontrol", "update", "PartitionName=cpu", "State=UP")
    for fw_id in (*ids, fourth):
        jobs.stored(fw_id)


def test_the_warning_reaches_the_task(jobs: Jobs) -> None:
    """Alone in its job, where the worker takes the place of the shell, and with others, to which it is passed on."""
    alone = jobs.add(UntilSignal(), "relax")
    packed = [jobs.add(UntilSignal(), "control") for _ in range(3)]
    control = yaml.safe_load((jobs.directory / "jobs" / "control" / "my_qadapter.yaml").read_text())
    assert control["_pack"] == 3
    assert len(jobs.launch()[1]) == 2
    jobs.wait(lambda: len([p for p in jobs.directory.rglob("ready") if p.is_file()]) == 4)
    for job in slurm_jobs():
        jobs.slurm.ask("scancel", "--signal=USR1", "--batch", job)
    for fw_id in (alone, *packed):
        assert jobs.stored(fw_id)["signals"] == [10]
    jobs.wait(lambda: not slurm_jobs())


def test_a_requeued_job_runs_its_firework_again(jobs: Jobs) -> None:
    mark = jobs.directory / "mark"
    fw_id = jobs.add(SecondTime(mark=str(mark)), "relax")
    jobs.launch()
    jobs.wait(mark.exists)
    (job,) = slurm_jobs("gnome-relax")
    jobs.slurm.ask("scontrol", "requeue", job)
    assert jobs.stored(fw_id) == {"attempts": 2, "restarts": "1"}
    assert jobs.launchpad.get_reservation_id_from_fw_id(fw_id) == job
    (log,) = jobs.directory.rglob("job-*.out")
    assert log.read_text().count("Task started") == 2  # the first attempt's log is kept
    assert f"Fireworks [{fw_id}] are run again" in log.read_text()


def test_a_cancelled_reservation_can_be_found(jobs: Jobs) -> None:
    """What `gnome doctor` has to repair: a Firework that is reserved for a job that is no more."""
    jobs.slurm.ask("scontrol", "update", "PartitionName=cpu", "State=DOWN")
    try:
        fw_id = jobs.add(Where(), "relax")
        jobs.launch()
        job = jobs.launchpad.get_reservation_id_from_fw_id(fw_id)
        assert slurm_jobs()[job] == "PENDING"
        jobs.slurm.ask("scancel", job)
        jobs.wait(lambda: job not in slurm_jobs())
        assert jobs.launchpad.get_fw_by_id(fw_id).state == "RESERVED"
    finally:
        jobs.slurm.ask("scontrol", "update", "PartitionName=cpu", "State=UP")
    jobs.launchpad.cancel_reservation_by_reservation_id(job)
    jobs.launch()
    assert jobs.stored(fw_id)


def test_a_refused_job_gives_its_firework_back(jobs: Jobs) -> None:
    fw_id = jobs.add(Where(), "relax")
    other = jobs.add(Where(), "train")
    adapter = jobs.directory / "jobs" / "relax" / "my_qadapter.yaml"
    adapter.write_text(adapter.read_text().replace("queue: cpu", "queue: nowhere"))
    status, lines, err = jobs.launch()
    assert (status, len(lines), len(err.splitlines())) == (1, 1, 1)
    assert err.startswith("gnome: relax: not submitted: error: ")
    assert "nvalid partition" in err
    assert jobs.launchpad.get_fw_by_id(fw_id).state == "READY"
    assert jobs.stored(other)["SLURMD_NODENAME"] == "g1"  # the other categories are none the worse


def test_a_job_whose_firework_has_gone_to_another_does_nothing(jobs: Jobs) -> None:
    """Paused while its job waited, and resumed: the job begins first, and leaves the Firework to the second one."""
    jobs.slurm.ask("scontrol", "update", "PartitionName=cpu", "State=DOWN")
    try:
        fw_id = jobs.add(Where(), "relax")
        jobs.launch()
        first = jobs.launchpad.get_reservation_id_from_fw_id(fw_id)
        jobs.launchpad.cancel_reservation_by_reservation_id(first)
        jobs.launch()
    finally:
        jobs.slurm.ask("scontrol", "update", "PartitionName=cpu", "State=UP")
    second = job_of(jobs, fw_id)
    assert second != first
    jobs.wait(lambda: not slurm_jobs())
    (log,) = (path for path in jobs.directory.rglob(f"job-{first}.out"))
    assert "nothing to do: Firework" in log.read_text()


def test_what_a_user_hides_from_squeue_is_not_gone(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    fw_id = jobs.add(Where(seconds=2), "relax")
    jobs.launch()
    (job,) = slurm_jobs()
    monkeypatch.setenv("SQUEUE_PARTITION", "gpu")
    monkeypatch.setenv("SQUEUE_USERS", "nobody")
    assert list(slurm_jobs()) == [job]
    assert not is_gone(job)
    jobs.stored(fw_id)
    jobs.wait(lambda: is_gone(job))
    assert is_gone("4711")


def test_silence_is_not_an_empty_queue(slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert slurm_jobs() == {}
    text = slurm.configuration.read_text()
    silent = tmp_path / "slurm.conf"
    # nobody listens at port 1
    silent.write_text(text.replace("SlurmctldPort=", "MessageTimeout=2\nSlurmctldPort=1 #"))
    monkeypatch.setenv("SLURM_CONF", str(silent))
    with pytest.raises(SlurmError, match=r"squeue: .*[Uu]nable to contact slurm controller"):
        slurm_jobs()
    with pytest.raises(SlurmError, match=r"scontrol: .*[Uu]nable to contact slurm controller"):
        is_gone("1")


def test_rounds_go_on_until_they_are_stopped(jobs: Jobs) -> None:
    """Also after a round in which something was wrong; as a process of its own, as on a login node."""
    good, bad = jobs.add(Where(), "train"), jobs.add(Where(), "relax")
    adapter = jobs.directory / "jobs" / "relax" / "my_qadapter.yaml"
    text = adapter.read_text()
    adapter.write_text(text.replace("queue: cpu", "queue: nowhere"))
    command = [sys.executable, "-m", "launchers.cli", "launchers", "launch", str(jobs.directory / "jobs")]
    rounds = subprocess.Popen([*command, "--every-s", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        jobs.stored(good)
        assert jobs.launchpad.get_fw_by_id(bad).state in ("READY", "RESERVED")
        adapter.write_text(text)
        jobs.stored(bad)
        rounds.send_signal(signal.SIGINT)
        out, err = rounds.communicate(timeout=30)
    finally:
        rounds.kill()
    assert rounds.returncode == 130
    lines = [line for line in out.splitlines() if line != "nothing to submit, next look in 1 s"]
    assert [line.split(":")[0] for line in lines] == ["train", "relax"]
    assert err.splitlines()[0].startswith("gnome: relax: not submitted: ")
    assert err.splitlines()[-1] == "gnome: stopped; jobs that are submitted go on"
