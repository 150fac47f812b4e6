"""What the site file becomes; without SLURM."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from fireworks import FWorker

from launchers.check import batch_script
from workflows.ground.queues import CATEGORIES

Gnome = Callable[..., tuple[int, str, str]]

FIVE_LINES = """\
vasp: {command: srun vasp_std, potcars: /opt/vasp, modules: [vasp/6.4.2], cores: 64}
slurm:
  account: abc123
  partition: cpu
  train: {partition: gpu, gpus: 1, walltime: 48:00:00}
"""


@pytest.fixture
def write(tmp_path: Path, gnome: Gnome, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[int, str, str]]:
    """`gnome launchers write` of a site's text, on a machine without sbatch."""
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "my_launchpad.yaml").write_text("host: 10.0.0.1\nname: gnome\npassword: hunter2\n")
    (tmp_path / "my_launchpad.yaml").chmod(0o600)

    def run(text: str) -> tuple[int, str, str]:
        (tmp_path / "site.yaml").write_text(text)
        launchpad = tmp_path / "my_launchpad.yaml"
        site, out = tmp_path / "site.yaml", tmp_path / "jobs"
        return gnome("launchers", "write", "--site", site, "--out", out, "--launchpad", launchpad)

    return run


def contents(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_five_lines_are_enough(write: Callable[[str], tuple[int, str, str]], tmp_path: Path) -> None:
    status, out, err = write(FIVE_LINES)
    assert (status, err) == (0, "")
    assert out.count("wrote ") == 2 + 2 * len(CATEGORIES)
    assert "sbatch is not on this machine" in out
    jobs = tmp_path / "jobs"
    for category in CATEGORIES:
        worker = FWorker.from_file(str(jobs / category / "my_fworker.yaml"))
        assert worker.query["spec._category"] == category
        # of each worker of a job, as its launches will remember: 64 for VASP; control packs two into two cores
        assert worker.env == {"cores": {"relax": 64, "control": 1}.get(category, 4)}
        script = batch_script(jobs, category)
        assert "$$" not in script
        assert "#SBATCH --account=abc123\n" in script
        assert "#SBATCH --signal=B:USR1@120\n" in script
        assert "--fw_id 0\n" in script
        done = subprocess.run(["/bin/bash", "-n"], input=script, text=True, capture_output=True, check=False)
        assert done.stderr == ""
    relax, train, control = (batch_script(jobs, category) for category in ("relax", "train", "control"))
    assert "#SBATCH --partition=cpu\n" in relax
    assert "#SBATCH --ntasks=64\n" in relax
    assert "\nmodule load vasp/6.4.2 || exit\n" in relax
    assert "module load" not in train
    assert "#SBATCH --partition=gpu\n" in train
    assert "#SBATCH --gpus=1\n" in train
    assert "#SBATCH --time=48:00:00\n" in train
    assert "launchers.pack --workers 2 --last_start_s 3420 " in control  # an hour less 120 s and 60 s
    assert "launchers.pack" not in relax


def test_nothing_secret_and_no_copy_of_it(write: Callable[[str], tuple[int, str, str]], tmp_path: Path) -> None:
    write(FIVE_LINES)
    files = contents(tmp_path / "jobs")
    assert not [name for name, content in files.items() if b"hunter2" in content or "launchpad" in name]
    assert yaml.safe_load(files["FW_config.yaml"])["LAUNCHPAD_LOC"] == str(tmp_path / "my_launchpad.yaml")


def test_the_same_site_writes_the_same_bytes(write: Callable[[str], tuple[int, str, str]], tmp_path: Path) -> None:
    write(FIVE_LINES)
    before = contents(tmp_path / "jobs")
    status, out, _ = write(FIVE_LINES)
    assert status == 0
    assert "wrote " not in out
    assert contents(tmp_path / "jobs") == before
    status, out, _ = write(FIVE_LINES.replace("48:00:00", "1-00:00:00"))
    assert [line.rpartition("/jobs/")[2] for line in out.splitlines() if "wrote " in line] == ["train/my_qadapter.yaml"]


@pytest.mark.parametrize("content", ["#!/bin/bash\necho mine\n", "", None])
def test_what_somebody_else_wrote_stays(
    content: str | None, write: Callable[[str], tuple[int, str, str]], tmp_path: Path
) -> None:
    if content is None:  # ours, and changed by hand
        write(FIVE_LINES)
        content = (tmp_path / "jobs" / "job.sh").read_text().replace("#!/bin/bash -l", "#!/bin/bash")
    (tmp_path / "jobs").mkdir(exist_ok=True)
    (tmp_path / "jobs" / "job.sh").write_text(content)
    before = contents(tmp_path / "jobs")
    status, _, err = write(FIVE_LINES.replace("abc123", "other"))
    assert status == 1
    assert err.startswith(f"gnome: {tmp_path / 'jobs' / 'job.sh'}: not written by 'gnome launchers write'")
    assert len(err.splitlines()) == 1
    assert contents(tmp_path / "jobs") == before


WRONG = {
    "slurm: {partition: 'cpu; rm -rf x'}": "slurm.partition: 'cpu; rm -rf x' goes into a batch script",
    'slurm: {account: "a\\nb"}': "slurm.account: 'a\\nb' goes into a batch script",
    'slurm: {account: "ab\\n"}': "slurm.account: 'ab\\n' goes into a batch script",
    "slurm: {account: ''}": "slurm.account: '' goes into a batch script",
    "slurm: {relax: {qos: '$(id)'}}": "slurm.relax.qos: '$(id)' goes into",
    "slurm: {relax: {modules: ['vasp/6 `id`']}}": "slurm.relax.modules.0: 'vasp/6 `id`' goes into",
    "vasp: {command: vasp_std, modules: ['-x']}": "vasp.modules.0: '-x' goes into",
    "slurm: {relax: {constraint: 'a;b'}}": "slurm.relax.constraint: 'a;b' goes into",
    "slurm: {train: {memory: 64 GB}}": "slurm.train.memory: '64 GB' goes into",
    "slurm: {train: {gpus: a 1}}": "slurm.train.gpus: 'a 1' goes into",
    "slurm: {relax: {walltime: 1 day}}": "slurm.relax.walltime: '1 day' is not a walltime: HH:MM:SS",
    "slurm: {relax: {walltime: '00:00:00'}}": "slurm.relax.walltime: '00:00:00' is not a walltime",
    "slurm: {relax: {walltime: 24:61:00}}": "slurm.relax.walltime: '24:61:00' is not a walltime",
    "slurm: {relax: {walltime: '00:02:00'}}": "slurm.relax: walltime 00:02:00 leaves no time to work: warning_s 120",
    "slurm: {relax: {extra: ['--exclusive']}}": "slurm.relax.extra.0: '--exclusive' is not a line for sbatch",
    'slurm: {relax: {extra: ["#SBATCH --a\\nid"]}}': "slurm.relax.extra.0: '#SBATCH --a\\nid' holds a line break",
    'slurm: {shell: ["a\\nb"]}': "slurm.shell.0: 'a\\nb' holds a line break",
    "slurm: {shell: ['echo $$']}": "slurm.shell.0: 'echo $$' holds $$, which FireWorks",
    "slurm: {jobs: 3}": "unknown key 'slurm.jobs'",
    "slurm: {control: {pack: 0}}": "slurm.control.pack = 0: Input should be greater than or equal to 1",
    "slurm: {relax: {nodes: many}}": "slurm.relax.nodes = 'many': Input should be a valid integer",
    "slurm: [": "cannot be read: while parsing",
    "slurm: {bin: /opt/my programs}": "'/opt/my programs/rlaunch' goes into batch scripts",
}


@pytest.mark.parametrize("text", WRONG)
def test_one_line_for_a_wrong_site(text: str, write: Callable[[str], tuple[int, str, str]], tmp_path: Path) -> None:
    status, _, err = write(text)
    assert status == 1
    assert WRONG[text] in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "jobs").exists()


