"""What runs inside of a job: several workers, and a second start; without SLURM."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fireworks import Firework, FWAction, FWorker, LaunchPad
from tasks import End

from launchers import pack
from launchers.begin import take_up, whose
from launchers.pack import _environment

RELAX = FWorker(name="slurm-relax", category="relax")
AT_WORK = "import sys, time; open(sys.argv[1], 'a').write('worked '); time.sleep(float(sys.argv[2]))"
LISTENS = (
    "import pathlib, signal, sys, time\n"
    "came = []\n"
    "signal.signal(signal.SIGUSR1, lambda *_: came.append(1))\n"
    "pathlib.Path(sys.argv[1]).touch()\n"
    "while not came: time.sleep(0.02)\n"
    "pathlib.Path(sys.argv[1]).write_text('heard')\n"
)


@pytest.fixture(autouse=True)
def _handlers_as_before() -> Iterator[None]:
    """`pack.run` takes over the signals of the process that it has to itself in a job."""
    before = {number: signal.getsignal(number) for number in pack.PASSED_ON}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def worker(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", code, *map(str, arguments)]


def test_free_places_are_taken_while_there_is_work(tmp_path: Path) -> None:
    answers = iter([True, False, True, False, False, False])
    looks: list[float] = []

    def is_work_ready() -> bool:
        looks.append(time.monotonic())
        return next(answers)

    first = worker(AT_WORK, tmp_path / "first", 1.5)
    pack.run(first, lambda _: worker(AT_WORK, tmp_path / "further", 0), 3, 60, is_work_ready, look_s=0.5)
    assert (tmp_path / "first").read_text() == "worked "
    # two free places at each of the two looks that found work; the third look came after the first worker was done
    assert (tmp_path / "further").read_text().split() == ["worked"] * 4
    assert len(looks) >= 4


def test_work_that_the_last_worker_made_is_done(tmp_path: Path) -> None:
    """A control Firework adds the next one as it ends: the job does not end in between."""
    answers = iter([False, True, False])
    first = worker(AT_WORK, tmp_path / "first", 0.5)
    pack.run(first, lambda _: worker(AT_WORK, tmp_path / "further", 0), 2, 60, lambda: next(answers), look_s=100)
    assert (tmp_path / "further").read_text().split() == ["worked"] * 2


def test_nothing_starts_when_the_time_is_up(tmp_path: Path) -> None:
    left: list[int] = []

    def further(left_s: int) -> list[str]:
        left.append(left_s)
        return worker(AT_WORK, tmp_path / "further", 0.2)

    begin = time.monotonic()
    pack.run(worker(AT_WORK, tmp_path / "first", 0), further, 2, 3, lambda: True, look_s=0.1)
    assert time.monotonic() - begin < 10
    assert left
    assert set(left) <= {1, 2, 3}


def test_a_worker_that_breaks_down_is_not_started_again_and_again(tmp_path: Path) -> None:
    started: list[int] = []

    def further(left_s: int) -> list[str]:
        started.append(left_s)
        return worker("raise SystemExit('no database')")

    pack.run(worker(AT_WORK, tmp_path / "first", 0), further, 1, 60, lambda: True, look_s=0)
    assert len(started) == 1


def test_every_worker_hears_the_signal(tmp_path: Path) -> None:
    paths = [tmp_path / "0", tmp_path / "1", tmp_path / "2"]
    code = (
        "import sys; from launchers import pack\n"
        "first, second, third, listens = sys.argv[1:]\n"
        "others = iter([second, third])\n"
        "pack.run([sys.executable, '-c', listens, first],\n"
        "         lambda _: [sys.executable, '-c', listens, next(others)], 3, 60, lambda: True)\n"
    )
    job = subprocess.Popen([sys.executable, "-c", code, *map(str, paths), LISTENS])
    try:
        end = time.monotonic() + 30
        while not all(path.exists() for path in paths) and time.monotonic() < end:
            time.sleep(0.05)
        job.send_signal(signal.SIGUSR1)
        assert job.wait(20) == 0
    finally:
        job.kill()
    assert [path.read_text() for path in paths] == ["heard"] * 3


def test_workers_share_the_gpus() -> None:
    def gpus(visible: str, workers: int) -> list[str | None]:
        return [
            _environment(place, workers, {"CUDA_VISIBLE_DEVICES": visible})["CUDA_VISIBLE_DEVICES"]
            for place in range(workers)
        ]

    assert gpus("0,1", 2) == ["0", "1"]
    assert gpus("0,1,2,3", 2) == ["0,2", "1,3"]
    assert gpus("4,7", 3) == ["4", "7", "4"]
    assert gpus("3", 2) == ["3", "3"]
    assert "CUDA_VISIBLE_DEVICES" not in _environment(0, 2, {})


def test_a_second_start_takes_up_what_the_first_was_doing(launchpad: LaunchPad, tmp_path: Path) -> None:
    for name in ("own", "packed", "done", "elsewhere", "beside"):
        launchpad.add_wf(Firework([End(well=True)], spec={"_category": "relax"}, name=name))
    job, other = tmp_path / "launcher_1", tmp_path / "launcher_10"
    places = {"own": job, "packed": job / "launcher_a", "done": job / "launcher_b", "elsewhere": other}
    _, launch_id = launchpad.reserve_fw(RELAX, str(job), fw_id=1)
    launchpad.set_reservation_id(launch_id, "77")
    for fw_id, place in enumerate(places.values(), start=1):
        place.mkdir(parents=True)
        launch_id = launchpad.checkout_fw(RELAX, str(place), fw_id=fw_id)[1]
        if place == places["done"]:
            launchpad.complete_launch(launch_id, FWAction())
    assert sorted(take_up(launchpad, RELAX, 1, job, "77")) == [1, 2]
    states = {name: launchpad.get_fw_by_id(fw_id).state for fw_id, name in enumerate([*places, "beside"], start=1)}
    assert states == {
        "own": "RESERVED",
        "packed": "READY",
        "done": "COMPLETED",
        "elsewhere": "RUNNING",
        "beside": "READY",
    }
    assert launchpad.get_reservation_id_from_fw_id(1) == "77"
    assert launchpad.checkout_fw(RELAX, str(job), fw_id=1)[0].fw_id == 1  # as rlaunch does next
    assert take_up(launchpad, RELAX, 1, tmp_path / "launcher", "77") == []


def test_a_second_start_of_a_job_whose_work_is_done(launchpad: LaunchPad, tmp_path: Path) -> None:
    launchpad.add_wf(Firework([End(well=True)], spec={"_category": "relax"}))
    launchpad.complete_launch(launchpad.checkout_fw(RELAX, str(tmp_path), fw_id=1)[1], FWAction())
    assert take_up(launchpad, RELAX, 1, tmp_path, "77") == []
    assert launchpad.get_fw_by_id(1).state == "COMPLETED"


def test_a_job_leaves_alone_what_is_no_longer_its_own(launchpad: LaunchPad, tmp_path: Path) -> None:
    """Submitted, paused, resumed and submitted again: only the second job may run it."""
    launchpad.add_wf(Firework([End(well=True)], spec={"_category": "relax"}))
    _, first = launchpad.reserve_fw(RELAX, str(tmp_path / "101"), fw_id=1)
    assert whose(launchpad, 1, "101") == ""  # sbatch has not answered yet
    launchpad.set_reservation_id(first, "101")
    assert whose(launchpad, 1, "101") == ""
    launchpad.cancel_reservation(first)
    assert whose(launchpad, 1, "101") == "Firework 1 is READY, and no longer reserved for this job"
    _, second = launchpad.reserve_fw(RELAX, str(tmp_path / "102"), fw_id=1)
    launchpad.set_reservation_id(second, "102")
    assert whose(launchpad, 1, "101") == "Firework 1 is reserved for job 102 now"
    assert whose(launchpad, 1, "102") == ""
    launchpad.checkout_fw(RELAX, str(tmp_path / "102"), fw_id=1)
    assert whose(launchpad, 1, "101") == "Firework 1 is RUNNING, and no longer reserved for this job"