def test_paths_that_a_shell_would_take_apart(gnome: Gnome, tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("")
    (tmp_path / "lp.yaml").write_text("host: 10.0.0.1\n")
    arguments = ["launchers", "write", "--site", tmp_path / "site.yaml", "--launchpad", tmp_path / "lp.yaml", "--out"]
    status, _, err = gnome(*arguments, tmp_path / "a b")
    assert (status, err.count("\n")) == (1, 1)
    assert "a b' goes into batch scripts" in err
    assert not (tmp_path / "a b").exists()


def test_the_launchpad_is_a_file(gnome: Gnome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection in the environment is not seen by rlaunch, so it is refused rather than forgotten."""
    monkeypatch.setenv("GNOME_MONGODB_URI", "mongodb://10.0.0.1")
    (tmp_path / "site.yaml").write_text("slurm: {partition: cpu}\n")
    status, _, err = gnome("launchers", "write", "--site", tmp_path / "site.yaml", "--out", tmp_path / "jobs")
    assert status == 1
    assert "GNOME_MONGODB_URI is not read by FireWorks' commands: (umask 077; gnome db launchpad >" in err
    monkeypatch.setenv("PATH", "")
    (tmp_path / "lp.yaml").write_text("host: 10.0.0.1\n")
    (tmp_path / "site.yaml").write_text("database: {launchpad: lp.yaml}\n")  # beside the site file
    status, _, err = gnome("launchers", "write", "--site", tmp_path / "site.yaml", "--out", tmp_path / "jobs")
    assert (status, err) == (0, "")
    assert str(tmp_path / "lp.yaml") in batch_script(tmp_path / "jobs", "relax")


def test_threads_are_shared_among_packed_workers(write: Callable[[str], tuple[int, str, str]], tmp_path: Path) -> None:
    write("slurm: {relax: {tasks: 4, cores: 8, pack: 2}, train: {cores: 8}}")
    assert "OMP_NUM_THREADS=16\n" in batch_script(tmp_path / "jobs", "relax")
    assert "OMP_NUM_THREADS=8\n" in batch_script(tmp_path / "jobs", "train")


def test_extra_lines_come_before_the_first_command(
    write: Callable[[str], tuple[int, str, str]], tmp_path: Path
) -> None:
    write(
        "slurm:\n  shell: ['export A=$HOME', 'module use /opt/m']\n"
        "  relax: {extra: ['#SBATCH --exclusive', '#SBATCH --no-kill'], modules: [python/3.11]}\n"
    )
    lines = batch_script(tmp_path / "jobs", "relax").splitlines()
    first_command = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    assert max(lines.index("#SBATCH --exclusive"), lines.index("#SBATCH --no-kill")) < first_command
    assert (
        lines.index("export A=$HOME")
        < lines.index("module use /opt/m")
        < lines.index("module load python/3.11 || exit")
    )


@pytest.mark.parametrize(
    ("category", "words", "keys"),
    [
        ("relax", "Requested node configuration is not available", "vasp.cores, slurm.relax.cores, tasks"),
        ("train", "Requested node configuration is not available", "slurm.train.cores, tasks"),
        ("train", "invalid partition specified: gpus", "slurm.train.partition, slurm.partition"),
        ("relax", "Invalid account or account/partition combination specified", "slurm.account"),
        ("relax", "Requested time limit is invalid", "slurm.relax.walltime"),
        ("relax", "slurmctld has a bad day", ""),
    ],
)
def test_a_refusal_names_the_keys_of_the_site_file(
    category: str, words: str, keys: str, write: Callable[[str], tuple[int, str, str]], tmp_path: Path
) -> None:
    (tmp_path / "sbatch").write_text(
        f"#!/bin/sh\ncase $2 in */{category}.sh) echo 'sbatch: error: {words}' >&2; exit 1;; esac\n"
    )
    (tmp_path / "sbatch").chmod(0o755)
    status, out, _ = write(FIVE_LINES)
    (refused,) = [line for line in out.splitlines() if line.startswith("REFUSED")]
    assert status == 1
    assert f"{category}: sbatch: error: {words}" in refused
    assert refused.endswith(words) if not keys else f"{words}: look at {keys}" in refused
